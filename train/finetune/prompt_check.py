"""Does the reward depend on the prompt? A check before a training: what it cannot tell apart it cannot teach.

A segmenter that finds the object whatever it is asked for rewards a good answer and a bad one alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt, Point
from segr1_app.geometry import mask_box, union_masks
from segr1_app.metrics import iou
from segr1_app.models.segmenter import Segmenter
from train.data.prompting import oracle_prompt
from train.data.rows import Row

PICTURES: Final = 16
CORNER: Final = 0.2
"""Side of the box in a corner, as a share of the picture's."""
SHIFTED_AT_MOST, CORNER_AT_MOST = 0.8, 0.5
"""What shifted prompts and those in a corner may get, as a share of what true ones do, for the reward to be of use."""


@dataclass(frozen=True, slots=True)
class PromptCheck:
    """Mean IoU of the masks of three prompts, with the true masks.

    Attributes:
        count: pictures that were looked at.
        true: the true box, with a point deep in the object.
        shifted: the same, moved by its own size.
        corner: a box in the corner that is furthest from the object, with a point in its middle.
    """

    count: int
    true: float
    shifted: float
    corner: float

    @property
    def tells_apart(self) -> bool:
        """Whether a better prompt earns clearly more."""
        return self.shifted <= SHIFTED_AT_MOST * self.true and self.corner <= CORNER_AT_MOST * self.true

    def __str__(self) -> str:
        return (
            f"What a prompt earns, mean IoU on {self.count} of the pictures: {self.true:.3f} where it is right, "
            f"{self.shifted:.3f} moved aside, {self.corner:.3f} in a far corner."
        )


def check_prompts(rows: Sequence[Row], segmenter: Segmenter, most: int = PICTURES) -> PromptCheck | None:
    """Score three prompts on some rows; None when no row has a mask to score by.

    Args:
        rows: to be trained on; evenly spread ones are taken.
        segmenter: makes the masks, as in the app.
        most: pictures at most.
    """
    found: list[tuple[float, float, float]] = []
    for row in rows[:: max(1, len(rows) // most)]:
        example = row.load()
        truth = example.truth.mask
        if truth is None or not truth.any() or truth.all():
            continue
        size = example.picture.size
        prompts = (oracle_prompt(truth), shifted_prompt(truth, size), corner_prompt(truth, size))
        masks = [segmenter.segment(example.picture, [prompt])[0].mask for prompt in prompts]
        true, shifted, corner = (iou(union_masks([mask], size), truth) for mask in masks)
        found.append((true, shifted, corner))
        if len(found) == most:
            break
    return PromptCheck(len(found), *(fmean(column) for column in zip(*found, strict=True))) if found else None


def shifted_prompt(truth: Mask, image_wh: ImageSize) -> ObjectPrompt:
    """The true prompt moved by its box's own size, to the side on which there is more room."""
    box = mask_box(truth)
    assert box is not None
    rooms = {
        (-1, 0): box.x1 / (box.x2 - box.x1),
        (1, 0): (image_wh.width - box.x2) / (box.x2 - box.x1),
        (0, -1): box.y1 / (box.y2 - box.y1),
        (0, 1): (image_wh.height - box.y2) / (box.y2 - box.y1),
    }
    dx, dy = max(rooms, key=lambda way: rooms[way])
    # Only as far as there is room for at least a strip of it.
    width, height = box.x2 - box.x1, box.y2 - box.y1
    left = min(max(box.x1 + dx * width, 0.0), image_wh.width - 2.0)
    top = min(max(box.y1 + dy * height, 0.0), image_wh.height - 2.0)
    right, bottom = (
        min(max(box.x2 + dx * width, left + 2), image_wh.width),
        min(max(box.y2 + dy * height, top + 2), image_wh.height),
    )
    return _boxed(Box(left, top, right, bottom))


def corner_prompt(truth: Mask, image_wh: ImageSize) -> ObjectPrompt:
    """A small box in the corner that is furthest from the object."""
    box = mask_box(truth)
    assert box is not None
    width, height = CORNER * image_wh.width, CORNER * image_wh.height
    left = 0.0 if box.x1 + box.x2 > image_wh.width else image_wh.width - width
    top = 0.0 if box.y1 + box.y2 > image_wh.height else image_wh.height - height
    return _boxed(Box(left, top, left + width, top + height))


def _boxed(box: Box) -> ObjectPrompt:
    """A box with a positive point in its middle."""
    return ObjectPrompt(box, (Point((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, 1),))
