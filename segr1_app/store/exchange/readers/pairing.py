"""Which files are masks of which pictures, by the names of their folders, their own names, and what they look like.

``masks/a.png`` is the mask of ``a.jpg`` and of ``images/a.jpg``, ``train/masks/a.png`` that of ``train/images/a.jpg``;
so are the folders of Pascal VOC and CVAT (``SegmentationClass``), DAVIS and YouTube-VOS (``Annotations``), Cityscapes
(``gtFine``), ADE20K, MVTec and sets for salient objects (``GT``), and files such as ``a_mask.png`` beside ``a.jpg``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from segr1_app.domain import DatasetError
from segr1_app.images.masks import looks_like_mask
from segr1_app.images.pictures import IMAGE_SUFFIXES
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.lookup import MASK_FOLDERS, MASK_WORDS, words_of
from segr1_app.store.exchange.mask_export import INDEX_NAME
from segr1_app.store.exchange.readers.index_table import INSTRUCTIONS_NAME, Index, read_index, read_instructions
from segr1_app.store.exchange.readers.sources import Tree

INSTANCE_FOLDERS: Final = frozenset(
    {"segmentationobject", "segmentationobjectpng", "instances", "instance_masks", "instance", "annotations_instance"}
)
"""Masks of single objects, which are less informative than those of classes next to them."""
SHOWN_FOLDERS: Final = frozenset(
    {"segmentationclassvisualization", "segmentationobjectvisualization", "viz", "semantic_rgb", "masks_human"}
)
"""Pictures with annotations drawn into them, which are neither pictures nor masks."""
_PICTURE_FOLDERS: Final = frozenset(
    {"images", "image", "imgs", "img", "im", "jpegimages", "leftimg8bit", "rgb", "pictures", "photos", "src", "image_2"}
)
_PICTURE_WORDS: Final = frozenset({"images", "image", "imgs", "img", "im", "rgb", "input", "pictures", "png", "jpg"})
_ANNOTATED: Final = re.compile(r"^(.+)annot$")
"""CamVid's masks of ``train`` are in ``trainannot``."""
_PICTURE_ENDING: Final = re.compile(r"(?:_leftImg8bit|_sat|_training|_test)$", re.I)
_MASK_ENDING: Final = re.compile(
    r"(?:_gt(?:Fine|Coarse)_(?:labelIds|labelTrainIds|instanceIds|instanceTrainIds|color)|\.trainIds"
    r"|[_-](?:masks?|gt|seg|segmentation|labels?|l|matte|annotation|ground_?truth|manual1))$",
    re.I,
)
_MASK_BEGINNING: Final = re.compile(r"^(?:masks?|gt|seg|segmentation|labels?)[_-]", re.I)
_PARTS: Final = re.compile(r"^ADE_.+_parts_\d+$")
"""ADE20K's masks of parts of objects."""
_RANKS: Final = (
    re.compile(r"(?:labelTrainIds|\.trainIds)$"),
    re.compile(r"(?:instanceIds|instanceTrainIds)$"),
    re.compile(r"_gt(?:Fine|Coarse)_color$"),
)
"""Cityscapes writes several files per picture; the first kind that exists contains what the others do, or more."""
_SAMPLE: Final = 3
"""How many files of a folder are opened to recognise what it holds."""
_Key = tuple[str, ...]


@dataclass(slots=True)
class Paired:
    """Pictures and their masks.

    Attributes:
        pictures: in order.
        masks: by picture.
        index: rows of an ``index.csv`` by the folders above them and their stem.
        problems: sentences about files that cannot be used.
        unmatched: sentences about masks without a picture.
        spare: files without information beyond that of others.
    """

    pictures: list[PurePosixPath] = field(default_factory=list)
    masks: dict[PurePosixPath, Entry] = field(default_factory=dict)
    index: Index = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    spare: list[PurePosixPath] = field(default_factory=list)


def pair(tree: Tree) -> Paired:
    """Tell pictures from masks among the unclaimed files, and find the picture of each mask."""
    paired = Paired()
    for name in tree.names:
        if name.name == INSTRUCTIONS_NAME:
            paired.problems += read_instructions(tree.entry(name), key_of, paired.index)
        if name.name == INDEX_NAME:
            paired.problems += read_index(tree.entry(name), key_of, paired.index)
    masks, instances = _sort(tree, paired)
    by_key = _by_key(tree, masks, paired)
    for name in instances:
        if key_of(name) in by_key:
            paired.spare.append(name)
        else:
            by_key[key_of(name)] = name
    _match(tree, by_key, paired)
    return paired


