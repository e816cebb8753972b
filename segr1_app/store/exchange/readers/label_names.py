"""Names of the labels in mask files, from the files that tools write beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segr1_app.domain import DatasetError
from segr1_app.images.masks import Labels
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.readers.sources import Tree, read_text

LABELMAPS: Final = frozenset({"labelmap.txt", "label_map.txt", "label_colors.txt", "class_dict.csv", "_classes.csv"})
LISTS: Final = frozenset({"class_names.txt", "classes.txt", "labels.txt", "classnames.txt"})
JSONS: Final = frozenset({"id2label.json", "label2id.json", "classes.json", "labelmap.json", "label_map.json"})
CITYSCAPES: Final = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road"),
    *("sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole"),
    *("polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck"),
    *("bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
)
"""What Cityscapes' labelIds stand for; its files do not say."""
_TRAINED: Final = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
"""What Cityscapes' trainIds stand for."""
_PER_CLASS: Final = 1000
"""Cityscapes' instanceIds are a class's number times this, and the number of the object."""
_BACKGROUND: Final = frozenset({"background", "_background_", "__background__", "bg", "unlabeled", "_ignore_"})
_COLOUR: Final = re.compile(r"(?<!\d)(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})(?!\d)")
_OBJECT: Final = re.compile(r"^(\d+)[\s,]+(?:[\d.]+[\s,]+)*(\S.*)$")
"""A line of ADE20K's lists: a number, then shares and counts, and names."""
_NUMBERED: Final = re.compile(r"^(\d+)\s*[:=,\t ]\s*([^\d\s].*)$")
OBJECTS: Final = frozenset({"objectinfo150.txt", "objectinfo150.csv", "objectinfo100.txt", "categorymapping.txt"})


@dataclass(frozen=True, slots=True)
class LabelNames:
    """Names of labels.

    Attributes:
        by_label: by what a mask file calls them: an index such as "3", or a colour such as "#ff0000".
        by_colour: whether colours were given, so that a label of another colour has no name, whatever its index.
    """

    by_label: Mapping[str, str] = field(default_factory=dict)
    by_colour: bool = False

    def name(self, labels: Labels, value: int) -> str | None:
        """What a label of a file is called; None when nobody says so, empty for the background."""
        colour = labels.colours.get(value)
        found = self.by_label.get(colour or "")
        if found is None and not (self.by_colour and colour and not _is_grey(colour)):
            found = self.by_label.get(labels.names[value])
        return "" if found and found.casefold() in _BACKGROUND else found or None


def is_label_names(name: PurePosixPath) -> bool:
    """Whether a file has the name of those in which tools list the labels of mask files."""
    return name.name.lower() in LABELMAPS | LISTS | JSONS | OBJECTS


@dataclass(frozen=True, slots=True)
class NameFiles:
    """What the files of an import say of labels: each data set among them has its own names.

    Attributes:
        found: by folder, names by label.
        otherwise: names where no file says any.
        by_colour: folders with a file that gives colours.
        unused: sentences about files of which no names could be read.
    """

    found: Mapping[PurePosixPath, Mapping[str, str]] = field(default_factory=dict)
    otherwise: Mapping[str, str] = field(default_factory=dict)
    by_colour: Collection[PurePosixPath] = ()
    unused: Sequence[str] = ()

    def names_for(self, mask: PurePosixPath) -> LabelNames:
        """The names for a mask file: from the folders above it, the nearest first, else from all others.

        Raises:
            DatasetError: when only folders that are not above it say something, and disagree.
        """
        names: dict[str, str] = {}
        for folder in mask.parents:
            for label, text in self.found.get(folder, {}).items():
                names.setdefault(label, text)
        if names:
            return LabelNames(names, any(folder in self.by_colour for folder in mask.parents))
        for folder, own in self.found.items():
            for label, text in own.items():
                if names.setdefault(label, text) != text:
                    raise DatasetError(
                        f"its label {label} is '{names[label]}' in one folder and '{text}' in {folder}: put the names "
                        "into a folder above it."
                    )
        return LabelNames(names or self.otherwise, bool(self.by_colour))


