"""Training views in which only the prompt defines the target: several objects, parts, and background regions.

Photographs with a single foreground mask teach a segmenter to find the salient object, whatever the prompt. Here the
target depends on the prompt: two pictures side by side, objects pasted next to each other, patches of uniform colour in
the background or inside an object, and boxes on plain background.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segr1_app.domain import Mask, ObjectPrompt, RgbPixels
from train.data.augment import augment, close_up
from train.data.composing import compose
from train.data.pairs import PackedPairs
from train.data.prompting import STYLES, PromptStyle, simulate_prompt, target_of

SIDE_BY_SIDE, PASTED = 0.22, 0.18
"""Probabilities of a view with two pictures, and of a picture with pasted objects of others; otherwise it shows a
single picture.
"""
REGIONS, BOXES = 0.28, 0.07
"""Fractions of a picture's prompts for a patch of uniform colour, and for the contents of a box on background."""
BACKGROUND = 0.65
"""The fraction of patches in the background; the others are parts of an object."""
CLOSE_UPS = 0.4
"""Probability that a view with several objects is zoomed to one of them, as for a segmenter that zooms."""
LEAST, MOST_OF_PICTURE, MOST_OF_OBJECT = 0.003, 0.35, 0.7
"""Bounds on the area of a patch, as a fraction of the picture; the upper bound also applies to its fraction of the
object.
"""
TOLERANCES = (6, 26)
"""Smallest and largest tolerance per channel, 0 to 255, relative to the colour at a patch's seed."""
TRIES = 3

PRECISE: tuple[PromptStyle, ...] = (
    PromptStyle(0.20, 0.0),
    PromptStyle(0.20, 0.06, (1, 1)),
    PromptStyle(0.18, 0.15, (0, 2), (0, 1)),
    PromptStyle(0.34, None, (1, 1)),
    PromptStyle(0.14, None, (1, 3), (0, 2)),
)
"""Prompts without wrong points: where several targets are possible, only the prompt decides."""
BOXED = tuple(style for style in PRECISE if style.box_error is not None)


def draw_view(
    pairs: PackedPairs, index: int, others: Sequence[int], *, prompts: int, close: float, rng: np.random.Generator
) -> tuple[RgbPixels, list[Mask], list[ObjectPrompt]]:
    """One view, and prompts for different targets in it.

    Args:
        pairs: the source of pictures and masks.
        index: the picture; its mask is not empty.
        others: pictures whose objects may be pasted next to its own.
        prompts: how many prompts to draw.
        close: probability that a view of a single picture is zoomed.
        rng: the only source of randomness.

    Returns:
        uint8 (S, S, 3), and as many bool (S, S) targets as prompts, in the view's frame.
    """
    kind = rng.random()
    if kind < SIDE_BY_SIDE:
        pixels, objects = _side_by_side(pairs, index, others[0], rng)
    elif kind < SIDE_BY_SIDE + PASTED:
        pixels, objects = _pasted(pairs, index, others, rng)
    else:
        pixels, mask = augment(pairs.images[index], pairs.masks[index], rng, close)
        objects = [mask]
    if len(objects) > 1 and rng.random() < CLOSE_UPS:
        pixels, objects = close_up(pixels, objects, int(rng.integers(len(objects))), rng)
    foreground = np.logical_or.reduce(objects)
    smooth = cv2.medianBlur(pixels, 5).astype(np.uint8, copy=False)
    targets, asked = [], []
    for _ in range(prompts):
        target, styles = _target(smooth, objects, foreground, rng)
        targets.append(target)
        asked.append(simulate_prompt(target, rng, styles))
    return pixels, targets, asked


