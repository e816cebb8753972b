"""Simulate mask prompts and corrective clicks, similar to those of a policy and a person.

The policy that will prompt the segmenter is weak: its boxes are off by a third and some of its points are on the wrong
side. The segmenter must cope with that, so it is trained on such prompts in addition to exact ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segr1_app.domain import Box, Mask, ObjectPrompt, Point
from segr1_app.geometry import deepest_point, mask_box

BOX_CORNERS = (2, 3)
"""The labels of a box's two corners in SAM's prompt encoder."""
PADDING = -1
"""The label of a missing point."""


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """One way of prompting.

    Attributes:
        share: its sampling weight relative to the others.
        box_error: largest shift of each box edge, as a fraction of the box's side; None for no box.
        positives, negatives: smallest and largest number of points.
        wrong: probability that a point is on the wrong side of the object's outline.
    """

    share: float
    box_error: float | None
    positives: tuple[int, int] = (0, 0)
    negatives: tuple[int, int] = (0, 0)
    wrong: float = 0.0


STYLES = (
    PromptStyle(0.12, 0.0),
    PromptStyle(0.18, 0.0, (1, 1)),
    PromptStyle(0.20, 0.12, (0, 2), (0, 1)),
    PromptStyle(0.12, 0.30),
    PromptStyle(0.18, 0.35, (1, 4), (0, 2), wrong=0.15),
    # The embedded policy's error on unseen pictures: 10 % of its edges are off by more than a third.
    PromptStyle(0.10, 0.60, (2, 3), (0, 1), wrong=0.25),
    PromptStyle(0.10, None, (1, 3), wrong=0.1),
)


ANNOTATORS_STYLES = (
    PromptStyle(0.3, 0.0, (1, 1)),
    PromptStyle(0.2, 0.1),
    PromptStyle(0.3, 0.1, (1, 1)),
    PromptStyle(0.2, None, (1, 1)),
)
"""The prompts of people, which are right, if not exact: for fine-tuning a segmenter by what they corrected."""


def simulate_prompt(mask: Mask, rng: np.random.Generator, styles: tuple[PromptStyle, ...] = STYLES) -> ObjectPrompt:
    """A random prompt for a non-empty mask, in the mask's frame."""
    shares = np.array([style.share for style in styles])
    style = styles[int(rng.choice(len(styles), p=shares / shares.sum()))]
    tight = mask_box(mask)
    if tight is None:
        raise ValueError("an empty mask cannot be prompted")
    height, width = mask.shape
    box = None if style.box_error is None else jitter_box(tight, style.box_error, (width, height), rng)
    around = _surroundings(mask, tight)
    points = []
    for label, (least, most) in ((1, style.positives), (0, style.negatives)):
        for _ in range(rng.integers(least, most + 1)):
            inside = bool(label) != bool(rng.random() < style.wrong)
            if inside and label and rng.random() < 0.4:
                points.append(Point(*deepest_point(mask), label))
            else:
                points += [Point(x, y, label) for x, y in _random_point(mask if inside else around, rng)]
    return ObjectPrompt(box, tuple(points))


def target_of(mask: Mask, rng: np.random.Generator) -> Mask:
    """The target of a prompt: the whole mask, or, in one case out of three, one of its larger components."""
    if rng.random() > 1 / 3:
        return mask
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    large = np.flatnonzero(areas > 0.2 * areas.max())
    part: Mask = parts == 1 + rng.choice(large)
    return part


def oracle_prompt(mask: Mask) -> ObjectPrompt:
    """The box around a non-empty mask and a positive point at its deepest pixel."""
    return ObjectPrompt(mask_box(mask), (Point(*deepest_point(mask), 1),))


def jitter_box(box: Box, error: float, image_wh: tuple[int, int], rng: np.random.Generator) -> Box:
    """Move each edge by up to ``error`` of the box's side; the box stays in the picture and at least 2 px wide."""
    width, height = image_wh
    dx, dy = (box.x2 - box.x1) * error, (box.y2 - box.y1) * error
    x1, x2 = _ordered(box.x1 + dx * rng.uniform(-1, 1), box.x2 + dx * rng.uniform(-1, 1), width)
    y1, y2 = _ordered(box.y1 + dy * rng.uniform(-1, 1), box.y2 + dy * rng.uniform(-1, 1), height)
    return Box(x1, y1, x2, y2)


def corrective_click(predicted: Mask, truth: Mask) -> Point | None:
    """A simulated person's next click, at the deepest point of the largest error region; None if there is no error."""
    largest, label = None, 0
    for candidate, region in ((1, truth & ~predicted), (0, predicted & ~truth)):
        count, components, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
        for index in range(1, count):
            area = int(stats[index, cv2.CC_STAT_AREA])
            if largest is None or area > largest[0]:
                largest, label = (area, components == index), candidate
    return None if largest is None else Point(*deepest_point(largest[1]), label)


def stack_prompts(prompts: Sequence[ObjectPrompt]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Prompts in the format that SAM2's image predictor passes to the prompt encoder: box corners first, then the
    points.

    Returns:
        Coordinates float32 (B, N, 2) and labels int64 (B, N); shorter prompts are padded with `PADDING`.
    """
    rows = [_row(prompt) for prompt in prompts]
    longest = max(len(row) for row in rows)
    coordinates = np.zeros((len(rows), longest, 2), np.float32)
    labels = np.full((len(rows), longest), PADDING, np.int64)
    for i, row in enumerate(rows):
        for j, (x, y, label) in enumerate(row):
            coordinates[i, j], labels[i, j] = (x, y), label
    return coordinates, labels


def _row(prompt: ObjectPrompt) -> list[tuple[float, float, int]]:
    box = prompt.box
    corners = [] if box is None else [(box.x1, box.y1, BOX_CORNERS[0]), (box.x2, box.y2, BOX_CORNERS[1])]
    return corners + [(point.x, point.y, point.label) for point in prompt.points]


def _ordered(low: float, high: float, limit: int) -> tuple[float, float]:
    low, high = min(max(low, 0.0), limit - 2.0), min(max(high, 0.0), float(limit))
    return low, max(high, low + 2.0)


def _surroundings(mask: Mask, box: Box) -> Mask:
    """Background within half a side of the object's box: where policies put their negative points."""
    height, width = mask.shape
    dx, dy = (box.x2 - box.x1) / 2, (box.y2 - box.y1) / 2
    near = np.zeros_like(mask)
    near[
        max(int(box.y1 - dy), 0) : min(int(box.y2 + dy) + 1, height),
        max(int(box.x1 - dx), 0) : min(int(box.x2 + dx) + 1, width),
    ] = True
    return near & ~mask


def _random_point(region: Mask, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The centre of a random pixel of the region, or nothing when the region is empty."""
    candidates = np.flatnonzero(region)
    if not len(candidates):
        return []
    y, x = divmod(int(rng.choice(candidates)), region.shape[1])
    return [(x + 0.5, y + 0.5)]