def _sort(tree: Tree, paired: Paired) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Masks of classes and masks of instances; pictures and files of no use go to ``paired``."""
    masks, instances = [], []
    by_looks = _Looks(tree)
    beside = _beside(tree)
    for name in tree.pictures():
        folders = {part.casefold() for part in name.parts[:-1]}
        if folders & SHOWN_FOLDERS or _PARTS.search(name.stem):
            paired.spare.append(name)
        elif folders & INSTANCE_FOLDERS:
            instances.append(name)
        elif (
            folders & MASK_FOLDERS
            or any(_ANNOTATED.match(part) for part in folders)
            or name in beside
            or by_looks.is_mask(name)
        ):
            masks.append(name)
        else:
            paired.pictures.append(name)
    return masks, instances


def _beside(tree: Tree) -> set[PurePosixPath]:
    """Files that have the name of a picture in their folder plus a mask suffix."""
    marked = [name for name in tree.pictures() if _MASK_ENDING.search(name.stem) or _MASK_BEGINNING.search(name.stem)]
    others = set(tree.pictures()) - set(marked)
    stems = {(name.parent, _bare_picture(name.stem)) for name in others}
    stems |= {(name.parent, plain(name.stem).casefold()) for name in tree.pictures()}
    return {name for name in marked if (name.parent, _bare_mask(name.stem)) in stems}


class _Looks:
    """Recognises masks by their pixels where names are ambiguous.

    Args:
        tree: the files.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._groups: dict[tuple[PurePosixPath, str], list[PurePosixPath]] = defaultdict(list)
        self._suffixes: dict[tuple[PurePosixPath, str], set[str]] = defaultdict(set)
        self._known: dict[tuple[PurePosixPath, str], bool] = {}
        for name in tree.pictures():
            self._groups[name.parent, name.suffix].append(name)
            self._suffixes[name.parent, name.stem].add(name.suffix)

    def is_mask(self, name: PurePosixPath) -> bool:
        """Whether a file has the pixels of a mask, and the folder of one or the name of a picture."""
        hinted = any(words_of(part) & MASK_WORDS for part in name.parts[:-1])
        others = self._suffixes[name.parent, name.stem] - {name.suffix}
        if hinted:
            return self._looks(name.parent, name.suffix)
        return any(
            self._looks(name.parent, name.suffix) and not self._looks(name.parent, other) for other in sorted(others)
        )

    def _looks(self, folder: PurePosixPath, suffix: str) -> bool:
        group = folder, suffix
        if group not in self._known:
            self._known[group] = _all_look_like_masks(self._tree, self._groups[group])
        return self._known[group]


def _by_key(tree: Tree, masks: Sequence[PurePosixPath], paired: Paired) -> dict[_Key, PurePosixPath]:
    """Of several masks of the same picture, the most informative one."""
    found: dict[_Key, PurePosixPath] = {}
    for name in sorted(masks, key=_rank):
        first = found.setdefault(key_of(name), name)
        if first is not name and _rank(name):
            paired.spare.append(name)
        elif first is not name:
            paired.problems.append(f"{tree.files.display_name(name)}: there is another mask of this name already.")
    return found


def _rank(name: PurePosixPath) -> int:
    return next((place for place, kind in enumerate(_RANKS, start=1) if kind.search(name.stem)), 0)


def _match(tree: Tree, by_key: dict[_Key, PurePosixPath], paired: Paired) -> None:
    """Find the picture of each mask: the one of its folders, else the only one whose folders say more, or less."""
    keys = {key_of(name): name for name in paired.pictures}
    by_stem = defaultdict(list)
    for name in paired.pictures:
        if key_of(name) not in by_key:
            by_stem[_bare_picture(name.stem)].append(name)
    for key, mask in by_key.items():
        if key in keys:
            paired.masks[keys[key]] = tree.entry(mask)
            continue
        stems = dict.fromkeys((_bare_picture(mask.stem), _bare_mask(mask.stem)))
        fitting = [name for stem in stems for name in by_stem[stem] if _fits(mask, name)]
        shared = {name: len(_folder_words(mask) & _folder_words(name)) for name in fitting}
        best = [name for name in fitting if shared[name] == max(shared.values())]
        if len(best) == 1 and best[0] not in paired.masks:
            paired.masks[best[0]] = tree.entry(mask)
        elif best:
            shown = ", ".join(map(str, best[:3]))
            paired.unmatched.append(
                f"{tree.entry(mask)}: it may be the mask of any of {shown}: give them the same folders."
            )
        else:
            paired.unmatched.append(lonely(tree.entry(mask)))


