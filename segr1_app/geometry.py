"""Coordinate frames, and geometry of masks, boxes and points.

A policy uses the pixels of its own resized picture, everything else those of the original. Both sizes are explicit
in every conversion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Final, TypedDict

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt, Point

MASK_BYTES = 2**30
"""Memory limit in bytes for the full-size masks of one answer."""


class Rle(TypedDict):
    """A mask in COCO's compressed run-length encoding; ``size`` is [height, width]."""

    size: Annotated[list[int], "[number, number]"]
    counts: str


MOST_ASPECT: Final = 200
"""How many times longer than the other one side of a picture may be that Qwen's image processors accept."""


def policy_frame(image_wh: ImageSize, *, grid: int, min_pixels: int, max_pixels: int) -> ImageSize:
    """The size to which a picture is resized for the policy.

    Both sides are multiples of ``grid`` and the area lies within the bounds. Among those sizes it is the one whose
    aspect ratio is nearest to the picture's (as a factor), and of equally near ones the one nearest to the picture's
    own area, clipped to the bounds. No side is more than `MOST_ASPECT` times the other.

    Args:
        image_wh: the original size in pixels.
        grid: side of a patch after merging, in pixels; 28 for Qwen2.5-VL.
        min_pixels, max_pixels: bounds of the area, in pixels.
    """
    width, height = image_wh
    area = min(max(width * height, min_pixels), max_pixels)
    # The bounds are in whole cells; if no whole number of cells lies between them, the upper bound wins.
    most = max(max_pixels // grid**2, 1)
    least = min(math.ceil(min_pixels / grid**2), most)
    best, best_key = ImageSize(grid, grid), (math.inf, math.inf)
    for columns in range(1, most + 1):
        exact = columns * height / width
        narrowest, widest = columns * MOST_ASPECT, math.ceil(columns / MOST_ASPECT)
        near = {math.floor(exact), math.ceil(exact), math.ceil(least / columns), most // columns, narrowest, widest}
        for rows in near:
            if not least <= columns * rows <= most or not widest <= rows <= narrowest:
                continue
            distortion = abs(math.log(columns / rows * height / width))
            # Distortions of up to 2 % are not visible; among those, the area decides.
            key = (round(distortion * 50), abs(math.log(columns * rows * grid**2 / area)))
            if key < best_key:
                best, best_key = ImageSize(columns * grid, rows * grid), key
    return best


def size_within(image_wh: ImageSize, side: int) -> ImageSize:
    """A size scaled down so that neither side is longer than ``side`` pixels; one that is small enough stays."""
    scale = min(1.0, side / max(image_wh))
    return ImageSize(max(1, round(image_wh.width * scale)), max(1, round(image_wh.height * scale)))


def rescale_objects(
    objects: Sequence[ObjectPrompt], *, from_wh: ImageSize, to_wh: ImageSize
) -> tuple[ObjectPrompt, ...]:
    """Convert prompts from pixels of the frame ``from_wh`` to pixels of the frame ``to_wh``."""
    sx, sy = to_wh[0] / from_wh[0], to_wh[1] / from_wh[1]
    return tuple(
        ObjectPrompt(
            Box(prompt.box.x1 * sx, prompt.box.y1 * sy, prompt.box.x2 * sx, prompt.box.y2 * sy) if prompt.box else None,
            tuple(Point(point.x * sx, point.y * sy, point.label) for point in prompt.points),
            prompt.name,
        )
        for prompt in objects
    )


def assign_points(boxes: Sequence[Box], points: Sequence[Point]) -> tuple[ObjectPrompt, ...]:
    """Assign each point to the smallest box that contains it, else to the nearest box.

    Returns:
        One prompt per box, in order; without boxes one prompt with all points, or none when there are none either.
    """
    if not boxes:
        return (ObjectPrompt(None, tuple(points)),) if points else ()
    owned: list[list[Point]] = [[] for _ in boxes]
    for point, owner in zip(points, owners(boxes, np.array([(p.x, p.y) for p in points])), strict=True):
        owned[owner].append(point)
    return tuple(ObjectPrompt(box, tuple(own)) for box, own in zip(boxes, owned, strict=True))


def points_inside(boxes: Sequence[Box], points: Sequence[Point]) -> tuple[ObjectPrompt, ...]:
    """Assign each point to every box that contains it, edges included; points outside all boxes are left out.

    Returns:
        One prompt per box, in order; without boxes one prompt with all points, or none when there are none either.
    """
    if not boxes:
        return (ObjectPrompt(None, tuple(points)),) if points else ()
    return tuple(
        ObjectPrompt(box, tuple(p for p in points if box.x1 <= p.x <= box.x2 and box.y1 <= p.y <= box.y2))
        for box in boxes
    )


def add_point(objects: Sequence[ObjectPrompt], point: Point) -> tuple[ObjectPrompt, ...]:
    """The prompts with one more point, assigned to an object by the rule of `assign_points`.

    Where there are no boxes the point goes to the last object, or to a new one.
    """
    boxed = [(index, prompt.box) for index, prompt in enumerate(objects) if prompt.box is not None]
    if not objects:
        return (ObjectPrompt(None, (point,)),)
    owner = len(objects) - 1
    if boxed:
        owner = boxed[owners([box for _, box in boxed], np.array([(point.x, point.y)]))[0]][0]
    return tuple(
        replace(prompt, points=(*prompt.points, point)) if index == owner else prompt
        for index, prompt in enumerate(objects)
    )


def owners(boxes: Sequence[Box], points: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """The box that each point belongs to, by the rule of `assign_points`.

    Args:
        boxes: at least one.
        points: float (N, 2) as x, y, in the boxes' frame.

    Returns:
        int (N,), indices of ``boxes``.
    """
    x1, y1, x2, y2 = np.array([box.xyxy for box in boxes]).T
    x, y = points.reshape(-1, 2, 1).transpose(1, 0, 2)
    distance = np.hypot(np.maximum(np.maximum(x1 - x, x - x2), 0), np.maximum(np.maximum(y1 - y, y - y2), 0))
    # The distance is zero for every box that contains the point: among those, and among equally near ones, area
    # decides.
    nearest = distance == distance.min(axis=1, keepdims=True)
    found: npt.NDArray[np.intp] = np.where(nearest, (x2 - x1) * (y2 - y1), np.inf).argmin(axis=1)
    return found


def encode_rle(mask: Mask) -> Rle:
    """A bool (height, width) mask as COCO RLE, ready for JSON."""
    # COCO counts along columns. OpenCV transposes a picture of megapixels five times as fast as numpy does.
    by_columns = cv2.transpose(np.ascontiguousarray(mask).view(np.uint8)).T
    encoded = coco.encode(by_columns)
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def decode_rle(rle: Rle) -> Mask:
    """Decode a COCO RLE to a bool (height, width) mask, in row-major memory order like every other mask."""
    by_columns = coco.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")})
    mask: Mask = cv2.transpose(by_columns.T).view(np.bool_)
    return mask


def check_rle(rle: Rle) -> None:
    """Reject an RLE from outside whose runs do not cover its pixels exactly: its decoder would read past the end.

    Raises:
        ValueError: when the size is invalid or the runs do not add up to its area.
    """
    height, width = rle["size"]
    runs: list[int] = []
    value, shift = 0, 0
    for character in rle["counts"]:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 30:
            raise ValueError("the run lengths are not in COCO's encoding")
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            # From the fourth run on, each is stored as the difference from the run before the previous one.
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    if shift or any(run < 0 for run in runs) or sum(runs) != height * width or min(height, width) < 1:
        raise ValueError(f"the run lengths do not add up to {width} x {height} pixels")


def most_objects(image_wh: ImageSize) -> int:
    """How many masks of a picture's size, one byte per pixel, fit into `MASK_BYTES`; at least one."""
    return max(1, MASK_BYTES // (image_wh.width * image_wh.height))


def union_masks(masks: Iterable[Mask], size: ImageSize) -> Mask:
    """The union of bool (height, width) masks of ``size``, as in Seg-R1; all False without masks."""
    union: Mask = np.zeros((size.height, size.width), dtype=np.bool_)
    for mask in masks:
        union |= mask
    return union


def compose_layers(segmented: Mask, painted: Mask | None, erased: Mask | None) -> Mask:
    """The final mask of an object: ``segmented`` without the erased pixels, with the painted ones; all of one shape.

    Without layers, it is ``segmented`` itself.
    """
    final = segmented
    if erased is not None:
        final = final & ~erased
    if painted is not None:
        final = final | painted
    return final


def clean_mask(mask: Mask, least: float, kept: Iterable[Point] = ()) -> Mask:
    """Remove specks and holes: small connected components of foreground (8-connected) and background (4-connected).

    Args:
        mask: bool (height, width).
        least: the smallest component that is kept, as a fraction of the mask's area.
        kept: points, in pixels of the mask. The component under one is kept whatever its size if the point says so:
            foreground for label 1, background for 0.

    Returns:
        bool (height, width); the given mask itself where there is nothing to remove.
    """
    height, width = mask.shape
    kept = tuple(kept)
    smallest = least * np.count_nonzero(mask)
    for foreground in (True, False):
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            (mask == foreground).view(np.uint8), connectivity=8 if foreground else 4
        )
        small = stats[:, cv2.CC_STAT_AREA] < smallest
        # Component 0 is the complement.
        small[0] = False
        for point in kept:
            if point.label == foreground and 0 <= point.x <= width and 0 <= point.y <= height:
                small[parts[min(int(point.y), height - 1), min(int(point.x), width - 1)]] = False
        if small[:count].any():
            mask = mask ^ small[parts]
    return mask


def resize_nearest(mask: Mask, size: ImageSize) -> Mask:
    """Resize a mask by nearest-neighbour sampling: each pixel takes the value under its centre."""
    height, width = mask.shape
    rows = ((np.arange(size.height) + 0.5) * height / size.height).astype(np.intp)
    columns = ((np.arange(size.width) + 0.5) * width / size.width).astype(np.intp)
    sampled: Mask = mask[np.ix_(rows, columns)]
    return sampled


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes of one frame, in [0, 1]."""
    width, height = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (a.area + b.area - shared)


def mask_box(mask: Mask) -> Box | None:
    """The tight box around a mask, its right and bottom edge just outside the last pixel; None for an empty mask."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def deepest_point(mask: Mask) -> tuple[float, float]:
    """The centre (x, y) of the pixel furthest inside a mask; the picture's border counts as outside.

    Raises:
        ValueError: for an empty mask.
    """
    box = mask_box(mask)
    if box is None:
        raise ValueError("an empty mask has no inside")
    left, top, right, bottom = (int(edge) for edge in box.xyxy)
    # The nearest pixel outside the mask never lies beyond a border around the box.
    padded = np.pad(mask[top:bottom, left:right].view(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # Squared distances are integers. Their square roots have rounding errors that vary from call to call with the
    # array's alignment in memory, and would make the choice among equally deep pixels vary too.
    y, x = divmod(int(np.rint(depth.astype(np.float64) ** 2).argmax()), right - left)
    return left + x + 0.5, top + y + 0.5
