"""Which coordinate range a policy uses, measured by its boxes around objects whose ground-truth masks are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from segr1_app.domain import Box, ImageSize, SettingsError
from segr1_app.geometry import box_iou, mask_box
from segr1_app.images.masks import load_mask
from segr1_app.images.pictures import Picture, load_picture
from segr1_app.language.protocol import CoordinateFrame, Square
from segr1_app.models.pipeline import AnyPolicy

LEAST_OVERLAP: Final = 0.5
"""IoU of the boxes from which the policy is assumed to have found the true object."""
LEAST_PICTURES: Final = 5
DRAWS: Final = 500
"""Number of bootstrap samples of the pictures, for the confidence interval of the factor."""


def fit(edges: list[npt.NDArray[np.float64]], readings: dict[CoordinateFrame, float]) -> dict[str, Any]:
    """The factor between written and true coordinates, shared by x and y, and the reading that it indicates.

    The factor is the one with the least sum of absolute errors: a median of ratios, weighted by the true coordinate,
    which is robust to a few wrong boxes. The interval contains 95 % of the bootstrap factors.

    Args:
        edges: for each picture, float (N, 2): written and true coordinates, in pixels of what the model sees.
        readings: the factor that each reading implies; with only one, there is nothing to choose.

    Raises:
        SettingsError: when too few pictures can be compared.
    """
    if len(edges) < LEAST_PICTURES:
        raise SettingsError(
            f"Only {len(edges)} answers show the true object; at least {LEAST_PICTURES} are needed: give more pictures."
        )
    rng = np.random.default_rng(0)
    factor = _factor(np.concatenate(edges))
    drawn = (rng.integers(len(edges), size=len(edges)) for _ in range(DRAWS))
    draws = [_factor(np.concatenate([edges[i] for i in indices])) for indices in drawn]
    low, high = (float(value) for value in np.quantile(draws, (0.025, 0.975)))
    found = min(readings, key=lambda reading: abs(readings[reading] - factor))
    other = max(readings.values(), key=lambda value: abs(value - readings[found]))
    # Half way between the two, neither is better.
    middle = (readings[found] + other) / 2
    clear = len(set(readings.values())) > 1 and not low <= middle <= high
    return {
        "factor": round(factor, 5),
        "interval": [round(low, 5), round(high, 5)],
        "compared": len(edges),
        "expected": {reading.value: round(value, 5) for reading, value in readings.items()},
        "reading": found.value if clear else None,
    }


def _factor(edges: npt.NDArray[np.float64]) -> float:
    written, true = edges.T
    order = np.argsort(written / true)
    weight = np.cumsum(true[order])
    return float((written / true)[order][np.searchsorted(weight, weight[-1] / 2)])


def coordinate_readings(policy: AnyPolicy) -> dict[CoordinateFrame, float]:
    """The factor that each reading implies, relative to what the model sees; both are 1 where the frame is not
    rounded.
    """
    request = policy.request(ImageSize(640, 480), "-")
    frame = policy.protocol.askings[request.stage, request.task].frame
    handed = frame.side / request.frame.width if isinstance(frame, Square) else 1.0
    spans = isinstance(policy.protocol.askings[request.stage, request.task].coordinates, CoordinateFrame)
    return {CoordinateFrame.SEEN: 1.0, CoordinateFrame.HANDED: handed if spans else 1.0}


def box_edges(policy: AnyPolicy, pairs: list[tuple[Path, Path]], instruction: str) -> list[npt.NDArray[np.float64]]:
    """The written and true box edges of each picture in which the policy found the true object."""
    found = []
    for picture, true in tqdm(_truths(pairs), total=len(pairs), unit="picture"):
        request = policy.request(picture.size, instruction)
        parsed = request.read("".join(policy.stream(picture, instruction)))
        boxes = [prompt.box for prompt in parsed.objects if prompt.box is not None]
        if not boxes:
            continue
        written = _around(boxes)
        if box_iou(written, true) < LEAST_OVERLAP:
            continue
        # Convert back to the written numbers, in pixels of what the model sees.
        scale = (
            request.coordinates.width / request.frame.width,
            request.coordinates.height / request.frame.height,
        )
        rows = [(w * scale[i % 2], t) for i, (w, t) in enumerate(zip(written.xyxy, true.xyxy, strict=True))]
        limits = (picture.size.width, picture.size.height) * 2
        # Edges at the border carry no information, because anything written beyond it is clipped.
        kept = [row for row, limit in zip(rows, limits, strict=True) if limit * 0.02 < row[1] < limit * 0.98]
        found += [np.array(kept)] if kept else []
    return found


def _truths(pairs: Iterable[tuple[Path, Path]]) -> Iterator[tuple[Picture, Box]]:
    """The pictures with the boxes of their ground-truth masks; empty masks are skipped."""
    for image, mask in pairs:
        picture = load_picture(image)
        truth = load_mask(mask)
        if truth.shape != (picture.size.height, picture.size.width):
            raise SettingsError(f"The mask '{mask}' differs in size from its picture '{image}'.")
        box = mask_box(truth)
        if box is not None:
            yield picture, box


def _around(boxes: list[Box]) -> Box:
    x1, y1, x2, y2 = np.array([box.xyxy for box in boxes]).T
    return Box(float(x1.min()), float(y1.min()), float(x2.max()), float(y2.max()))