def _fits(mask: PurePosixPath, picture: PurePosixPath) -> bool:
    """Whether the folders of one contain those of the other: no mask in ``train`` is for a picture in ``val``."""
    own, other = _folder_words(mask), _folder_words(picture)
    return own <= other or other <= own


def _folder_words(name: PurePosixPath) -> frozenset[str]:
    parts = (_ANNOTATED.sub(r"\1", part.casefold()) for part in name.parts[:-1])
    named = (part for part in parts if part not in MASK_FOLDERS | _PICTURE_FOLDERS | INSTANCE_FOLDERS)
    return frozenset(word for part in named for word in words_of(part)) - MASK_WORDS - _PICTURE_WORDS


def lonely(mask: Entry) -> str:
    """A sentence about a mask without a picture."""
    return f"{mask}: there is no picture called {_bare_mask(mask.name.stem, fold=False)}."


def plain(stem: str) -> str:
    """A name in the normalised form used for comparison: accented letters have two encodings."""
    return unicodedata.normalize("NFC", stem)


def _bare_mask(stem: str, *, fold: bool = True) -> str:
    """The picture's name in that of its mask: without its extension in the middle and without a mask suffix."""
    bare = _MASK_BEGINNING.sub("", _MASK_ENDING.sub("", stem)) or stem
    return _bare_picture(bare) if fold else _without_ending(bare)


def _bare_picture(stem: str) -> str:
    return plain(_PICTURE_ENDING.sub("", _without_ending(stem))).casefold()


def _without_ending(stem: str) -> str:
    """Some tools append to a picture's name: ``a.jpg.png``."""
    return PurePosixPath(stem).stem if PurePosixPath(stem).suffix.lower() in IMAGE_SUFFIXES else stem


def key_of(name: PurePosixPath) -> _Key:
    """The key that a picture and its mask share: the other folders, and the name."""
    kinds = MASK_FOLDERS | _PICTURE_FOLDERS | INSTANCE_FOLDERS
    folders = (_ANNOTATED.sub(r"\1", plain(part)) for part in name.parts[:-1] if part.casefold() not in kinds)
    stem = _MASK_ENDING.sub("", _PICTURE_ENDING.sub("", name.stem))
    return (*folders, plain(stem or name.stem))


def mask_like(tree: Tree, paired: Paired) -> Iterator[str]:
    """Sentences about pictures that look like masks of others: grey or indexed files, beside pictures that do not."""
    groups: dict[tuple[PurePosixPath, str, bool], list[PurePosixPath]] = defaultdict(list)
    for name in paired.pictures:
        if name not in paired.masks:
            groups[name.parent, name.suffix.lower(), _is_coloured_png(tree.entry(name))].append(name)
    alike = [group for group, names in groups.items() if _all_look(tree, group[1], names)]
    if len(alike) == len(groups) and not paired.masks:
        return
    for group in alike:
        names = groups[group]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield (
            f"{tree.files.display_name(names[0])}{more}: looks like masks, and nothing says of which pictures: give "
            "masks the names of their pictures, in a folder masks or with --masks."
        )


def _is_coloured_png(entry: Entry) -> bool:
    """Whether a file's header says that it is a PNG of red, green and blue: masks in one folder with pictures are not.

    The header's tenth byte is the kind of its pixels (PNG 1.2, 11.2.2).
    """
    if entry.name.suffix.lower() != ".png":
        return False
    try:
        return entry.begin(26)[25:] in {b"\x02", b"\x06"}
    except DatasetError:
        return False


def _all_look(tree: Tree, suffix: str, names: Sequence[PurePosixPath]) -> bool:
    return suffix not in _PHOTOGRAPHS and _all_look_like_masks(tree, names, grey=True)


_PHOTOGRAPHS: Final = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".heic", ".heif", ".avif", ".mpo"})


def _all_look_like_masks(tree: Tree, names: Sequence[PurePosixPath], *, grey: bool = False) -> bool:
    try:
        return all(looks_like_mask(tree.entry(name).read(), grey=grey) for name in names[:_SAMPLE])
    except DatasetError:
        return False


def by_folder(names: list[PurePosixPath]) -> dict[PurePosixPath, list[PurePosixPath]]:
    """Files by the folder they lie in."""
    found: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for name in names:
        found[name.parent].append(name)
    return found