def _target(
    smooth: RgbPixels, objects: Sequence[Mask], foreground: Mask, rng: np.random.Generator
) -> tuple[Mask, tuple[PromptStyle, ...]]:
    kind = rng.random()
    chosen = objects[int(rng.integers(len(objects)))]
    if kind < REGIONS:
        if rng.random() < BACKGROUND:
            found, styles = patch(smooth, ~foreground, MOST_OF_PICTURE, rng), PRECISE
        else:
            # A click on an object means all of it: only a box can ask for a part.
            found, styles = patch(smooth, chosen, MOST_OF_OBJECT * float(chosen.mean()), rng), BOXED
        if found is not None:
            return found, styles
    elif kind < REGIONS + BOXES:
        found = _background_box(foreground, rng)
        if found is not None:
            return found, PRECISE[:1]
    if len(objects) == 1:
        return target_of(chosen, rng), STYLES
    return chosen, PRECISE


def patch(smooth: RgbPixels, allowed: Mask, most: float, rng: np.random.Generator) -> Mask | None:
    """A connected patch of uniform colour within ``allowed``, bool (H, W); None if none of a suitable size was found.

    Args:
        smooth: uint8 (H, W, 3), the picture without fine texture.
        allowed: bool (H, W), where the patch may be.
        most: largest fraction of the picture that it may cover.
        rng: the only source of randomness.
    """
    places = np.flatnonzero(allowed)
    if not len(places):
        return None
    height, width = allowed.shape
    for _ in range(TRIES):
        y, x = divmod(int(rng.choice(places)), width)
        barrier = np.ones((height + 2, width + 2), np.uint8)
        barrier[1:-1, 1:-1] = ~allowed
        tolerance = (int(rng.integers(*TOLERANCES)),) * 3
        # The pixels found are marked 2 in the mask; the picture itself is not changed.
        flags = 4 | (2 << 8) | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
        cv2.floodFill(smooth, barrier, (x, y), 0, tolerance, tolerance, flags)
        grown = (barrier[1:-1, 1:-1] == 2).astype(np.uint8)
        closed = cv2.morphologyEx(grown, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)) & allowed.astype(np.uint8)
        opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        _, parts = cv2.connectedComponents(opened, connectivity=4)
        sizes = np.bincount(parts.ravel())[1:]
        if not len(sizes):
            continue
        part: Mask = parts == 1 + int(sizes.argmax())
        if LEAST < part.mean() < most:
            return part
    return None


def _background_box(foreground: Mask, rng: np.random.Generator) -> Mask | None:
    """A box's content where there is no foreground; None when little of it is background."""
    side = len(foreground)
    width, height = (int(value) for value in rng.uniform(0.08, 0.35, 2) * side)
    left, top = int(rng.integers(0, side - width + 1)), int(rng.integers(0, side - height + 1))
    box = np.zeros_like(foreground)
    box[top : top + height, left : left + width] = True
    found: Mask = box & ~foreground
    return found if found.sum() > 0.7 * box.sum() else None


def _side_by_side(pairs: PackedPairs, index: int, other: int, rng: np.random.Generator) -> tuple[RgbPixels, list[Mask]]:
    """Two pictures side by side or one above the other, each squashed to half of the square."""
    views = [augment(pairs.images[i], pairs.masks[i], rng) for i in (index, other)]
    side = len(views[0][1])
    first = int(side * rng.uniform(0.4, 0.6))
    axis = int(rng.integers(2))
    pictures, masks = [], []
    for (pixels, mask), extent in zip(views, (first, side - first), strict=True):
        size = (side, extent) if axis == 0 else (extent, side)
        pictures.append(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
        masks.append(cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127)
    nothing = [np.zeros_like(mask) for mask in masks]
    objects = [np.concatenate([masks[0], nothing[1]], axis), np.concatenate([nothing[0], masks[1]], axis)]
    return np.concatenate(pictures, axis), [mask for mask in objects if mask.any()]


def _pasted(
    pairs: PackedPairs, index: int, others: Sequence[int], rng: np.random.Generator
) -> tuple[RgbPixels, list[Mask]]:
    """A view with the objects of one or more other pictures pasted where they hide nothing."""
    pixels, mask = augment(pairs.images[index], pairs.masks[index], rng)
    more = [(pairs.images[i], pairs.masks[i]) for i in others[: int(rng.integers(1, len(others) + 1))]]
    scene, objects = compose(pixels, mask, more, rng)
    return scene, [part for part in objects if part.mean() > LEAST] or [mask]
