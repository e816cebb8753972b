"""Open Images: tables of masks and boxes by picture and class, and a mask file for each object."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from segr1_app.domain import DatasetError, ImageSize, Mask
from segr1_app.images.masks import read_labels
from segr1_app.store.exchange.coordinates import check_fractions, number
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.readers.sources import Source, Tree, read_text, unused_masks
from segr1_app.store.exchange.shapes import BoxShape, Canvas, Shape

_MASKS: Final = frozenset({"MaskPath", "ImageID", "LabelName"})
_BOXES: Final = frozenset({"ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax"})
_HEADER: Final = 4096
_DESCRIPTIONS: Final = re.compile(r"class-?descriptions.*\.csv$", re.I)
_SPARE: Final = re.compile(r"(images-with-rotation.*\.csv|image-ids.*\.csv|hierarchy.*\.json|images\.meta)$", re.I)
"""Files beside the tables that contain no annotations."""


def find(tree: Tree) -> list[Source]:
    """Tables of masks and boxes, with the mask files that they name."""
    tables = [name for name in tree.with_suffix(".csv") if _columns(tree, name) >= _MASKS]
    boxes = [name for name in tree.with_suffix(".csv") if _columns(tree, name) >= _BOXES and name not in tables]
    if not tables and not boxes:
        return []
    beside = [name for name in tree.names if _DESCRIPTIONS.search(name.name) or _SPARE.search(name.name)]
    masks = [name for name in tree.pictures() if "mask" in "/".join(name.parts[:-1]).lower()] if tables else []
    claimed = [*tables, *boxes, *beside, *masks]
    return [Source("Open Images", claimed, lambda pictures: _read(tree, [*tables, *boxes], masks, pictures))]


def _columns(tree: Tree, name: PurePosixPath) -> frozenset[str]:
    try:
        lines = read_text(tree.entry(name), _HEADER).splitlines()
    except DatasetError:
        return frozenset()
    return frozenset(lines[0].split(",")) if lines else frozenset()


def _read(
    tree: Tree, tables: Sequence[PurePosixPath], masks: Sequence[PurePosixPath], pictures: Pictures
) -> Iterator[Record | str]:
    names = dict(_names(tree))
    files = Pictures(tree.files, masks)
    found: dict[str, list[tuple[PurePosixPath, int, Mapping[str, str]]]] = defaultdict(list)
    for table in tables:
        for line, row in enumerate(csv.DictReader(io.StringIO(read_text(tree.entry(table)), newline="")), start=2):
            if row.get("ImageID"):
                found[row["ImageID"]].append((table, line, row))
            else:
                yield f"{tree.files.display_name(table)} line {line} is left out: it has no ImageID."
    for picture, rows in found.items():
        table = rows[0][0]
        parts = [_part(f"line {line} of {name.name}", row, names, name, files) for name, line, row in rows]
        entry = pictures.find(table, picture, by_stem=True)
        shown = entry.name.name if isinstance(entry, Entry) else picture
        yield Record(f"{tree.files.display_name(table)}, {picture}", entry, shown, parts)
    yield from unused_masks(tree, masks, files)


def _names(tree: Tree) -> Iterator[tuple[str, str]]:
    """Classes by their codes, such as "/m/01yrx"."""
    for name in tree.files.names():
        if _DESCRIPTIONS.search(name.name):
            rows = csv.reader(io.StringIO(read_text(Entry(tree.files, name)), newline=""))
            yield from ((row[0], row[1].strip()) for row in rows if len(row) > 1 and row[0] != "LabelName")


def _part(which: str, row: Mapping[str, str], names: Mapping[str, str], table: PurePosixPath, files: Pictures) -> Part:
    code = row.get("LabelName") or ""
    name = names.get(code) or (None if code.startswith("/") else code or None)
    if name is None:
        return Part(which, f"its class {code} has no name: put class-descriptions.csv next to it")
    shape: Shape | str
    if row.get("MaskPath"):
        entry = files.find(table, row["MaskPath"])
        shape = entry if isinstance(entry, str) else _MaskFile(entry)
        return Part(which, f"its mask {row['MaskPath']} is missing" if isinstance(shape, str) else shape, name)
    try:
        left, top, right, bottom = (number(row.get(side), side) for side in ("XMin", "YMin", "XMax", "YMax"))
        check_fractions((left, top, right, bottom))
        shape = BoxShape((left, top, right, bottom), normalised=True)
    except ValueError as error:
        shape = str(error)
    return Part(which, shape, name)


@dataclass(frozen=True, slots=True)
class _MaskFile:
    """A mask of one object, perhaps of another size than the picture: those of Open Images are scaled down."""

    entry: Entry

    def mask(self, canvas: Canvas) -> Mask:
        """The object.

        Raises:
            ValueError: when it marks nothing.
            DatasetError: when it cannot be read, or is of another shape than the picture.
        """
        pixels = read_labels(self.entry.read()).mask("all")
        frame = canvas.frame_of(ImageSize(pixels.shape[1], pixels.shape[0]))
        mask = frame.pixels(pixels)
        if not mask.any():
            raise ValueError("it marks no pixel of the picture")
        return mask
