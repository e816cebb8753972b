"""labelme and X-AnyLabeling: a JSON file for each picture, with shapes in pixels of the picture as displayed."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import cv2
import numpy as np

from segr1_app.domain import DatasetError, PictureError
from segr1_app.images.frames import Reading
from segr1_app.images.masks import read_labels
from segr1_app.images.pictures import load_picture
from segr1_app.store.exchange.coordinates import number, ring_of, size_of
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Content, Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers.ellipses import ellipse
from segr1_app.store.exchange.readers.sources import (
    MALFORMED,
    Found,
    Head,
    Source,
    Tree,
    fault_of,
    list_in,
    load_json,
    renamed,
)
from segr1_app.store.exchange.readers.tables import Held
from segr1_app.store.exchange.shapes import Dots, Piece, Polygons, Shape, box_around

_COMPARED: Final = 16
"""Pixels of each side to which two pictures are scaled down before they are compared."""
_MOST_DIFFERENCE: Final = 12.0
"""Mean difference of their colours, from 0 to 255, up to which they are the same."""


def find(tree: Tree) -> list[Source]:
    """Files with shapes."""
    names = [name for name in tree.with_suffix(".json") if _is_labelme(tree.head(name))]
    return [Source("labelme", names, lambda pictures: _read(tree, names, pictures), all_pictures=True)] if names else []


def _is_labelme(head: Head | None) -> bool:
    return head is not None and "shapes" in head.keys and bool(head.keys & {"imagePath", "imageHeight", "imageData"})


def _read(tree: Tree, names: list[PurePosixPath], pictures: Pictures) -> Iterator[Found]:
    for name in names:
        entry = tree.entry(name)
        try:
            content = load_json(entry)
            flags = content.get("flags")
            if said := [str(name) for name, on in flags.items() if on] if isinstance(flags, dict) else []:
                yield Remark(f"{entry}: its flags mark nothing and are not used: {', '.join(said)}.")
            record = _record(entry, content, pictures)
            if isinstance(called := content.get("imagePath"), str) and called:
                yield from renamed(entry, called, record.picture)
            yield record
        except (DatasetError, PictureError) as error:
            yield f"{entry}: {error}"


def _record(entry: Entry, content: Mapping[str, Any], pictures: Pictures) -> Record:
    called = content.get("imagePath")
    picture: Content | str = "it does not say of which picture it is."
    if isinstance(called, str) and called:
        picture = pictures.find(entry.name, called)
    if isinstance(picture, str) and not isinstance(content.get("imageData"), str):
        found = pictures.find(entry.name, entry.name.name, by_stem=True)
        picture = found if isinstance(found, Entry) else picture
    if isinstance(picture, str) and isinstance(content.get("imageData"), str):
        picture = Held(decode_picture(content["imageData"]))
    parts = [_part(index, shape) for index, shape in enumerate(list_in(content, "shapes"), start=1)]
    if isinstance(picture, Entry) and isinstance(content.get("imageData"), str):
        _check_embedded(content["imageData"], picture)
    declared = size_of(content.get("imageWidth"), content.get("imageHeight"))
    shown = PurePosixPath(str(called or entry.name.stem).replace("\\", "/")).name
    # Both turn pictures upright before they show them.
    return Record(str(entry), picture, shown, parts, declared, Reading.UPRIGHT)


def _check_embedded(text: str, picture: Entry) -> None:
    """Compare the embedded picture, which is the one that was annotated, with the one found by its name.

    The same picture may be compressed otherwise, or be a scaled copy.

    Raises:
        DatasetError: when they differ.
    """
    embedded, found = (load_picture(content).pixels for content in (decode_picture(text), picture.read()))
    small = (_COMPARED, _COMPARED)
    both = [cv2.resize(pixels, small, interpolation=cv2.INTER_AREA).astype(np.float64) for pixels in (embedded, found)]
    if np.abs(both[0] - both[1]).mean() > _MOST_DIFFERENCE:
        raise DatasetError(
            f"its embedded picture is another one than {picture.name.name}: remove imageData, or give the picture that "
            "was annotated."
        )


def _part(index: int, shape: Any) -> Part:
    which = f"shape {index}"
    if not isinstance(shape, dict):
        return Part(which, "it is not a shape")
    label = shape.get("label")
    if not isinstance(label, str | int | float | None):
        return Part(which, "its label is not a text")
    name = str(label).strip() if label not in (None, "") else None
    which += f" ({name})" if name else ""
    try:
        return Part(which, _shape(shape), name)
    except (*MALFORMED, DatasetError) as error:
        return Part(which, fault_of(error), name)


def _shape(shape: Mapping[str, Any]) -> Shape:
    kind = shape.get("shape_type") or "polygon"
    points = shape.get("points")
    if not isinstance(points, list) or not points:
        raise ValueError("it has no points")
    ring = ring_of(points)
    match kind:
        case "polygon" | "quadrilateral":
            return Polygons([ring])
        case "rectangle" | "rotation":
            return box_around(ring)
        case "circle" if len(ring) == 2:
            radius = math.dist(ring[0], ring[1])
            return Polygons([ring[0] + ellipse(radius, radius)])
        case "point" | "points":
            labels = shape.get("point_labels")
            flags = labels if isinstance(labels, list) and len(labels) == len(ring) else [1] * len(ring)
            return Dots(
                tuple(
                    (float(x), float(y), int(number(flag, "a point's label")))
                    for (x, y), flag in zip(ring, flags, strict=True)
                )
            )
        case "mask":
            return _mask(shape.get("mask"), ring)
    raise ValueError(f"a {kind} marks no area")


def _mask(text: Any, ring: Any) -> Piece:
    if not isinstance(text, str):
        raise ValueError("it has no mask")
    labels = read_labels(decode_picture(text))
    mask = labels.mask("all")
    left, top = (round(float(value)) for value in ring.min(axis=0))
    # The lower right corner is the last pixel.
    said = ring.max(axis=0) - ring.min(axis=0) + 1
    if len(ring) > 1 and (np.abs(said - mask.shape[::-1]) > 1).any():
        raise ValueError(
            f"its mask has {mask.shape[1]} x {mask.shape[0]} pixels, and its corners say {said[0]:g} x {said[1]:g}"
        )
    return Piece(mask, left, top)


def decode_picture(text: str) -> bytes:
    """The file of a picture that is written in base64.

    Raises:
        DatasetError: when it is not.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DatasetError("its embedded picture is not in base64.") from error
