"""Folders and archives that belong together: annotations in one, their pictures or masks in another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Final

from segr1_app.store.exchange.archives import stem_of
from segr1_app.store.exchange.files import Entry, Files, is_picture
from segr1_app.store.exchange.jsonl import FILE_NAME
from segr1_app.store.exchange.lookup import MASK_FOLDERS, MASK_WORDS, words_of

_WHOLE: Final = frozenset({".parquet", ".arrow", ".jsonl"})
"""Extensions of files that contain their own pictures."""


def join(parts: Sequence[tuple[str, Files]]) -> Files | None:
    """Several folders, archives and loose files as one, if some of them need what is in the others.

    Data sets are often distributed as an archive of pictures and one of annotations, or a folder of pictures and one of
    masks. Folders that each hold pictures, and do not have the names of mask folders, are data sets of their own.

    Args:
        parts: files by what their folder is called, see `called`.

    Returns:
        None where each is complete by itself.
    """
    pictures = [any(map(is_picture, files.names())) for _, files in parts]
    needy = [
        not (has or _is_whole(files)) or _is_of_masks(name) for (name, files), has in zip(parts, pictures, strict=True)
    ]
    if not any(needy) or not any(has and not needs for has, needs in zip(pictures, needy, strict=True)):
        return None
    return JoinedFiles(parts)


def called(path: Path, among: Sequence[Path]) -> str:
    """What the folder of a part is called: an archive's name, or a folder's below what it shares with the others."""
    if not path.is_dir():
        return stem_of(path)
    folders = [each.resolve().parent for each in among if each.is_dir()]
    return path.resolve().relative_to(os.path.commonpath(folders)).as_posix()


def _is_of_masks(name: str) -> bool:
    last = PurePosixPath(name).name.lower()
    return last in MASK_FOLDERS or bool(words_of(last) & MASK_WORDS)


def _is_whole(files: Files) -> bool:
    return any(name.suffix.lower() in _WHOLE or name.name == FILE_NAME for name in files.names())


class JoinedFiles:
    """The files of several folders and archives as those of one, each in a folder of its own name.

    Args:
        parts: the files by the name of their folder; without one they keep their own.
    """

    def __init__(self, parts: Sequence[tuple[str, Files]]) -> None:
        self._entries: dict[PurePosixPath, Entry] = {}
        self._parts: dict[str, Files] = {}
        for name, files in parts:
            own = name
            while own in self._parts:
                own += "'"
            self._parts[own] = files
            self._entries |= {PurePosixPath(own) / each: Entry(files, each) for each in files.names()}

    @property
    def notes(self) -> Sequence[str]:
        """The notes of all parts."""
        return [note for files in self._parts.values() for note in files.notes]

    def names(self) -> Sequence[PurePosixPath]:
        return list(self._entries)

    def holds(self, name: PurePosixPath) -> bool:
        return name in self._entries

    def open(self, name: PurePosixPath) -> IO[bytes]:
        entry = self._entries[name]
        return entry.files.open(entry.name)

    def size(self, name: PurePosixPath) -> int:
        entry = self._entries[name]
        return entry.files.size(entry.name)

    def display_name(self, name: PurePosixPath) -> str:
        if name in self._entries:
            return str(self._entries[name])
        for folder, files in self._parts.items():
            if folder and name.is_relative_to(folder):
                return files.display_name(name.relative_to(folder))
        return str(name)

    def aliases(self, name: PurePosixPath) -> Sequence[str]:
        entry = self._entries[name]
        return entry.files.aliases(entry.name)
