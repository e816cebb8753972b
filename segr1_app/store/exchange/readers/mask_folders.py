"""Pictures, and mask files that lie beside them under their names: the layouts of segmentation data sets.

``masks/a.png`` is the mask of ``a.jpg`` and of ``images/a.jpg``, ``train/masks/a.png`` that of ``train/images/a.jpg``;
so are the folders of Pascal VOC and CVAT (``SegmentationClass``), DAVIS and YouTube-VOS (``Annotations``), Cityscapes
(``gtFine``), ADE20K and sets for salient objects (``GT``).
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Final

from segr1_app.domain import DatasetError
from segr1_app.masks import Labels, read_labels
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import MASK_FOLDERS
from segr1_app.store.exchange.readers.index_table import INSTRUCTIONS_NAME, Index, read_index, read_instructions
from segr1_app.store.exchange.readers.label_names import LabelNames, find_names
from segr1_app.store.exchange.readers.sources import Tree
from segr1_app.store.exchange.shapes import MaskPicture

INSTANCE_FOLDERS: Final = frozenset(
    {"segmentationobject", "segmentationobjectpng", "instances", "instance_masks", "instance"}
)
"""Masks of single objects, which say less than those of classes that lie beside them."""
SHOWN_FOLDERS: Final = frozenset(
    {"segmentationclassvisualization", "segmentationobjectvisualization", "viz", "semantic_rgb"}
)
"""Pictures with annotations drawn into them, which are neither."""
PICTURE_FOLDERS: Final = frozenset(
    {"images", "image", "imgs", "img", "im", "jpegimages", "leftimg8bit", "rgb", "pictures", "photos", "src", "image_2"}
)
_ANNOTATED: Final = re.compile(r"^(.+)annot$")
"""CamVid's masks of ``train`` are in ``trainannot``."""
_PICTURE_ENDING: Final = re.compile(r"_leftImg8bit$")
_MASK_ENDING: Final = re.compile(
    r"(_gt(?:Fine|Coarse)_labelIds|_gt(?:Fine|Coarse)_labelTrainIds|[_-]mask|[_-]masks|[_-]gt|[_-]seg|[_-]label)$"
)
_LESS: Final = re.compile(r"_gt(?:Fine|Coarse)_(?:instanceIds|instanceTrainIds|color|labelTrainIds)$|\.trainIds$")
"""Cityscapes writes several files of one thing; those of labels say what the others say."""

_SAMPLE: Final = 3
"""How many files of a folder are looked at to know what it holds."""
_LEVELS: Final = 64
_Key = tuple[str, ...]


@dataclass(slots=True)
class Paired:
    """Pictures and masks by what they have in common.

    Attributes:
        pictures: in order.
        masks: by key.
        index: rows of an ``index.csv`` by key.
        problems: sentences about files that cannot be used.
        spare: files that say no more than others.
    """

    pictures: list[PurePosixPath] = field(default_factory=list)
    masks: dict[_Key, Entry] = field(default_factory=dict)
    index: Index = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    spare: list[PurePosixPath] = field(default_factory=list)


def pair(tree: Tree) -> Paired:
    """Tell pictures from masks among the unclaimed files, by the names of their folders and their own."""
    paired, instances = Paired(), {}
    stems = {(name.parent, name.stem) for name in tree.pictures()}
    for name in tree.names:
        if name.name == INSTRUCTIONS_NAME:
            paired.problems += read_instructions(tree.entry(name), _key(name)[:-1], paired.index)
        if name.name == "index.csv":
            paired.problems += read_index(tree.entry(name), _key(name)[:-1], paired.index)
    for name in tree.pictures():
        folders = {part.casefold() for part in name.parts[:-1]}
        annotated = any(_ANNOTATED.match(part) for part in folders)
        ending = _MASK_ENDING.search(name.stem)
        beside = bool(ending) and (name.parent, name.stem[: ending.start() if ending else 0]) in stems
        if folders & SHOWN_FOLDERS or (folders & MASK_FOLDERS and _LESS.search(name.stem)):
            paired.spare.append(name)
        elif folders & INSTANCE_FOLDERS:
            instances[_key(name)] = tree.entry(name)
        elif not (folders & MASK_FOLDERS or beside or annotated):
            paired.pictures.append(name)
        elif _key(name) in paired.masks:
            paired.problems.append(f"{tree.files.display_name(name)}: there is another mask of this name already.")
        else:
            paired.masks[_key(name)] = tree.entry(name)
    for key, entry in instances.items():
        if key in paired.masks:
            paired.spare.append(entry.name)
        else:
            paired.masks[key] = entry
    return paired


