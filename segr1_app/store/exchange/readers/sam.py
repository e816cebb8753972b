"""SA-1B: a JSON file for each picture, with masks that have no names: their prompts are taken, each as an object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from segr1_app.domain import DatasetError
from segr1_app.store.exchange.coordinates import ring_of, size_of
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers.coco_shapes import box_of
from segr1_app.store.exchange.readers.sources import MALFORMED, Found, Head, Source, Tree, fault_of, load_json
from segr1_app.store.exchange.shapes import BoxShape, Dots, Shape


def find(tree: Tree) -> list[Source]:
    """Files of one image and its annotations."""
    names = [name for name in tree.with_suffix(".json") if _is_sam(tree.head(name))]
    return [Source("SA-1B", names, lambda pictures: _read(tree, names, pictures))] if names else []


def _is_sam(head: Head | None) -> bool:
    return head is not None and "annotations" in head.lists and "file_name" in head.values.get("image", ())


def _read(tree: Tree, names: list[PurePosixPath], pictures: Pictures) -> Iterator[Found]:
    masks = 0
    for name in names:
        entry = tree.entry(name)
        try:
            content = load_json(entry)
            image = content["image"]
            declared = size_of(image.get("width"), image.get("height"))
        except DatasetError as error:
            yield f"{entry}: {error}"
            continue
        called = str(image["file_name"])
        parts = [_part(index, each) for index, each in enumerate(content["annotations"], start=1)]
        masks += sum(bool(isinstance(each, dict) and each.get("segmentation")) for each in content["annotations"])
        yield Record(str(entry), pictures.find(name, called), PurePosixPath(called).name, parts, declared)
    if masks:
        yield Remark(
            f"{masks} masks of SA-1B are not used, for they have no names: their boxes and points are prompts."
        )


def _part(index: int, annotation: Any) -> Part:
    which = f"annotation {index}"
    try:
        return Part(which, _shape(annotation), model="SA-1B")
    except MALFORMED as error:
        return Part(which, f"its prompts cannot be read ({fault_of(error)})", model="SA-1B")


def _shape(annotation: Mapping[str, Any]) -> Shape:
    box: BoxShape | None = box_of(annotation.get("bbox")) if annotation.get("bbox") else None
    points = [point for point in annotation.get("point_coords") or [] if point]
    if points:
        return Dots(tuple((float(x), float(y), 1) for x, y in ring_of(points)), box=box)
    if box is None:
        raise ValueError("it has neither a box nor points")
    return box
