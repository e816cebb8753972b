"""Pascal VOC: an XML file for each picture with boxes, beside masks of classes where there are some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from segr1_app.domain import DatasetError
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.readers.sources import Source, Tree
from segr1_app.store.exchange.readers.xml_files import load_xml, root_name, text_of
from segr1_app.store.exchange.shapes import BoxShape, Polygons, Shape, number, ring_of, size_of


def find(tree: Tree) -> list[Source]:
    """Files of boxes; those of pictures that have a mask of classes say less than it and are left to it."""
    names = [name for name in tree.with_suffix(".xml") if root_name(tree.entry(name)) == "annotation"]
    masked = {name.stem for name in tree.pictures() if "segmentationclass" in {part.lower() for part in name.parts}}
    boxes = [name for name in names if name.stem not in masked]
    if not names:
        return []
    for name in names:
        if name.stem in masked:
            tree.class_hints[name.stem] = _classes(tree.entry(name))
    lists = [name for name in tree.with_suffix(".txt") if "imagesets" in {part.lower() for part in name.parts}]
    return [Source("Pascal VOC", [*names, *lists], lambda pictures: _read(tree, boxes, pictures), all_pictures=True)]


def _classes(entry: Entry) -> frozenset[str]:
    try:
        return frozenset(text_of(each, "name") for each in load_xml(entry).findall("object")) - {""}
    except DatasetError:
        return frozenset()


def _read(tree: Tree, names: list[PurePosixPath], pictures: Pictures) -> Iterator[Record | str]:
    for name in names:
        entry = tree.entry(name)
        try:
            root = load_xml(entry)
            declared = size_of(text_of(root, "size/width"), text_of(root, "size/height"))
        except DatasetError as error:
            yield f"{entry}: {error}"
            continue
        called = text_of(root, "filename") or name.stem
        picture = pictures.find(name, called)
        if isinstance(picture, str):
            picture = pictures.find(name, str(name), by_stem=True)
        parts = []
        for index, each in enumerate(root.findall("object"), start=1):
            label = text_of(each, "name") or None
            which = f"object {index}" + (f" ({label})" if label else "")
            shape: Shape | str
            try:
                if text_of(each, "deleted") == "1":
                    continue
                polygon = each.find("polygon")
                if polygon is not None:
                    points = polygon.findall("pt")
                    shape = Polygons([ring_of([(text_of(point, "x"), text_of(point, "y")) for point in points])])
                else:
                    box = [number(text_of(each, f"bndbox/{side}"), side) for side in ("xmin", "ymin", "xmax", "ymax")]
                    # The first pixel of Pascal VOC is 1, and the last one belongs to the box.
                    shape = BoxShape((box[0] - 1, box[1] - 1, box[2], box[3]))
            except ValueError as error:
                shape = str(error)
            parts.append(Part(which, shape, label))
        yield Record(str(entry), picture, PurePosixPath(called).name, parts, declared)