def records(tree: Tree, paired: Paired, masks: Mapping[str, Entry], used: set[str]) -> Iterator[Record | str]:
    """The pictures with their masks.

    Args:
        tree: the files.
        paired: from `pair`.
        masks: ground-truth masks handed over beside them, by stem; they come before those that lie beside the pictures.
        used: gets the stems of those that were taken.
    """
    yield from paired.problems
    try:
        names = find_names(tree)
    except DatasetError as error:
        yield str(error)
        names = LabelNames()
    taken = set()
    for name in paired.pictures:
        key, stem = _key(name), plain(name.stem)
        row = paired.index.get(key, {})
        taken.add(key)
        mask = masks.get(stem, paired.masks.get(key))
        if stem in masks:
            used.add(stem)
        where = tree.files.display_name(name)
        entry = tree.entry(name)
        called = row.get("picture") or name.name
        if mask is None:
            words = (row["instruction"],) if row.get("instruction") else ()
            yield Record(where, entry, called, instructions=words)
        else:
            yield from _masked(Record(where, entry, called), mask, row.get("instruction"), names, tree)
    yield from (lonely(mask) for key, mask in paired.masks.items() if key not in taken)


def lonely(mask: Entry) -> str:
    """A sentence about a mask without a picture."""
    return f"{mask}: there is no picture called {plain(mask.name.stem)}."


def plain(stem: str) -> str:
    """A name as it is compared: systems write letters with accents in two ways."""
    return unicodedata.normalize("NFC", stem)


def _masked(
    record: Record, mask: Entry, instruction: str | None, names: LabelNames, tree: Tree
) -> Iterator[Record | str]:
    """A picture with the labels of its mask file: one task for each class that has a name."""
    which = f"its mask {mask.name}"
    try:
        labels = read_labels(mask.read())
    except DatasetError as error:
        yield _with(record, Part(which, str(error), instruction=instruction))
        return
    read = partial(_itself, labels)
    wanted = tree.options.label
    known = {value: names.name(labels, value) for value in labels.names}
    hints = tree.class_hints.get(mask.name.stem, frozenset())
    if len(known) == len(hints) == 1 and not any(known.values()):
        known = dict.fromkeys(known, next(iter(hints)))
    if wanted is not None and wanted != "all":
        chosen = [
            value for value, name in known.items() if wanted.lower() in {labels.names[value], (name or "").lower()}
        ]
        yield _with(record, *(Part(which, MaskPicture(read, labels.names[v]), known[v], instruction) for v in chosen))
        return
    if instruction is not None or wanted == "all" or not any(known.values()):
        yield _with(record, Part(which, MaskPicture(read, wanted), None, instruction))
        return
    parts = [Part(which, MaskPicture(read, labels.names[v]), name) for v, name in known.items() if name]
    unnamed = [labels.names[value] for value, name in known.items() if name is None]
    if unnamed:
        yield f"{record.where}: {which} marks {', '.join(unnamed)}, which the labelmap does not name: left out."
    yield _with(record, *parts)


def mask_like(tree: Tree, paired: Paired) -> Iterator[str]:
    """Sentences about folders of pictures that look like masks of other pictures: one grey or indexed file for each."""
    stems: dict[str, set[PurePosixPath]] = defaultdict(set)
    for name in paired.pictures:
        stems[name.stem].add(name.parent)
    for folder, names in by_folder(paired.pictures).items():
        twins = [name for name in names if len(stems[name.stem]) > 1]
        if len(twins) == len(names) and all(_few_levels(tree.entry(name)) for name in names[:_SAMPLE]):
            yield (
                f"{tree.files.display_name(names[0])} and all of its folder ({len(names)}): looks like masks of "
                f"other pictures: call the folder masks ({folder.name}) or give it with --masks."
            )


def _few_levels(entry: Entry) -> bool:
    try:
        return len(read_labels(entry.read()).names) < _LEVELS
    except DatasetError:
        return False


def _with(record: Record, *parts: Part) -> Record:
    return Record(record.where, record.picture, record.name, parts)


def _itself(labels: Labels) -> Labels:
    return labels


def _key(name: PurePosixPath) -> _Key:
    """What a picture and its mask have in common."""
    paired = MASK_FOLDERS | PICTURE_FOLDERS | INSTANCE_FOLDERS
    folders = (_ANNOTATED.sub(r"\1", plain(part)) for part in name.parts[:-1] if part.casefold() not in paired)
    stem = _MASK_ENDING.sub("", _PICTURE_ENDING.sub("", name.stem))
    return (*folders, plain(stem or name.stem))


def by_folder(names: list[PurePosixPath]) -> dict[PurePosixPath, list[PurePosixPath]]:
    """Files by the folder they lie in."""
    found: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for name in names:
        found[name.parent].append(name)
    return found


def with_masks(paired: Paired, names: list[PurePosixPath]) -> list[PurePosixPath]:
    """Those pictures of ``names`` that have a mask file."""
    return [name for name in names if _key(name) in paired.masks]
