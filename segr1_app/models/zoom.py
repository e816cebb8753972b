"""The part of a picture around a prompt, for segmenters with a low input resolution.

A small segmenter sees a picture at 320 px and draws its mask on 80 x 80: little is left of a small object. Given only
the object and its surroundings, it sees more detail. In interactive segmentation this is called zoom-in (Sofiiuk et
al., f-BRS, CVPR 2020, section 3.4).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from segr1_app.domain import Box, ImageSize, Mask, ObjectMask, ObjectPrompt, Point, RgbPixels
from segr1_app.geometry import mask_box, rescale_objects

SQUARE = 0.5
"""Smallest aspect ratio of a window (shorter over longer side), because the segmenter squashes it into a square."""
BESIDE = 0.25
"""How far outside a window a point is still relevant, as a fraction of the window's side."""
WORTHWHILE = 0.8
"""The fraction of the picture from which zooming in gains next to nothing."""


class Window(NamedTuple):
    """A part of a picture in whole pixels: its top left corner, its width and its height."""

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> ImageSize:
        return ImageSize(self.width, self.height)

    def rescaled(self, *, from_wh: ImageSize, to_wh: ImageSize) -> Window:
        """The same part of the picture at another size, in whole pixels."""
        sx, sy = to_wh[0] / from_wh[0], to_wh[1] / from_wh[1]
        left, top = math.floor(self.left * sx), math.floor(self.top * sy)
        right, bottom = math.ceil((self.left + self.width) * sx), math.ceil((self.top + self.height) * sy)
        return Window(left, top, min(right, to_wh[0]) - left, min(bottom, to_wh[1]) - top)


def prompt_window(prompt: ObjectPrompt, start: Mask | None, image_wh: ImageSize, zoom: float) -> Window | None:
    """The part of a picture around a prompt: everything it marks as foreground, and some margin.

    Args:
        prompt: in pixels of the picture.
        start: the mask it refines, bool (height, width) of the whole picture at any size, or None.
        image_wh: the picture's size.
        zoom: how far the window extends beyond the prompt's foreground on each side, relative to its size.

    Returns:
        The window; None for the whole picture, if the prompt has no box or fills most of it.
    """
    if prompt.box is None:
        return None
    xs, ys = [prompt.box.x1, prompt.box.x2], [prompt.box.y1, prompt.box.y2]
    for point in prompt.points:
        if point.label:
            xs.append(point.x)
            ys.append(point.y)
    if start is not None and (drawn := mask_box(start)) is not None:
        started = rescale_objects([ObjectPrompt(drawn)], from_wh=ImageSize(*start.shape[::-1]), to_wh=image_wh)[0].box
        assert started is not None
        xs += [started.x1, started.x2]
        ys += [started.y1, started.y2]
    width, height = (zoom * (max(side) - min(side)) for side in (xs, ys))
    width, height = max(width, SQUARE * height), max(height, SQUARE * width)
    left, right = _span((min(xs) + max(xs)) / 2, width, image_wh[0])
    top, bottom = _span((min(ys) + max(ys)) / 2, height, image_wh[1])
    window = Window(left, top, right - left, bottom - top)
    return window if window.width * window.height < WORTHWHILE * image_wh[0] * image_wh[1] else None


def prompt_in_window(prompt: ObjectPrompt, window: Window, to_wh: ImageSize) -> ObjectPrompt:
    """Convert a prompt from pixels of the picture to pixels of the window, shown at the size ``to_wh``.

    A point slightly outside is moved to the window's border, because what it should remove may extend to there. Points
    further away are dropped: they are not relevant within the window.
    """
    box = prompt.box and Box(
        prompt.box.x1 - window.left, prompt.box.y1 - window.top, prompt.box.x2 - window.left, prompt.box.y2 - window.top
    )
    points = []
    for point in prompt.points:
        x, y = point.x - window.left, point.y - window.top
        inside = Point(min(max(x, 0.0), window.width), min(max(y, 0.0), window.height), point.label)
        if abs(inside.x - x) <= BESIDE * window.width and abs(inside.y - y) <= BESIDE * window.height:
            points.append(inside)
    return rescale_objects([ObjectPrompt(box, tuple(points), prompt.name)], from_wh=window.size, to_wh=to_wh)[0]


def _span(middle: float, length: float, end: int) -> tuple[int, int]:
    """The whole pixels that cover an interval, clipped to 0 and ``end``; at least one."""
    low, high = max(math.floor(middle - length / 2), 0), min(math.ceil(middle + length / 2), end)
    low = min(low, end - 1)
    return low, max(high, low + 1)


def pixels_in_window(pixels: RgbPixels, window: Window | None) -> RgbPixels:
    """The pixels of a picture within a window, as a view; all of them where there is none."""
    if window is None:
        return pixels
    return pixels[window.top : window.top + window.height, window.left : window.left + window.width]


def mask_in_window(mask: Mask, window: Window, image_wh: ImageSize) -> Mask:
    """The part of a mask, of any size that shows a whole picture of ``image_wh``, within a window, as a view."""
    left, top, width, height = window.rescaled(from_wh=image_wh, to_wh=ImageSize(*mask.shape[::-1]))
    return mask[top : top + height, left : left + width]


def mask_from_window(found: ObjectMask, part: Window, frame: ImageSize) -> ObjectMask:
    """The mask of a part of a frame as one of the whole frame."""
    whole = np.zeros((frame.height, frame.width), dtype=bool)
    whole[part.top : part.top + part.height, part.left : part.left + part.width] = found.mask
    return ObjectMask(whole, found.confidence)
