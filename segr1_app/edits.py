"""What a person did on the canvas: read from the page's JSON, checked, and laid over the segmenter's masks.

Whatever arrives here may come from anyone who can reach the page. Coordinates are pixels of the original picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt, Point, SegR1Error
from segr1_app.geometry import Rle, decode_rle

MAX_OBJECTS, MAX_POINTS, MAX_STROKES, MAX_PLACES = 64, 256, 2000, 20_000
"""Most objects of a picture, points and strokes of an object, and places of a stroke."""
MAX_PAINT = 5e8
"""Most places of an object's strokes, each times its radius squared: what takes a server seconds to fill."""
MAX_NAME, MAX_RLE = 200, 2_000_000
"""Most characters of a class name and of a mask's run lengths."""


class EditError(SegR1Error):
    """A state of the canvas that cannot be one."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """One stroke of brush or eraser.

    Attributes:
        erase: whether it takes away.
        radius: of the disc that is drawn along the path, in pixels.
        path: the places (x, y) it went through, at least one; it may leave the picture.
    """

    erase: bool
    radius: float
    path: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class EditedObject:
    """One object as it stands on the canvas.

    Attributes:
        prompt: its box, points and class name.
        strokes: what was painted on top of the prompts' mask, in order.
        start: the mask that the prompts refine, as RLE of any size; None for none.
    """

    prompt: ObjectPrompt
    strokes: tuple[Stroke, ...] = ()
    start: tuple[int, int, str] | None = None

    @property
    def blank(self) -> bool:
        """Whether there is nothing in it that a mask could come from."""
        return self.prompt.box is None and not self.prompt.points and not self.strokes and self.start is None

    def start_mask(self) -> Mask | None:
        """``start`` as a bool array of its own size."""
        if self.start is None:
            return None
        height, width, counts = self.start
        return decode_rle(Rle(size=[height, width], counts=counts))


def read_objects(value: object, image_wh: ImageSize) -> tuple[EditedObject, ...]:
    """The objects of a canvas's state.

    Args:
        value: a list of ``{"box", "points", "name", "strokes", "start"}`` as in ``static/canvas/types.js``.
        image_wh: size of the picture.

    Raises:
        EditError: when it is anything else, reaches out of the picture, or is larger than a person could have made it.
    """
    try:
        return tuple(_object(entry, image_wh) for entry in _listed(value, MAX_OBJECTS))
    except (KeyError, TypeError, ValueError) as error:
        raise EditError("What the page sent is no state of its canvas: reload the page.") from error


def layers(strokes: Sequence[Stroke], size: ImageSize, image_wh: ImageSize) -> tuple[Mask | None, Mask | None]:
    """What strokes add to a mask and what they take away; a pixel is in one of the two, by the last stroke over it.

    Args:
        strokes: in pixels of the frame ``image_wh``.
        size: of the masks, which may be smaller than the picture.
        image_wh: the picture's size.

    Returns:
        (painted, erased), each bool (height, width) of ``size``, or None where there is nothing in it.
    """
    if not strokes:
        return None, None
    shape = (size.height, size.width)
    state = np.zeros(shape, dtype=np.uint8)
    scale = (image_wh.width / size.width, image_wh.height / size.height)
    for stroke in strokes:
        _draw(state, stroke, scale, 2 if stroke.erase else 1)
    painted, erased = state == 1, state == 2
    return (painted if painted.any() else None), (erased if erased.any() else None)


def lay(segmented: Mask, painted: Mask | None, erased: Mask | None) -> Mask:
    """The final mask of an object: segmented, without what was erased, with what was painted; all of one shape."""
    final = segmented.copy()
    if erased is not None:
        final &= ~erased
    if painted is not None:
        final |= painted
    return final


def _draw(state: npt.NDArray[np.uint8], stroke: Stroke, scale: tuple[float, float], value: int) -> None:
    """Fill every pixel whose centre is within the stroke's radius of its path, as ``static/canvas/paint.js`` does.

    OpenCV's thick lines come out up to a pixel wider: what is stored would not be what was shown.
    """
    for (ax, ay), (bx, by) in pairwise((stroke.path[0], *stroke.path)):
        left, right = _reach(ax, bx, stroke.radius, scale[0], state.shape[1])
        top, bottom = _reach(ay, by, stroke.radius, scale[1], state.shape[0])
        x = (np.arange(left, right) + 0.5) * scale[0] - ax
        y = (np.arange(top, bottom)[:, None] + 0.5) * scale[1] - ay
        dx, dy = bx - ax, by - ay
        length = dx * dx + dy * dy
        along = np.clip((x * dx + y * dy) / length, 0, 1) if length else 0.0
        near = (x - along * dx) ** 2 + (y - along * dy) ** 2 <= stroke.radius**2
        state[top:bottom, left:right][near] = value


def _reach(a: float, b: float, radius: float, scale: float, limit: int) -> tuple[int, int]:
    """The range of pixels along one axis that a line from ``a`` to ``b`` with a radius can touch."""
    first, last = math.floor((min(a, b) - radius) / scale), math.ceil((max(a, b) + radius) / scale)
    return min(max(first, 0), limit), min(max(last + 1, 0), limit)


def _object(entry: Any, image_wh: ImageSize) -> EditedObject:
    points = tuple(_point(point, image_wh) for point in _listed(entry["points"], MAX_POINTS))
    strokes = tuple(_stroke(stroke, image_wh) for stroke in _listed(entry["strokes"], MAX_STROKES))
    if sum(len(stroke.path) * stroke.radius**2 for stroke in strokes) > MAX_PAINT:
        raise ValueError("too much paint")
    name = entry["name"]
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise ValueError("no name")
    box = None if entry["box"] is None else _box(entry["box"], image_wh)
    return EditedObject(ObjectPrompt(box, points, name.strip() or None), strokes, _start(entry["start"], image_wh))


def _box(value: Any, image_wh: ImageSize) -> Box:
    x1, y1, x2, y2 = (_number(edge) for edge in _listed(value, 4))
    if not (x1 >= 0 and y1 >= 0 and x2 <= image_wh.width and y2 <= image_wh.height):
        raise ValueError("a box outside the picture")
    return Box(x1, y1, x2, y2)


def _point(value: Any, image_wh: ImageSize) -> Point:
    x, y = _number(value["x"]), _number(value["y"])
    if not (0 <= x <= image_wh.width and 0 <= y <= image_wh.height):
        raise ValueError("a point outside the picture")
    return Point(x, y, value["label"])


def _stroke(value: Any, image_wh: ImageSize) -> Stroke:
    radius = _number(value["radius"])
    path = tuple((_number(x), _number(y)) for x, y in _listed(value["path"], MAX_PLACES))
    if not isinstance(value["erase"], bool) or not path or not 0 < radius <= max(image_wh):
        raise ValueError("no stroke")
    return Stroke(value["erase"], radius, path)


def _start(value: Any, image_wh: ImageSize) -> tuple[int, int, str] | None:
    if value is None:
        return None
    height, width = (int(_number(side)) for side in _listed(value["size"], 2))
    counts = value["counts"]
    if not (0 < height <= image_wh.height and 0 < width <= image_wh.width):
        raise ValueError("a mask larger than the picture")
    if not isinstance(counts, str) or len(counts) > MAX_RLE or _length(counts) != height * width:
        raise ValueError("no run lengths")
    return height, width, counts


def _length(counts: str) -> int:
    """How many pixels compressed run lengths cover; pycocotools itself would read and write beyond a wrong one.

    Raises:
        ValueError: when they are no run lengths.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for sign in counts:
        group = ord(sign) - 48
        if not 0 <= group < 64 or shift > 30:
            raise ValueError("no run lengths")
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        if runs[-1] < 0:
            raise ValueError("a negative run length")
        value, shift = 0, 0
    if shift:
        raise ValueError("a run length without an end")
    return sum(runs)


def _listed(value: Any, most: int) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError("no list, or too long a one")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e7:
        raise ValueError("no number")
    return float(value)
