"""YOLO: a text file for each picture, with polygons or boxes in fractions of width and height."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from segr1_app.domain import DatasetError
from segr1_app.images.frames import Reading
from segr1_app.store.exchange.class_names import name_of_gap
from segr1_app.store.exchange.coordinates import OVER, check_fractions, number, ring_of, whole
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Listing, Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers.sources import Found, Source, Tree, read_text
from segr1_app.store.exchange.shapes import BoxShape, Polygons, Shape, box_around

_LISTS: Final = frozenset({"classes.txt", "obj.names", "names.txt", "_darknet.labels"})
_OTHERS: Final = frozenset(
    {"train.txt", "val.txt", "valid.txt", "test.txt", "readme.txt", "labels.txt", "labelmap.txt"}
)
_SPARE: Final = frozenset({"obj.data", "notes.json", "train.txt", "val.txt", "valid.txt", "test.txt"})


_OBB_ROW: Final = 9
"""Numbers of an oriented box: a class and four corners."""
_OBLIQUE: Final = 0.002
"""Differences between coordinates that are larger than this are not due to rounding."""


@dataclass(frozen=True, slots=True)
class _Names:
    """Classes by number, the file that says so, whether there are keypoints, and whether it cannot be read."""

    by_id: Mapping[int, str]
    file: PurePosixPath
    posed: bool = False
    unread: bool = False


def find(tree: Tree) -> list[Source]:
    """Text files of numbers under the pictures' names."""
    stems = {name.stem.casefold() for name in tree.pictures()}
    labels = [
        name
        for name in tree.with_suffix(".txt")
        if name.stem.casefold() in stems and name.name.lower() not in _LISTS | _OTHERS and _is_yolo(tree.entry(name))
    ]
    if not any(tree.entry(name).begin(1) for name in labels):
        return []
    names = _all_names(tree)
    claimed = [
        *labels,
        *(each.file for each in names if not each.unread),
        *(name for name in tree.names if name.name.lower() in _SPARE),
    ]
    return [Source("YOLO", claimed, lambda pictures: _read(tree, labels, names, pictures), all_pictures=True)]


def _is_yolo(entry: Entry) -> bool:
    try:
        text = read_text(entry, 4096).strip()
    except DatasetError:
        return False
    if not text:
        return True
    try:
        values = [float(value) for value in text.splitlines()[0].split()]
    except ValueError:
        return False
    return len(values) >= 5 and values[0] >= 0 and values[0].is_integer()


def _all_names(tree: Tree) -> list[_Names]:
    """What files say of the classes' names, those in ``data.yaml`` first; a file without names says that, too."""
    found = []
    for name in tree.with_suffix(".yaml", ".yml"):
        try:
            # Without types: a class may be called "no", which YAML would take for false.
            content = yaml.load(read_text(tree.entry(name), 2**20), Loader=yaml.BaseLoader)
        except (yaml.YAMLError, DatasetError, RecursionError):
            found.append(_Names({}, name, unread=True))
            continue
        if isinstance(content, dict) and isinstance(content.get("names"), dict | list):
            listed = content["names"]
            pairs = listed.items() if isinstance(listed, dict) else enumerate(listed)
            by_id = {int(key): text for key, value in pairs if str(key).isdecimal() and (text := _name(value))}
            found.append(_Names(by_id, name, posed="kpt_shape" in content))
    for name in tree.names:
        if name.name.lower() in _LISTS:
            lines = read_text(tree.entry(name), 2**20).splitlines()
            found.append(_Names({index: line.strip() for index, line in enumerate(lines) if line.strip()}, name))
    return found


