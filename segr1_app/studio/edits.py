"""Edits on a canvas: read from the page's JSON, checked, and applied to the segmenter's masks.

The input is untrusted: it may come from anyone who can reach the page. Coordinates are pixels of the original picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any, NamedTuple

from segr1_app.domain import ImageSize, Mask, ObjectPrompt, Point, SegR1Error
from segr1_app.geometry import (
    Rle,
    check_rle,
    clean_mask,
    compose_layers,
    decode_rle,
    most_objects,
    rescale_objects,
    resize_nearest,
)
from segr1_app.language.prompt_json import listed, pixel_number, read_prompt
from segr1_app.studio.callers import charge
from segr1_app.studio.painting import Stroke, first_in_rows, layers, rows_of

MAX_OBJECTS, MAX_STROKES, MAX_PLACES = 64, 2000, 20_000
"""Limits on the objects of a picture, the strokes of an object, and the positions of a stroke."""
MAX_PAINT = 5e8
"""Limit on the sum, over all positions of an object's strokes, of the radius squared: more than a person can paint."""
MAX_ROWS = 6e6
"""Limit on the rows crossed by the lines of all strokes, counted per line, which take a server seconds to fill: a
brush moved over 350,000 pixels of the picture, whatever its radius.
"""
PAINT_PER_CALL = 25_000
"""Rows of paint that are charged as much as a call without paint."""
LEAST_CORNERS = 3
"""Fewest corners of an area."""
MAX_RLE = 2_000_000
"""Longest run-length encoding of a mask in characters."""
SMALL = 0.05
"""The fraction of an object's mask below which cleaning removes a part or fills a hole."""


class EditError(SegR1Error):
    """An invalid state of the canvas."""


class Finish(NamedTuple):
    """What is applied to the segmenter's mask of an object; each bool (height, width), or None if it is empty.

    Attributes:
        painted, erased: what is added to it and taken away, as for `compose_layers`: paint and cleaning together.
        filled, removed: the part of both that cleaning changes.
    """

    painted: Mask | None = None
    erased: Mask | None = None
    filled: Mask | None = None
    removed: Mask | None = None

    @property
    def cleaned(self) -> bool:
        """Whether cleaning changes anything."""
        return self.filled is not None or self.removed is not None


@dataclass(frozen=True, slots=True)
class EditedObject:
    """One object on the canvas.

    Attributes:
        prompt: its box, points and class name.
        strokes: the strokes painted on top of the prompts' mask, in order.
        start: the mask that the prompts refine, as RLE of any size; None for none.
        painted, erased: layers of an earlier revision, beneath the strokes, as RLE of any size.
        clean: whether small parts and holes are cleaned from the mask that all these make.
    """

    prompt: ObjectPrompt
    strokes: tuple[Stroke, ...] = ()
    start: Rle | None = None
    painted: Rle | None = None
    erased: Rle | None = None
    clean: bool = False

    @property
    def blank(self) -> bool:
        """Whether it has nothing from which a mask could be made."""
        return self.prompt.box is None and not self.prompt.points and not self.brushed and self.start is None

    @property
    def brushed(self) -> bool:
        """Whether anything is painted or erased."""
        return bool(self.strokes) or self.painted is not None or self.erased is not None

    def start_mask(self) -> Mask | None:
        """``start`` as a bool array of its own size."""
        return None if self.start is None else decode_rle(self.start)

    def layers(self, size: ImageSize, image_wh: ImageSize) -> tuple[Mask | None, Mask | None]:
        """The painted and erased layers; see `painting.layers`."""
        beneath = [
            None if rle is None else resize_nearest(decode_rle(rle), size) for rle in (self.painted, self.erased)
        ]
        return layers(self.strokes, size, image_wh, painted=beneath[0], erased=beneath[1])

    def finish(self, segmented: Mask, image_wh: ImageSize) -> Finish:
        """Paint on the segmenter's mask, and clean the result if that is asked for.

        Small is what covers less than `SMALL` of the mask. What a point or a stroke lies in is kept: a part under a
        positive point, the brush or an added area, a hole under a negative point, the eraser or a cut area.

        Args:
            segmented: the segmenter's mask of the whole picture, bool (height, width), of any size.
            image_wh: the picture's size.
        """
        size = ImageSize(segmented.shape[1], segmented.shape[0])
        painted, erased = self.layers(size, image_wh)
        if not self.clean:
            return Finish(painted, erased)
        rough = compose_layers(segmented, painted, erased)
        cleaned = clean_mask(rough, SMALL, self._meant(size, image_wh))
        if cleaned is rough:
            return Finish(painted, erased)
        filled, removed = cleaned & ~rough, rough & ~cleaned
        added = filled if painted is None else (painted | filled) & ~removed
        taken = removed if erased is None else (erased | removed) & ~filled
        return Finish(*(layer if layer.any() else None for layer in (added, taken, filled, removed)))

    def _meant(self, size: ImageSize, image_wh: ImageSize) -> Iterator[Point]:
        """Where points and strokes say what is inside and what is outside, in pixels of ``size``."""
        (prompt,) = rescale_objects([self.prompt], from_wh=image_wh, to_wh=size)
        yield from prompt.points
        for stroke in self.strokes:
            label = int(not stroke.erase)
            if stroke.radius is None:
                for column, row in first_in_rows(stroke, size, image_wh):
                    yield Point(column + 0.5, row + 0.5, label)
                continue
            for x, y in stroke.path:
                yield Point(x * size.width / image_wh.width, y * size.height / image_wh.height, label)


