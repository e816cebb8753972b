"""Check before training that the reward depends on the prompt: it cannot teach what it cannot distinguish.

A segmenter that finds the object whatever the prompt rewards good and bad answers alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt, Point
from segr1_app.geometry import mask_box
from segr1_app.metrics import iou
from segr1_app.models.completions import segment_prompts
from segr1_app.models.segmenter import Segmenter
from train.data.prompting import oracle_prompt
from train.data.rows import Row

PICTURES: Final = 16
CORNER: Final = 0.2
"""Side of the box in a corner, as a fraction of the picture's."""
SHIFTED_AT_MOST, CORNER_AT_MOST = 0.8, 0.5
"""Upper bounds on the scores of shifted prompts and of those in a corner, relative to true ones, for a useful
reward.
"""


@dataclass(frozen=True, slots=True)
class PromptCheck:
    """Mean IoU of the masks of three prompts with the ground truth.

    Attributes:
        count: number of pictures.
        true: the true box, with a point deep in the object.
        shifted: the same, shifted by its own size.
        corner: a box in the corner furthest from the object, with a point in its centre.
    """

    count: int
    true: float
    shifted: float
    corner: float

    @property
    def tells_apart(self) -> bool:
        """Whether a better prompt scores clearly higher."""
        return self.shifted <= SHIFTED_AT_MOST * self.true and self.corner <= CORNER_AT_MOST * self.true

    def __str__(self) -> str:
        return (
            f"Mean IoU of prompts on {self.count} of the pictures: {self.true:.3f} for correct ones, "
            f"{self.shifted:.3f} for shifted ones, {self.corner:.3f} in a far corner."
        )


def check_prompts(rows: Sequence[Row], segmenter: Segmenter, most: int = PICTURES) -> PromptCheck | None:
    """Score three prompts on some rows; None if no row has a mask.

    Args:
        rows: training rows, of which evenly spaced ones are used.
        segmenter: makes the masks, as in the app.
        most: largest number of pictures.
    """
    found: list[tuple[float, float, float]] = []
    for row in rows[:: max(1, len(rows) // most)]:
        example = row.load()
        truth = example.truth.mask
        if truth is None or not truth.any() or truth.all():
            continue
        size = example.picture.size
        prompts = (oracle_prompt(truth), shifted_prompt(truth, size), corner_prompt(truth, size))
        masks = [segment_prompts([prompt], example.picture, segmenter)[1] for prompt in prompts]
        true, shifted, corner = (iou(mask, truth) for mask in masks)
        found.append((true, shifted, corner))
        if len(found) == most:
            break
    return PromptCheck(len(found), *(fmean(column) for column in zip(*found, strict=True))) if found else None


def shifted_prompt(truth: Mask, image_wh: ImageSize) -> ObjectPrompt:
    """The true prompt shifted by its box's own size, to the side with more room."""
    box = mask_box(truth)
    assert box is not None
    rooms = {
        (-1, 0): box.x1 / (box.x2 - box.x1),
        (1, 0): (image_wh.width - box.x2) / (box.x2 - box.x1),
        (0, -1): box.y1 / (box.y2 - box.y1),
        (0, 1): (image_wh.height - box.y2) / (box.y2 - box.y1),
    }
    dx, dy = max(rooms, key=lambda way: rooms[way])
    # Only so far that at least a strip of it stays inside.
    width, height = box.x2 - box.x1, box.y2 - box.y1
    left = min(max(box.x1 + dx * width, 0.0), image_wh.width - 2.0)
    top = min(max(box.y1 + dy * height, 0.0), image_wh.height - 2.0)
    right, bottom = (
        min(max(box.x2 + dx * width, left + 2), image_wh.width),
        min(max(box.y2 + dy * height, top + 2), image_wh.height),
    )
    return _boxed(Box(left, top, right, bottom))


def corner_prompt(truth: Mask, image_wh: ImageSize) -> ObjectPrompt:
    """A small box in the corner furthest from the object."""
    box = mask_box(truth)
    assert box is not None
    width, height = CORNER * image_wh.width, CORNER * image_wh.height
    left = 0.0 if box.x1 + box.x2 > image_wh.width else image_wh.width - width
    top = 0.0 if box.y1 + box.y2 > image_wh.height else image_wh.height - height
    return _boxed(Box(left, top, left + width, top + height))


def _boxed(box: Box) -> ObjectPrompt:
    """A box with a positive point in its middle."""
    return ObjectPrompt(box, (Point((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, 1),))