def _name(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("name")
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _names_for(label: PurePosixPath, found: Sequence[_Names]) -> _Names:
    """The names for a file of labels, from the folders above it, else from the nearest: each data set has its own.

    Raises:
        DatasetError: when two files disagree.
    """
    known = [names for names in found if names.by_id]
    near = max((_shared(label, names.file) for names in known), default=0)
    above = [names for names in known if label.is_relative_to(names.file.parent)]
    fitting = above or [names for names in known if _shared(label, names.file) == near]
    for other in fitting[1:]:
        if any(other.by_id.get(key, name) != name for key, name in fitting[0].by_id.items()):
            raise DatasetError(
                f"{fitting[0].file} and {other.file} give its classes different names: remove one of them."
            )
    return fitting[0] if fitting else _Names({}, label)


def _shared(one: PurePosixPath, other: PurePosixPath) -> int:
    """How many of the outermost folders are the same."""
    pairs = zip(one.parts[:-1], other.parts[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _read(tree: Tree, labels: list[PurePosixPath], found: list[_Names], pictures: Pictures) -> Iterator[Found]:
    oriented = _is_oriented(tree, labels)
    if oriented:
        yield Remark(
            f"{tree.files.display_name(labels[0].parent)}: all rows are rectangles of four corners, as in YOLO's "
            "oriented boxes: read as boxes, not as masks."
        )
    nameless = not any(names.by_id for names in found)
    for names in found:
        # The numbers of classes begin at 1.
        values = (
            {"name": name, "number": index + 1}
            for index, name in sorted(names.by_id.items())
            if name != name_of_gap(index)
        )
        yield Listing.of(str(tree.entry(names.file)), values)
    for label in labels:
        entry = tree.entry(label)
        # labels/train/a.txt belongs to images/train/a.jpg.
        called = PurePosixPath(*("images" if part.lower() == "labels" else part for part in label.parts))
        picture = pictures.find(label, str(called), by_stem=True)
        try:
            lines, names = read_text(entry).splitlines(), _names_for(label, found)
        except DatasetError as error:
            yield str(error) if str(entry) in str(error) else f"{entry}: {error}"
            continue
        parts = [
            _part(n, line.split(), names, oriented=oriented) for n, line in enumerate(lines, start=1) if line.strip()
        ]
        shown = picture.name.name if not isinstance(picture, str) else label.stem
        yield Record(str(entry), picture, shown, parts, reading=Reading.UPRIGHT)
    if nameless:
        unread = [names.file.name for names in found if names.unread]
        broken = f" ({', '.join(unread)} cannot be read)" if unread else ""
        yield (
            f"{tree.files.display_name(labels[0].parent)}: the classes of these YOLO labels have no names{broken}: put "
            "data.yaml or classes.txt next to them."
        )


def _is_oriented(tree: Tree, labels: Sequence[PurePosixPath]) -> bool:
    """Whether the data set is one of oriented boxes: every row has four corners of a rectangle, and one is oblique.

    Nothing else tells them from polygons. Both have a class and corners, and their ``data.yaml`` says the same.
    """
    oblique = False
    for label in labels:
        try:
            rows = [[float(value) for value in line.split()] for line in read_text(tree.entry(label)).splitlines()]
        except (DatasetError, ValueError):
            return False
        for row in filter(None, rows):
            if len(row) != _OBB_ROW:
                return False
            x1, y1, x2, y2, x3, y3, x4, y4 = row[1:]
            # Fractions of two sides turn a rectangle into a parallelogram, whose diagonals still have one middle.
            if not max(abs(x1 + x3 - x2 - x4), abs(y1 + y3 - y2 - y4)) <= _OBLIQUE:
                return False
            oblique |= min(abs(x1 - x2), abs(y1 - y2)) > _OBLIQUE
    return oblique


def _part(line: int, values: list[str], names: _Names, *, oriented: bool) -> Part:
    which = f"line {line}"
    try:
        index = whole(values[0], "its class")
        name = names.by_id.get(index)
        if name is None:
            raise ValueError(f"its class {index} has no name")
        coordinates = [number(value, "a coordinate") for value in values[1:]]
        return Part(which, _shape(coordinates, posed=names.posed, oriented=oriented), name)
    except ValueError as error:
        known: Any = names.by_id.get(int(values[0])) if values[0].isdecimal() else None
        return Part(which, str(error), known)


def _shape(values: list[float], *, posed: bool, oriented: bool) -> Shape:
    if len(values) in (4, 5) or (posed and len(values) >= 4):
        x, y, width, height = values[:4]
        check_fractions(values[:4])
        return BoxShape((x - width / 2, y - height / 2, x + width / 2, y + height / 2), normalised=True)
    ring = ring_of(values)
    check_fractions(values)
    if oriented:
        return box_around(ring, normalised=True)
    # Ultralytics appends a confidence and the number of a track, of which 1 could be a coordinate, too.
    if values[-1] == 1 and (len(ring) == 3 or ring[:-1, 1].max() < 1 - OVER):
        raise ValueError(
            "its last two numbers may be a corner, or a confidence and the number of a track: remove these, or write "
            "the corner's 1 as 0.999999"
        )
    return Polygons([ring], normalised=True)
