"""Datumaro's own JSON: items with polygons, run lengths, boxes and points, labels by their place in a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from segr1_app.domain import DatasetError
from segr1_app.store.exchange.coordinates import number, ring_of, size_of, whole
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers.sources import MALFORMED, Found, Head, Source, Tree, fault_of, list_in, load_json
from segr1_app.store.exchange.shapes import BoxShape, Dots, Polygons, Runs, Shape


def find(tree: Tree) -> list[Source]:
    """Files of items."""
    return [_source(tree, name) for name in tree.with_suffix(".json") if _is_datumaro(tree.head(name))]


def _is_datumaro(head: Head | None) -> bool:
    return head is not None and "items" in head.lists and "categories" in head.keys


def _source(tree: Tree, name: PurePosixPath) -> Source:
    return Source("Datumaro", [name], lambda pictures: _read(tree, name, pictures))


def _read(tree: Tree, name: PurePosixPath, pictures: Pictures) -> Iterator[Found]:
    where = tree.files.display_name(name)
    try:
        content = load_json(tree.entry(name))
        listed = content["categories"]["label"]["labels"]
        labels = [str(label["name"]) for label in listed]
    except DatasetError as error:
        raise DatasetError(f"'{where}': {error}") from error
    except (KeyError, TypeError) as error:
        raise DatasetError(f"'{where}' is not a Datumaro file: its labels cannot be read.") from error
    for number_of, item in enumerate(content["items"], start=1):
        called = _picture(item)
        record = f"{where}, item {number_of}"
        if called is None:
            yield f"{record} is left out: it names no picture."
            continue
        image = item.get("image") or item.get("media") or {}
        said = image.get("size")
        height, width = said if isinstance(said, list) and len(said) == 2 else (None, None)
        picture = pictures.find(name, called)
        if not isinstance(picture, Entry):
            # The identifier has the folders, and an ending only by chance.
            picture = pictures.find(name, str(item.get("id", called)), by_stem=True)
        try:
            declared, annotations = size_of(width, height), list_in(item, "annotations")
        except DatasetError as error:
            yield f"{record}: {error}"
            continue
        if said := [str(each["type"]) for each in annotations if _is_of_picture(each)]:
            yield Remark(
                f"{record}: what it says of the whole picture marks nothing and is not used: {', '.join(said)}."
            )
        parts = [
            _part(index, each, labels) for index, each in enumerate(annotations, start=1) if not _is_of_picture(each)
        ]
        shown = PurePosixPath(called).name
        yield Record(f"{record} ({shown})", picture, shown, parts, declared)


def _picture(item: Any) -> str | None:
    if not isinstance(item, dict):
        return None
    image = item.get("image") or item.get("media") or {}
    path = image.get("path") if isinstance(image, dict) else None
    found = path or item.get("id")
    return str(found) if found not in (None, "") else None


def _is_of_picture(annotation: Any) -> bool:
    return isinstance(annotation, dict) and annotation.get("type") in ("label", "caption")


def _part(index: int, annotation: Any, labels: list[str]) -> Part:
    which = f"annotation {index}"
    if not isinstance(annotation, dict):
        return Part(which, "it is not a record")
    name = None
    try:
        if annotation.get("label_id") is not None:
            place = whole(annotation["label_id"], "its label_id")
            if not 0 <= place < len(labels):
                raise ValueError(f"its label_id {place} is not among the labels")
            name = labels[place]
        return Part(which, _shape(annotation), name)
    except MALFORMED as error:
        return Part(which, fault_of(error), name)


def _shape(annotation: Mapping[str, Any]) -> Shape:
    match annotation.get("type"):
        case "polygon":
            return Polygons([ring_of(annotation.get("points") or [])])
        case "mask":
            rle = annotation.get("rle") or {}
            return Runs(rle.get("size"), rle.get("counts"))
        case "bbox":
            left, top, width, height = (number(side, "a side of its box") for side in annotation.get("bbox") or [0] * 4)
            return BoxShape((left, top, left + width, top + height))
        case "points":
            seen = annotation.get("visibility") or []
            ring = ring_of(annotation.get("points") or [])
            flags = seen if len(seen) == len(ring) else [2] * len(ring)
            return Dots(tuple((float(x), float(y), 1) for (x, y), flag in zip(ring, flags, strict=True) if flag))
    raise ValueError(f"a {annotation.get('type')} marks no area")