def read_objects(value: object, image_wh: ImageSize) -> tuple[EditedObject, ...]:
    """Read the objects from the state of a canvas.

    Args:
        value: a list of ``{"box", "points", "name", "strokes", "start", "painted", "erased", "clean"}`` as in
            ``static/canvas/types.js``, the prompt in any format of `segr1_app.language.prompt_json`. Everything except
            a box or points is optional. Keys of a response that are not read here, such as its mask, may be sent back.
        image_wh: size of the picture.

    Raises:
        EditError: when it is anything else, extends outside the picture, or is larger than a person could have made it;
            the message says which object and why.
        NotAllowedError: when drawing its paint would exceed the caller's rate limit.
    """
    most = most_objects(image_wh)
    if isinstance(value, list) and len(value) > most:
        raise EditError(f"A picture of {image_wh.width} x {image_wh.height} pixels can have at most {most} objects.")
    if not isinstance(value, list) or len(value) > MAX_OBJECTS:
        raise EditError(f"A canvas must be a list of at most {MAX_OBJECTS} objects.")
    objects, paint = [], 0.0
    for position, entry in enumerate(value, 1):
        edited = _object(position, entry, image_wh)
        paint += sum(rows_of(stroke, image_wh) for stroke in edited.strokes)
        if paint > MAX_ROWS:
            raise EditError(
                f"There is too much paint on the canvas to draw at once (object {position}): save the task and open "
                "it again, which turns its strokes into a mask, or paint with fewer strokes."
            )
        objects.append(edited)
    charge.get()(paint / PAINT_PER_CALL)
    return tuple(objects)


def _object(number: int, entry: Any, image_wh: ImageSize) -> EditedObject:
    try:
        return _read(entry, image_wh)
    except KeyError as error:
        what = f"{error} is missing"
    except (TypeError, ValueError) as error:
        what = str(error)
    raise EditError(f"Object {number} of the canvas cannot be read: {what}. In the browser, reload the page.")


def _read(entry: Any, image_wh: ImageSize) -> EditedObject:
    prompt = read_prompt(entry, image_wh)
    strokes = tuple(_stroke(stroke, image_wh) for stroke in listed(entry.get("strokes", []), MAX_STROKES))
    if sum(len(stroke.path) * (stroke.radius or 0) ** 2 for stroke in strokes) > MAX_PAINT:
        raise ValueError("there is more paint than a person can apply")
    start, painted, erased = (_rle(entry.get(layer), image_wh) for layer in ("start", "painted", "erased"))
    clean = entry.get("clean", False)
    if not isinstance(clean, bool):
        raise ValueError(f'"clean" is true or false, not {short(clean)}')
    return EditedObject(prompt, strokes, start, painted, erased, clean)


def _stroke(value: Any, image_wh: ImageSize) -> Stroke:
    if not isinstance(value, dict):
        raise ValueError(f"{short(value)} is not a stroke")
    path = tuple((pixel_number(x), pixel_number(y)) for x, y in listed(value["path"], MAX_PLACES))
    radius = None if value["radius"] is None else pixel_number(value["radius"])
    if radius is None and len(path) < LEAST_CORNERS:
        raise ValueError(f"an area has {len(path)} corners, fewer than {LEAST_CORNERS}")
    if not isinstance(value["erase"], bool) or not path or (radius is not None and not 0 < radius <= max(image_wh)):
        raise ValueError("a stroke has no path, or no radius that fits the picture")
    return Stroke(value["erase"], radius, path)


def _rle(value: Any, image_wh: ImageSize) -> Rle | None:
    """A mask no larger than the picture, as run lengths that can be decoded."""
    if value is None:
        return None
    height, width = (int(pixel_number(side)) for side in listed(value["size"], 2))
    counts = value["counts"]
    if not (0 < height <= image_wh.height and 0 < width <= image_wh.width):
        raise ValueError("a mask is larger than the picture")
    if not isinstance(counts, str) or len(counts) > MAX_RLE:
        raise ValueError("a mask must be a string of run lengths")
    rle = Rle(size=[height, width], counts=counts)
    check_rle(rle)
    return rle
