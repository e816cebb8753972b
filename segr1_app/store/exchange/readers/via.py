"""VGG Image Annotator: JSON of regions by file name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np

from segr1_app.domain import DatasetError
from segr1_app.frames import Reading
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.readers.sources import MALFORMED, Head, Source, Tree, fault_of, load_json
from segr1_app.store.exchange.shapes import BoxShape, Dots, Polygons, Shape, number, ring_of

_AROUND: Final = 64
_CLASS: Final = ("label", "class", "name", "type", "category", "object", "object_name")


def find(tree: Tree) -> list[Source]:
    """Files of regions, with or without the project around them."""
    return [_source(tree, name) for name in tree.with_suffix(".json") if _is_via(tree.head(name))]


def _is_via(head: Head | None) -> bool:
    if head is None or head.kind != "map":
        return False
    return "_via_img_metadata" in head.keys or any({"filename", "regions"} <= inner for inner in head.values.values())


def _source(tree: Tree, name: PurePosixPath) -> Source:
    return Source("VIA", [name], lambda pictures: _read(tree, name, pictures))


def _read(tree: Tree, name: PurePosixPath, pictures: Pictures) -> Iterator[Record | str]:
    where = tree.files.display_name(name)
    try:
        content = load_json(tree.entry(name))
    except DatasetError as error:
        raise DatasetError(f"'{where}': {error}") from error
    files = content.get("_via_img_metadata", content)
    for key, each in files.items():
        called = each.get("filename") if isinstance(each, dict) else None
        if not isinstance(called, str) or not called:
            yield f"{where}, {str(key)[:80]} is left out: it names no picture."
            continue
        regions = each.get("regions") or []
        listed = regions.values() if isinstance(regions, dict) else regions
        parts = [_part(index, region) for index, region in enumerate(listed, start=1)]
        # It is a page, and browsers turn pictures upright.
        yield Record(
            f"{where}, {called}",
            pictures.find(name, called),
            PurePosixPath(called).name,
            parts,
            reading=Reading.UPRIGHT,
        )


def _part(index: int, region: Any) -> Part:
    which = f"region {index}"
    try:
        shape, attributes = region["shape_attributes"], region.get("region_attributes") or {}
        name = _name(attributes)
    except (KeyError, TypeError, AttributeError):
        return Part(which, "it is not a region")
    which += f" ({name})" if name else ""
    try:
        return Part(which, _shape(shape), name)
    except MALFORMED as error:
        return Part(which, fault_of(error), name)


def _name(attributes: Mapping[str, Any]) -> str | None:
    keys = [key for wanted in _CLASS for key in attributes if key.lower() == wanted]
    if not keys and len(attributes) == 1:
        keys = list(attributes)
    for value in (attributes[key] for key in keys):
        if isinstance(value, dict):
            chosen = [str(option) for option, on in value.items() if on]
            return chosen[0] if chosen else None
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _shape(shape: Mapping[str, Any]) -> Shape:
    match shape.get("name"):
        case "polygon":
            xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
            if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
                raise ValueError("its corners cannot be read")
            return Polygons([ring_of([list(pair) for pair in zip(xs, ys, strict=True)])])
        case "rect":
            x, y, width, height = (number(shape.get(key), key) for key in ("x", "y", "width", "height"))
            return BoxShape((x, y, x + width, y + height))
        case "circle" | "ellipse" as kind:
            x, y = (number(shape.get(key), key) for key in ("cx", "cy"))
            radii = ("r", "r") if kind == "circle" else ("rx", "ry")
            rx, ry = (number(shape.get(key), key) for key in radii)
            angles = np.arange(_AROUND) * 2 * math.pi / _AROUND
            dx, dy, turn = rx * np.cos(angles), ry * np.sin(angles), number(shape.get("theta") or 0, "theta")
            return Polygons(
                [
                    np.stack(
                        [x + dx * math.cos(turn) - dy * math.sin(turn), y + dx * math.sin(turn) + dy * math.cos(turn)],
                        axis=1,
                    )
                ]
            )
        case "point":
            return Dots(((number(shape.get("cx"), "cx"), number(shape.get("cy"), "cy"), 1),))
    raise ValueError(f"a {shape.get('name')} marks no area")
