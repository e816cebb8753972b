"""CVAT for images: one XML file with polygons, masks, boxes, ellipses and points of many pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final
from xml.etree.ElementTree import Element

import numpy as np

from segr1_app.domain import DatasetError
from segr1_app.images.frames import Reading
from segr1_app.language.typed_text import one_line
from segr1_app.store.classes import RESERVED, AttributeKind, read_colour
from segr1_app.store.exchange.coordinates import Ring, number, ring_of, size_of, whole
from segr1_app.store.exchange.intake import Listing, Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers.ellipses import ellipse, rotated
from segr1_app.store.exchange.readers.sources import Found, Source, Tree
from segr1_app.store.exchange.readers.xml_files import load_xml, root_name
from segr1_app.store.exchange.shapes import BoxShape, Dots, Piece, Polygons, Shape, box_around


def find(tree: Tree) -> list[Source]:
    """Files of annotations."""
    names = [name for name in tree.with_suffix(".xml") if root_name(tree.entry(name)) == "annotations"]
    return [_source(tree, name) for name in names]


def _source(tree: Tree, name: PurePosixPath) -> Source:
    return Source("CVAT", [name], lambda pictures: _read(tree, name, pictures))


def _read(tree: Tree, name: PurePosixPath, pictures: Pictures) -> Iterator[Found]:
    where = tree.files.display_name(name)
    try:
        root = load_xml(tree.entry(name))
    except DatasetError as error:
        raise DatasetError(f"'{where}': {error}") from error
    if root.find("track") is not None:
        yield f"{where}: its tracks are left out: export the task as 'CVAT for images'."
    yield Listing.of(where, map(_class, root.findall("meta//labels/label")))
    images = root.findall("image")
    pictures.expect(image.get("name", "") for image in images if image.get("name"))
    for number_of, image in enumerate(images, start=1):
        called = image.get("name")
        if not called:
            yield f"{where}, image {number_of} is left out: it has no name."
            continue
        record = f"{where}, {called}"
        try:
            declared = size_of(image.get("width"), image.get("height"))
        except DatasetError as error:
            yield f"{record}: {error}"
            continue
        if tags := [tag.get("label") or "?" for tag in image.findall("tag")]:
            yield Remark(f"{record}: what it is tagged with marks nothing and is not used: {', '.join(tags)}.")
        parts = [_part(index, each) for index, each in enumerate(image, start=1) if each.tag != "tag"]
        # CVAT turns pictures upright before it shows them.
        yield Record(record, pictures.find(name, called), PurePosixPath(called).name, parts, declared, Reading.UPRIGHT)


def _part(index: int, element: Element) -> Part:
    name = element.get("label") or None
    which = f"{element.tag} {index}" + (f" ({name})" if name else "")
    try:
        return Part(which, _shape(element), name)
    except ValueError as error:
        return Part(which, str(error), name)


def _class(label: Element) -> dict[str, Any]:
    """A label of the head as the JSON of a class, see `read_class`."""
    return {
        "name": label.findtext("name") or "",
        "colour": read_colour(label.findtext("color")),
        "attributes": [found for each in label.findall("attributes/attribute") if (found := _attribute(each))],
    }


def _attribute(element: Element) -> dict[str, Any] | None:
    """An attribute of a label as the JSON of one; None for the one in which exports write the instruction."""
    name, kind = one_line(element.findtext("name") or ""), element.findtext("input_type") or ""
    if name in RESERVED or kind not in _KINDS:
        return None
    choices = [line for line in (element.findtext("values") or "").splitlines() if line.strip()]
    return {"name": name, "kind": _KINDS[kind], "choices": choices if _KINDS[kind] is AttributeKind.CHOICE else []}


_KINDS: Final = {
    "select": AttributeKind.CHOICE,
    "radio": AttributeKind.CHOICE,
    "checkbox": AttributeKind.FLAG,
    "number": AttributeKind.NUMBER,
    "text": AttributeKind.TEXT,
}
"""CVAT's kinds of attributes."""


def _shape(element: Element) -> Shape:
    match element.tag:
        case "polygon":
            return Polygons([_points(element)])
        case "box":
            left, top, right, bottom = (number(element.get(key), key) for key in ("xtl", "ytl", "xbr", "ybr"))
            if float(element.get("rotation") or 0):
                wide, high = (right - left) / 2, (bottom - top) / 2
                corners = np.array([[-wide, -high], [wide, -high], [wide, high], [-wide, high]])
                return box_around(_turned((left + wide, top + high), corners, element))
            return BoxShape((left, top, right, bottom))
        case "points":
            return Dots(tuple((float(x), float(y), 1) for x, y in _points(element)))
        case "ellipse":
            x, y, rx, ry = (number(element.get(key), key) for key in ("cx", "cy", "rx", "ry"))
            return Polygons([_turned((x, y), ellipse(rx, ry), element)])
        case "mask":
            return _mask(element)
    raise ValueError(f"a {element.tag} marks no area")


def _mask(element: Element) -> Piece:
    left, top, width, height = (whole(element.get(key), key) for key in ("left", "top", "width", "height"))
    runs = np.array([whole(run, "a run length") for run in (element.get("rle") or "").split(",")], dtype=np.int64)
    if width < 1 or height < 1 or (runs < 0).any() or int(runs.sum()) != width * height:
        raise ValueError(f"its run lengths do not add up to {width} x {height} pixels")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return Piece(flat.reshape(height, width), left, top)


def _points(element: Element) -> Ring:
    return ring_of([pair.split(",") for pair in (element.get("points") or "").split(";") if pair])


def _turned(centre: tuple[float, float], around: Ring, element: Element) -> Ring:
    """Corners about a centre, turned clockwise by the degrees of an element's ``rotation``."""
    angle = math.radians(number(element.get("rotation") or 0, "rotation"))
    turned: Ring = np.array(centre) + rotated(around, angle)
    return turned
