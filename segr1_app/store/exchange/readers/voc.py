"""Pascal VOC and LabelMe: an XML file for each picture with boxes or outlines, and masks where there are some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np

from segr1_app.domain import DatasetError
from segr1_app.images.masks import read_labels
from segr1_app.store.exchange.coordinates import number, ring_of, size_of
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers.ellipses import rotated
from segr1_app.store.exchange.readers.sources import Found, Source, Tree, renamed, unused_masks
from segr1_app.store.exchange.readers.xml_files import load_xml, root_name, text_of
from segr1_app.store.exchange.shapes import BoxShape, MaskPicture, Polygons, Shape, box_around

_BEGIN: Final = 4096


def find(tree: Tree) -> list[Source]:
    """Files of boxes; pictures with a mask of classes are skipped, because the mask says more."""
    names = [name for name in tree.with_suffix(".xml") if root_name(tree.entry(name)) == "annotation"]
    masked = {name.stem for name in tree.pictures() if "segmentationclass" in {part.lower() for part in name.parts}}
    boxes = [name for name in names if name.stem not in masked]
    if not names:
        return []
    for name in names:
        if name.stem in masked:
            tree.class_hints[name.stem] = _classes(tree.entry(name))
    lists = [name for name in tree.with_suffix(".txt") if "imagesets" in {part.lower() for part in name.parts}]
    masks = _masks(tree, names)
    claimed = [*names, *lists, *masks]
    unread = [name for name in names if name.stem in masked]

    def records(pictures: Pictures) -> Iterator[Found]:
        if unread:
            yield Remark(
                f"{tree.files.display_name(unread[0].parent)}: the boxes of {len(unread)} pictures are not used, for "
                "there are masks."
            )
        yield from _read(tree, boxes, masks, pictures)

    return [Source("Pascal VOC", claimed, records, all_pictures=True)]


def _masks(tree: Tree, names: list[PurePosixPath]) -> list[PurePosixPath]:
    """Mask files of single objects, which LabelMe's files name."""
    if not any(b"<imagesize>" in tree.entry(name).begin(_BEGIN) for name in names):
        return []
    return [name for name in tree.pictures() if {"masks", "scribbles"} & {part.lower() for part in name.parts[:-1]}]


def _classes(entry: Entry) -> frozenset[str]:
    try:
        return frozenset(text_of(each, "name") for each in load_xml(entry).findall("object")) - {""}
    except DatasetError:
        return frozenset()


def _read(tree: Tree, names: list[PurePosixPath], masks: list[PurePosixPath], pictures: Pictures) -> Iterator[Found]:
    files = Pictures(tree.files, masks)
    for name in names:
        entry = tree.entry(name)
        try:
            root = load_xml(entry)
            width, height = (
                text_of(root, f"size/{side}") or text_of(root, f"imagesize/{other}")
                for side, other in (("width", "ncols"), ("height", "nrows"))
            )
            declared = size_of(width, height)
        except DatasetError as error:
            yield f"{entry}: {error}"
            continue
        called = text_of(root, "filename") or name.stem
        picture = pictures.find(name, called)
        if isinstance(picture, str):
            picture = pictures.find(name, str(name), by_stem=True)
            yield from renamed(entry, called, picture)
        parts = []
        for index, each in enumerate(root.findall("object"), start=1):
            label = text_of(each, "name") or None
            which = f"object {index}" + (f" ({label})" if label else "")
            if text_of(each, "deleted") == "1":
                yield Remark(f"{entry}: {which} was deleted by its annotator and is not used.")
                continue
            try:
                parts.append(Part(which, _shape(each, name, files), label))
            except ValueError as error:
                parts.append(Part(which, str(error), label))
        yield Record(str(entry), picture, PurePosixPath(called).name, parts, declared)
    yield from unused_masks(tree, masks, files)


def _shape(element: Element, name: PurePosixPath, files: Pictures) -> Shape:
    """The shape of an object of the file ``name``."""
    if mask := text_of(element, "segm/mask"):
        found = files.find(name, mask)
        if isinstance(found, str):
            raise ValueError(f"its mask {mask} is missing")
        return MaskPicture(lambda: read_labels(found.read()), "all")
    polygon = element.find("polygon")
    if polygon is None and element.find("robndbox") is not None:
        middle_x, middle_y, width, height, angle = (
            number(text_of(element, f"robndbox/{key}"), key) for key in ("cx", "cy", "w", "h", "angle")
        )
        half = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
        return box_around(np.array([middle_x, middle_y]) + rotated(half, angle))
    if polygon is None:
        box = [number(text_of(element, f"bndbox/{side}"), side) for side in ("xmin", "ymin", "xmax", "ymax")]
        # Pascal VOC counts pixels from 1, and a box includes its last one.
        return BoxShape((box[0] - 1, box[1] - 1, box[2], box[3]))
    ring = ring_of(_corners(polygon))
    if text_of(element, "type") == "bounding_box" and len(ring):
        (left, top), (right, bottom) = ring.min(axis=0), ring.max(axis=0)
        return BoxShape((float(left), float(top), float(right), float(bottom)))
    return Polygons([ring])


def _corners(polygon: Element) -> list[tuple[str, str]]:
    """LabelMe writes ``<pt><x/><y/></pt>``; Roboflow ``<x1/><y1/><x2/><y2/>`` and so on."""
    points = polygon.findall("pt")
    if points:
        return [(text_of(point, "x"), text_of(point, "y")) for point in points]
    corners: list[tuple[str, str]] = []
    while (x := text_of(polygon, f"x{len(corners) + 1}")) and (y := text_of(polygon, f"y{len(corners) + 1}")):
        corners.append((x, y))
    if 2 * len(corners) != len(polygon):
        raise ValueError("its polygon is in an unsupported form")
    return corners
