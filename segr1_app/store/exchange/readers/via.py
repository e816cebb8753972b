"""VGG Image Annotator: regions by file name, as JSON or as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, TypeAlias

import numpy as np

from segr1_app.domain import DatasetError
from segr1_app.files.foreign_json import ForeignJsonError, parse_json
from segr1_app.images.frames import Reading
from segr1_app.store.exchange.coordinates import number, ring_of
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.readers.ellipses import ellipse, rotated
from segr1_app.store.exchange.readers.sources import MALFORMED, Head, Source, Tree, fault_of, load_json, read_text
from segr1_app.store.exchange.shapes import BoxShape, Dots, Polygons, Shape

_CLASS: Final = ("label", "class", "name", "type", "category", "object", "object_name")


_TABLE: Final = frozenset({"filename", "region_shape_attributes", "region_attributes"})
_SHAPES: Final = {
    1: ("point", ("cx", "cy")),
    2: ("rect", ("x", "y", "width", "height")),
    3: ("circle", ("cx", "cy", "r")),
    4: ("ellipse", ("cx", "cy", "rx", "ry")),
}
"""VIA 3's numbers of shapes, with the older names of the values that follow; 7 is a polygon."""
_POLYGON: Final = 7

_Listed: TypeAlias = Callable[[Any], Iterator[tuple[str, str | None, Any]]]
"""From a file's content: what a record is called, its picture, and regions of VIA 2."""


def find(tree: Tree) -> list[Source]:
    """Files of regions: VIA 1 and 2 with or without the project around them, their tables, and VIA 3."""
    found = []
    for name in tree.with_suffix(".json"):
        if _is_via(tree.head(name)):
            found.append(_source(tree, name, _listed))
        elif _is_newer(tree.head(name)):
            found.append(_source(tree, name, _listed_newer))
    tables = [name for name in tree.with_suffix(".csv") if _TABLE.issubset(_begin(tree, name).split(","))]
    return [*found, *(_source(tree, name, _rows) for name in tables)]


def _is_via(head: Head | None) -> bool:
    if head is None or head.kind != "map":
        return False
    return "_via_img_metadata" in head.keys or any({"filename", "regions"} <= inner for inner in head.values.values())


def _is_newer(head: Head | None) -> bool:
    return head is not None and head.keys >= {"metadata", "file", "view", "attribute"}


def _begin(tree: Tree, name: PurePosixPath) -> str:
    try:
        return "".join(read_text(tree.entry(name), 4096).splitlines()[:1])
    except DatasetError:
        return ""


def _source(tree: Tree, name: PurePosixPath, listed: _Listed) -> Source:
    return Source("VIA", [name], lambda pictures: _read(tree, name, listed, pictures))


def _read(tree: Tree, name: PurePosixPath, listed: _Listed, pictures: Pictures) -> Iterator[Record | str]:
    where = tree.files.display_name(name)
    try:
        entry = tree.entry(name)
        content = read_text(entry) if name.suffix.lower() == ".csv" else load_json(entry)
    except DatasetError as error:
        raise DatasetError(str(error) if where in str(error) else f"'{where}': {error}") from error
    for key, picture, regions in listed(content):
        if picture is None:
            yield f"{where}, {key[:80]} is left out: it names no picture."
            continue
        if not isinstance(regions, list):
            yield f"{where}, {picture}: its regions are left out: they must be a list or an object."
            continue
        parts = [_part(index, region) for index, region in enumerate(regions, start=1)]
        # It is a page, and browsers turn pictures upright.
        yield Record(
            f"{where}, {picture}",
            pictures.find(name, picture),
            PurePosixPath(picture).name,
            parts,
            reading=Reading.UPRIGHT,
        )


def _listed(content: Any) -> Iterator[tuple[str, str | None, Any]]:
    for key, each in content.get("_via_img_metadata", content).items():
        picture = each.get("filename") if isinstance(each, dict) else None
        regions = each.get("regions", []) if isinstance(each, dict) else []
        yield (
            str(key),
            picture if isinstance(picture, str) and picture else None,
            list(regions.values()) if isinstance(regions, dict) else regions,
        )


def _rows(text: str) -> Iterator[tuple[str, str | None, list[Any]]]:
    found: dict[str, list[Any]] = {}
    for row in csv.DictReader(io.StringIO(text, newline="")):
        regions = found.setdefault(row.get("filename") or "", [])
        shape, said = row.get("region_shape_attributes") or "{}", row.get("region_attributes") or "{}"
        if shape != "{}":
            try:
                regions.append({"shape_attributes": parse_json(shape), "region_attributes": parse_json(said)})
            except ForeignJsonError:
                regions.append(None)
    yield from (("a row", picture or None, regions) for picture, regions in found.items())


def _listed_newer(content: Any) -> Iterator[tuple[str, str | None, list[Any]]]:
    """VIA 3: shapes and attributes by number, in views of files."""
    attributes = content["attribute"]
    regions: dict[str, list[Any]] = {view: [] for view in content["view"]}
    for mark in content["metadata"].values():
        said = {str(attributes[key]["aname"]): _option(attributes[key], value) for key, value in mark["av"].items()}
        if mark.get("xy"):
            regions.setdefault(str(mark["vid"]), []).append(
                {"shape_attributes": _older(mark["xy"]), "region_attributes": said}
            )
    for view, marked in regions.items():
        files = [content["file"].get(str(each)) for each in content["view"].get(view, {}).get("fid_list", [])]
        picture = files[0].get("fname") if len(files) == 1 and isinstance(files[0], dict) else None
        yield f"view {view}", picture if isinstance(picture, str) and picture else None, marked


def _option(attribute: Mapping[str, Any], value: Any) -> Any:
    """The text of a chosen option."""
    return (attribute.get("options") or {}).get(str(value), value)


def _older(numbers: Sequence[Any]) -> dict[str, Any]:
    kind, values = numbers[0], list(numbers[1:])
    if kind == _POLYGON:
        return {"name": "polygon", "all_points_x": values[::2], "all_points_y": values[1::2]}
    name, keys = _SHAPES.get(kind, (f"shape of the number {kind}", ()))
    return {"name": name, **dict(zip(keys, values, strict=False))}


def _part(index: int, region: Any) -> Part:
    which = f"region {index}"
    try:
        shape, attributes = region["shape_attributes"], region.get("region_attributes") or {}
        name = _name(attributes)
    except (KeyError, TypeError, AttributeError):
        return Part(which, "it is not a region")
    except ValueError as error:
        return Part(which, str(error))
    which += f" ({name})" if name else ""
    try:
        return Part(which, _shape(shape), name)
    except MALFORMED as error:
        return Part(which, fault_of(error), name)


def _name(attributes: Mapping[str, Any]) -> str | None:
    keys = [key for wanted in _CLASS for key in attributes if key.lower() == wanted]
    said = [key for key, value in attributes.items() if value]
    if not keys and len(said) > 1:
        raise ValueError(f"none of its attributes {', '.join(said)} is called class or label")
    for value in (attributes[key] for key in keys or said):
        if isinstance(value, dict):
            chosen = [str(option) for option, on in value.items() if on]
            if len(chosen) > 1:
                raise ValueError(f"it has several classes: {', '.join(chosen)}")
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
            turn = number(shape.get("theta") or 0, "theta")
            return Polygons([np.array([x, y]) + rotated(ellipse(rx, ry), turn)])
        case "point":
            return Dots(((number(shape.get("cx"), "cx"), number(shape.get("cy"), "cy"), 1),))
    raise ValueError(f"a {shape.get('name')} marks no area")
