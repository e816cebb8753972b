"""Baseline masks made without a model of this project, for comparison with the embedded pair.

Each is drawn from a box, which lies in the middle of the picture or around the true mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from segr1_app.domain import Box, ImageSize, Mask
from segr1_app.geometry import mask_box
from segr1_app.images.pictures import Picture

Draw = Callable[[Box, Picture], Mask]
"""A mask from a box, which lies within the picture: bool (height, width)."""
GRABCUT_SIDE, GRABCUT_ROUNDS = 256, 5
"""The longest side of what GrabCut sees, in pixels, and how often it learns the colours of both sides again."""
GRABCUT_SEED = 0


def centred_box(image_wh: ImageSize, share: float) -> Box:
    """A box of ``share`` of both sides in the middle of the picture."""
    width, height = image_wh
    margin = (1 - share) / 2
    return Box(width * margin, height * margin, width * (1 - margin), height * (1 - margin))


def from_truth(draw: Draw) -> Callable[[Picture, Mask], Mask]:
    """The mask drawn from the box around the ground truth."""

    def answer(picture: Picture, truth: Mask) -> Mask:
        box = mask_box(truth)
        return draw(box, picture) if box else np.zeros_like(truth)

    return answer


def from_middle(draw: Draw, share: float) -> Callable[[Picture, Mask], Mask]:
    """The mask drawn from a box of ``share`` of both sides in the middle of the picture."""
    return lambda picture, _: draw(centred_box(picture.size, share), picture)


def filled(box: Box, picture: Picture) -> Mask:
    """Everything inside a box."""
    mask = np.zeros((picture.size.height, picture.size.width), dtype=bool)
    mask[round(box.y1) : round(box.y2), round(box.x1) : round(box.x2)] = True
    return mask


def ellipse(box: Box, picture: Picture) -> Mask:
    """The ellipse that touches a box's sides, filled."""
    y, x = np.mgrid[: picture.size.height, : picture.size.width] + 0.5
    width, height = box.x2 - box.x1, box.y2 - box.y1
    mask: Mask = ((x - box.x1) / width - 0.5) ** 2 + ((y - box.y1) / height - 0.5) ** 2 <= 0.25
    return mask


def grab_cut(box: Box, picture: Picture) -> Mask:
    """GrabCut (Rother et al., SIGGRAPH 2004): outside the box is background, colours and edges decide inside.

    A box as large as the picture leaves no background to learn from, and is the answer itself.
    """
    scale = min(1.0, GRABCUT_SIDE / max(picture.size))
    width, height = (max(1, round(side * scale)) for side in picture.size)
    left, top = math.floor(box.x1 * scale), math.floor(box.y1 * scale)
    right, bottom = min(width, math.ceil(box.x2 * scale)), min(height, math.ceil(box.y2 * scale))
    if (right - left, bottom - top) == (width, height):
        return filled(box, picture)
    seen = cv2.resize(picture.pixels, (width, height), interpolation=cv2.INTER_AREA)
    labels = np.zeros((height, width), np.uint8)
    # The colours of either side are first parted by k-means from random centres.
    cv2.setRNGSeed(GRABCUT_SEED)
    rectangle = (left, top, right - left, bottom - top)
    cv2.grabCut(
        seen, labels, rectangle, np.zeros((1, 65)), np.zeros((1, 65)), GRABCUT_ROUNDS, mode=cv2.GC_INIT_WITH_RECT
    )
    inside = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.resize(inside, tuple(picture.size), interpolation=cv2.INTER_NEAREST).astype(bool)
