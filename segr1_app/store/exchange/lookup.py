"""Find pictures by their names in annotation files: absolute paths, URLs, other separators, other case, another root.

A name is looked up and never opened as a path: only files of the import are found.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from segr1_app.store.exchange.files import Entry, Files, is_picture

NOT_FOUND: Final = (
    "there is no such picture beside the annotations or in their images folder: give the folder or archive of the "
    "pictures, too."
)
MASK_FOLDERS: Final = frozenset(
    {"masks", "mask", "gt", "gts", "groundtruth", "ground_truth", "ground-truth", "segmentationclass", "labels"}
    | {"segmentation", "segmentations", "annotations", "annotation", "gtfine", "gtcoarse", "label", "annots"}
    | {"segmentationclasspng", "segmentationclassraw", "labelids", "trimaps", "segmentation_masks", "semantic"}
)
"""Folders, in lower case, of mask files."""
MASK_WORDS: Final = frozenset(
    {"mask", "masks", "gt", "gts", "groundtruth", "truth", "ground", "seg", "segmentation", "segmentations", "label"}
    | {"labels", "labeled", "annotation", "annotations", "trimap", "trimaps", "matte", "mattes", "manual", "semantic"}
    | {"segmentationclassaug", "stuffthingmaps", "parsing"}
)
"""Words in names of folders that may contain mask files, as in ``train_masks``."""
_AHEAD: Final = 9
"""Length of the prefix that Label Studio adds to the name of an upload: eight digits and a hyphen."""


class Pictures:
    """Finds the pictures of an import by the names in annotation files.

    Args:
        files: all files.
        names: those of them that are pictures and not masks; None for all that look like pictures.
    """

    def __init__(self, files: Files, names: Iterable[PurePosixPath] | None = None) -> None:
        self._files = files
        self._by_name: dict[str, list[tuple[tuple[str, ...], PurePosixPath]]] = defaultdict(list)
        self._by_stem: dict[str, list[tuple[tuple[str, ...], PurePosixPath]]] = defaultdict(list)
        self._asked: Counter[tuple[str, ...]] = Counter()
        self.used: set[PurePosixPath] = set()
        for name in files.names() if names is None else names:
            if not is_picture(name):
                continue
            for called in (str(name), *files.aliases(name)):
                parts = _parts(called)
                self._by_name[parts[-1]].append((parts, name))
                self._by_stem[PurePosixPath(parts[-1]).stem].append((parts, name))

    def expect(self, file_names: Iterable[str]) -> None:
        """Announce the names that will be looked up: names that differ only in their folders need their folders."""
        for parts in {_parts(file_name) for file_name in file_names}:
            self._asked.update(parts[place:] for place in range(len(parts)))

    def find(self, annotations: PurePosixPath, file_name: str, *, by_stem: bool = False) -> Entry | str:
        """The file of a picture, by the longest tail of its name that a file has.

        Args:
            annotations: the file that mentions it: of equally good matches, the one next to it or in its split is
                chosen.
            file_name: its name in that file.
            by_stem: whether the extension may differ.

        Returns:
            The file, or a sentence about why there is none.
        """
        for way in dict.fromkeys((_parts(file_name), _parts(unquote(file_name)), _parts(path_in_address(file_name)))):
            found = self._find(annotations, way, by_stem=by_stem)
            if found is not None:
                if isinstance(found, Entry):
                    self.used.add(found.name)
                return found
        return NOT_FOUND

    def _find(self, annotations: PurePosixPath, parts: tuple[str, ...], *, by_stem: bool) -> Entry | str | None:
        if not parts:
            return None
        known, key = (self._by_stem, PurePosixPath(parts[-1]).stem) if by_stem else (self._by_name, parts[-1])
        candidates = known.get(key, [])
        if not candidates and len(key) > _AHEAD and key[_AHEAD - 1] == "-":
            candidates = known.get(key[_AHEAD:], [])
        if not candidates:
            return None
        scores = {name: _tail(parts[:-1], own[:-1]) for own, name in candidates}
        best = max(scores.values())
        if best < len(parts) - 1 and self._asked[parts[-best - 1 :]] > 1:
            return (
                f"several pictures of the annotations are called {'/'.join(parts[-best - 1 :])}, and there is none in "
                f"a folder {parts[-best - 2]}: give the folders as they were annotated."
            )
        names = _nearest([name for name, score in scores.items() if score == best], annotations, parts)
        if len(names) > 1:
            listed = ", ".join(str(name) for name in names[:3])
            return f"it may be any of {listed}: give each split to a command of its own."
        return Entry(self._files, names[0])


def _nearest(
    names: Sequence[PurePosixPath], annotations: PurePosixPath, parts: tuple[str, ...]
) -> Sequence[PurePosixPath]:
    """Of files that fit equally well, those next to the annotations, in their split, or in their subfolders."""
    if len(names) == 1:
        return names
    if pictures := [name for name in names if not {part.casefold() for part in name.parts[:-1]} & MASK_FOLDERS]:
        names = pictures
    folder = annotations.parent
    inside = PurePosixPath(*parts)
    for place in (folder / inside, folder / "images" / inside, folder / parts[-1]):
        if exact := [name for name in names if _parts(str(name)) == _parts(str(place))]:
            return exact
    words = words_of(annotations.stem) | {word for part in folder.parts for word in words_of(part)}
    of_split = [name for name in names if any(words_of(part) & words & _SPLITS for part in name.parts[:-1])]
    if of_split and len(of_split) < len(names):
        return _nearest(of_split, annotations, parts)
    below = [name for name in names if name.is_relative_to(folder)]
    return below if below and len(below) < len(names) else names


_SPLITS: Final = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "testa", "testb", "trainval", "minival"}
    | {f"{split}{year}" for split in ("train", "val", "test") for year in (2014, 2015, 2017)}
)


def words_of(text: str) -> set[str]:
    """The words of a name, in lower case."""
    return set("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())


def _tail(parts: Sequence[str], own: Sequence[str]) -> int:
    """How many of the last path components agree."""
    count = 0
    for one, other in zip(reversed(parts), reversed(own), strict=False):
        if one != other:
            break
        count += 1
    return count


def path_in_address(file_name: str) -> str:
    """The path in a URL, or in the parameter "d" of Label Studio's local files."""
    split = urlsplit(file_name.replace("\\", "/"))
    for pair in split.query.split("&"):
        if pair.startswith("d="):
            return unquote(pair[2:])
    return unquote(split.path)


def _parts(name: str) -> tuple[str, ...]:
    """Folders and file of a name, normalised across systems and keyboards."""
    plain = unicodedata.normalize("NFC", name).replace("\\", "/").casefold()
    parts = (part.strip() for part in plain.split("/"))
    return tuple(part for part in parts if part not in {"", ".", ".."} and not part.endswith(":"))