def find_names(tree: Tree) -> NameFiles:
    """The names that lie among the files; of several files of one folder about one label, the first."""
    found: dict[PurePosixPath, dict[str, str]] = {}
    by_colour: set[PurePosixPath] = set()
    unused: list[str] = []
    for name in filter(is_label_names, tree.names):
        entry = tree.entry(name)
        read = list(_read(entry, name.name.lower()))
        for label, text in read:
            found.setdefault(name.parent, {}).setdefault(label, text)
        if not read:
            unused.append(
                f"{entry}: no names of classes can be read in it: give each index its name, as in '1: cat', or begin "
                "the list with the background."
            )
        elif name.name.lower() in LABELMAPS and _COLOUR.search(read_text(entry)):
            by_colour.add(name.parent)
    if not found and any("gtfine" in name.as_posix().lower() for name in tree.names):
        return NameFiles(otherwise={str(index): name for index, name in enumerate(CITYSCAPES)}, unused=unused)
    return NameFiles(found, by_colour=by_colour, unused=unused)


def names_of_file(name: PurePosixPath, labels: Labels, names: LabelNames) -> tuple[Labels, LabelNames]:
    """The labels of a file with their names, where a file says by its own name how its numbers are to be read."""
    stem = name.stem
    if "annotations_instance" in name.parts and all(label.startswith("#") for label in labels.names.values()):
        # ADE20K's red is the class, and its green the object.
        labels = _renamed(labels, labels.values >> 16)
    if re.search(r"_gt(?:Fine|Coarse)_instance(?:Train)?Ids$", stem):
        labels = _renamed(labels, np.where(labels.values >= _PER_CLASS, labels.values // _PER_CLASS, labels.values))
    if re.search(r"TrainIds$|\.trainIds$", stem):
        return labels, LabelNames({str(index): name for index, name in enumerate(_TRAINED)})
    return labels, names


def _renamed(labels: Labels, values: npt.NDArray[np.int64]) -> Labels:
    return replace(labels, values=values, names={int(each): str(each) for each in np.unique(values) if each})


def _read(entry: Entry, kind: str) -> Iterable[tuple[str, str]]:
    text = read_text(entry)
    if kind.endswith(".json"):
        return _from_json(entry, text)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if kind in OBJECTS:
        found = [(line, match) for line in lines if (match := _OBJECT.match(line))]
        return [(match[1], match[2].split(",")[0].split(";")[0].strip()) for _, match in found]
    if lines and all(_NUMBERED.match(line) for line in lines):
        return [(match[1], match[2].strip()) for line in lines if (match := _NUMBERED.match(line))]
    if kind.endswith(".csv"):
        # The first line says what the columns are.
        numbered = [match for line in lines[1:] if (match := _NUMBERED.match(line))]
        return [(match[1], match[2].strip()) for match in numbered] or _colours(lines[1:])
    if kind in LABELMAPS:
        return _colours(lines)
    names = [line for line in lines if line not in {"__ignore__"}]
    # Without a leading background, the first index is ambiguous.
    return [(str(index), name) for index, name in enumerate(names)] if names and _is_background(names[0]) else []


def _colours(lines: Sequence[str]) -> Iterable[tuple[str, str]]:
    names = []
    for index, line in enumerate(lines):
        colour = _COLOUR.search(line)
        name = (line[: colour.start()] + " " + line[colour.end() :]) if colour else line
        names.append(name.strip(" :,\t").split(":")[0].strip())
        # Without a colour it is the one that Pascal VOC gives to an index.
        red, green, blue = (int(part) for part in colour.groups()) if colour else _voc_colour(index)
        yield f"#{red:02x}{green:02x}{blue:02x}", names[-1]
    if names and _is_background(names[0]):
        yield from ((str(index), name) for index, name in enumerate(names))


def _voc_colour(index: int) -> tuple[int, int, int]:
    """The colour of a class: its bits, the lowest first, are the highest of red, green and blue in turn."""
    parts = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            parts[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return parts[0], parts[1], parts[2]


def _from_json(entry: Entry, text: str) -> Iterable[tuple[str, str]]:
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{entry}: it is not valid JSON that can be read.") from error
    if isinstance(content, list) and content and isinstance(content[0], str) and _is_background(content[0]):
        return [(str(index), str(name)) for index, name in enumerate(content)]
    if not isinstance(content, dict):
        return []
    if all(isinstance(value, str) for value in content.values()):
        return [(str(key), value) for key, value in content.items() if str(key).isdecimal()]
    return [(str(value), str(key)) for key, value in content.items() if isinstance(value, int)]


def _is_grey(colour: str) -> bool:
    """Whether red, green and blue are equal, as in the palettes that only repeat an index."""
    return colour[1:3] == colour[3:5] == colour[5:7]


def _is_background(name: str) -> bool:
    return name.casefold() in _BACKGROUND
