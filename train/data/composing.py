"""Compose scenes, and instructions for one of several objects: the left one, the largest, the red one.

Few photographs in the data sets show several objects, and none specifies which one is meant. A scene is a photograph
into which objects of other photographs are pasted next to its own; the mask and the visible part of each are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from segr1_app.domain import Box, ImageSize, Mask, RgbPixels
from segr1_app.geometry import box_iou, mask_box
from train.data.traces import MAX_OBJECTS, colour_word, measure

OWN_SHARE = 0.25
"""Largest fraction of a photograph that its own object may cover, to leave room for others."""
PASTED_SHARES = (0.015, 0.12)
"""Smallest and largest fraction of the picture covered by a pasted object's box."""
TRIES = 12
"""Positions tried for an object before it is left out."""
APART, LARGER = 0.12, 1.6
"""Margins for "left" and "largest": a distance of this fraction of the picture's side, and this multiple of the next
largest area.
"""
MOST_UNEVEN = 1.7
"""Largest ratio of the sides of a picture that is put beside another."""


def has_room(objects: Sequence[Mask]) -> bool:
    """Whether others can be pasted into a picture with these objects, bool (H, W) each: it shows a single small
    object.
    """
    return len(objects) == 1 and float(objects[0].mean()) < OWN_SHARE


def compose(
    pixels: RgbPixels,
    mask: Mask,
    others: Sequence[tuple[RgbPixels, npt.NDArray[np.uint8]]],
    rng: np.random.Generator,
) -> tuple[RgbPixels, list[Mask]]:
    """As `paste`, for callers that do not ask which object is whose."""
    scene, objects, _ = paste(pixels, mask, others, rng)
    return scene, objects


def paste(
    pixels: RgbPixels,
    mask: Mask,
    others: Sequence[tuple[RgbPixels, npt.NDArray[np.uint8]]],
    rng: np.random.Generator,
) -> tuple[RgbPixels, list[Mask], list[int]]:
    """Paste the objects of ``others`` into a picture, without overlaps.

    Args:
        pixels: uint8 (H, W, 3) RGB, the ground.
        mask: bool (H, W), its own object.
        others: pictures and masks, 0 to 255, of objects to paste; one that fits nowhere is left out.
        rng: the only source of randomness.

    Returns:
        The new picture, its objects from left to right, bool (H, W) each, and whose they are: 0 for the ground's own,
        1 for that of the first of ``others``, and so on.
    """
    scene, objects, owners = pixels.copy(), [mask], [0]
    rows, columns = mask.shape
    boxes = [box for box in [mask_box(mask)] if box]
    for number, (picture, whole) in enumerate(others[: MAX_OBJECTS - 1], start=1):
        cut = _cut(picture, whole, mask.shape, rng)
        if cut is None:
            continue
        colours, cover = cut
        height, width = cover.shape
        for _ in range(TRIES):
            left, top = int(rng.integers(0, columns - width + 1)), int(rng.integers(0, rows - height + 1))
            box = Box(left, top, left + width, top + height)
            if any(box_iou(box, taken) for taken in boxes):
                continue
            part = scene[top : top + height, left : left + width]
            part[:] = (part * (1 - cover[..., None]) + colours * cover[..., None]).astype(np.uint8)
            pasted = np.zeros_like(mask)
            pasted[top : top + height, left : left + width] = cover > 0.5
            objects.append(pasted)
            owners.append(number)
            boxes.append(box)
            break
    order = np.argsort([box.x1 for box in boxes])
    return scene, [objects[index] for index in order], [owners[index] for index in order]


def put_beside(
    views: Sequence[tuple[RgbPixels, Mask]], ratios: Sequence[float], rng: np.random.Generator
) -> tuple[RgbPixels, list[Mask], ImageSize]:
    """Put pictures side by side or one above the other.

    Args:
        views: pictures, uint8 (S, S, 3) RGB, all of one size, and the object of each, bool (S, S).
        ratios: width divided by height of each, before it was squashed to a square.
        rng: decides between side by side and one above the other.

    Returns:
        The new picture, the objects in it, and a size with its aspect ratio.
    """
    side, across = len(views[0][1]), bool(rng.random() < 0.5)
    shown = [min(max(ratio, 1 / MOST_UNEVEN), MOST_UNEVEN) for ratio in ratios]
    lengths = [max(round(side * (ratio if across else 1 / ratio)), 1) for ratio in shown]
    total = sum(lengths)
    scene = np.empty((side, total, 3) if across else (total, side, 3), np.uint8)
    objects = []
    begin = 0
    for (pixels, mask), length in zip(views, lengths, strict=True):
        size = (length, side) if across else (side, length)
        place = (slice(None), slice(begin, begin + length)) if across else (slice(begin, begin + length), slice(None))
        scene[place] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        whole = np.zeros(scene.shape[:2], dtype=bool)
        whole[place] = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        objects.append(whole)
        begin += length
    return scene, objects, ImageSize(*scene.shape[1::-1])


def distinguishing_words(pixels: RgbPixels, objects: Sequence[Mask]) -> dict[str, int]:
    """The words that identify exactly one of at least two objects, and the index of that object."""
    found = [measure(pixels, mask) for mask in objects]
    leads: dict[str, Callable[[int], float]] = {
        "left": lambda i: 1 - found[i].x,
        "right": lambda i: found[i].x,
        "top": lambda i: 1 - found[i].y,
        "bottom": lambda i: found[i].y,
    }
    means: dict[str, int] = {}
    for word, value in leads.items():
        second, first = np.argsort([value(i) for i in range(len(objects))])[-2:]
        if value(first) - value(second) >= APART:
            means[word] = int(first)
    by_area = np.argsort([one.share for one in found]).tolist()
    for word, larger, smaller in (("largest", by_area[-1], by_area[-2]), ("smallest", by_area[1], by_area[0])):
        if found[larger].share >= LARGER * found[smaller].share:
            means |= {word: larger if word == "largest" else smaller}
    colours = [colour_word(one.colour) for one in found]
    return means | {colour: colours.index(colour) for colour in colours if colours.count(colour) == 1}


def _cut(
    picture: RgbPixels, mask: npt.NDArray[np.uint8], scene: tuple[int, ...], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """An object cut out of its picture, at a random size for a scene of this height and width in pixels.

    Returns:
        float32 colours (h, w, 3) and coverage (h, w) from 0 to 1; None if nothing of it remains.
    """
    box = mask_box(mask > 127)
    if box is None:
        return None
    x1, y1, x2, y2 = (int(value) for value in box.xyxy)
    height, width = y2 - y1, x2 - x1
    rows, columns = scene
    scale = float(np.sqrt(rng.uniform(*PASTED_SHARES) * rows * columns / (height * width)))
    size = (min(max(round(width * scale), 8), columns // 2), min(max(round(height * scale), 8), rows // 2))
    colours = cv2.resize(picture[y1:y2, x1:x2], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    cover: npt.NDArray[np.float32] = cv2.resize(mask[y1:y2, x1:x2], size, interpolation=cv2.INTER_AREA).astype(
        np.float32
    ) / np.float32(255)
    if not (cover > 0.5).any():
        return None
    return (colours[:, ::-1], cover[:, ::-1]) if rng.random() < 0.5 else (colours, cover)
