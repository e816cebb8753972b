"""Names for exported files: what the pictures were called, made harmless and each used once.

A picture's name is text from outside. Its subfolders stay; what could lead out of the export, what some file system
refuses, and what a case-insensitive one would take for another file does not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set
from pathlib import PurePosixPath
from typing import Final

from segr1_app.images import IMAGE_SUFFIXES

LONGEST: Final = 180
"""Most bytes of a part of a name: file systems take 255, and endings are added."""
_REFUSED: Final = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
"""What Windows takes in no file's name."""
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
"""What Windows takes for a device, whatever its ending."""


_FILES: Final = IMAGE_SUFFIXES | {".txt", ".json", ".xml", ".csv"}
"""Endings of what is written: a folder of such a name would be in a file's place."""


class FileNames:
    """Hands out names; no two that differ only in case, in the form of their Unicode, or in their endings.

    Args:
        reserved: names of folders, in lower case, by which the format's readers find their way.
    """

    def __init__(self, reserved: Set[str] = frozenset()) -> None:
        self._reserved = reserved
        self._taken: set[str] = set()

    def take(self, name: str, otherwise: str) -> PurePosixPath:
        """A path without the picture's ending, for a picture or a task that was called ``name``.

        Args:
            name: any text; folders are separated by / or \\.
            otherwise: letters that are added when the name is taken already.
        """
        path = self._harmless(name)
        while _key(path) in self._taken:
            path = path.with_name(f"{path.name}-{otherwise}")
        self._taken.add(_key(path))
        return path

    def _harmless(self, name: str) -> PurePosixPath:
        text = re.sub(r"^[A-Za-z]:(?=[\\/])", "", name).replace("\\", "/")
        *folders, last = [part for part in text.split("/") if part.strip(". ")] or ["picture"]
        stem, dot, ending = last.rpartition(".")
        if dot and stem and f".{ending.lower()}" in IMAGE_SUFFIXES:
            last = stem
        parts = [_harmless_part(part) for part in folders]
        return PurePosixPath(*map(self._folder, parts), _harmless_part(last))

    def _folder(self, name: str) -> str:
        """A folder's name; one that could be that of a file, or that is reserved, gets another ending."""
        taken = name.lower() in self._reserved or PurePosixPath(name).suffix.lower() in _FILES
        return f"{name}_" if taken else name


def ending_of(name: str) -> str:
    """The ending of a picture's name, as it is written; empty when it is not a picture's."""
    ending = PurePosixPath(name.replace("\\", "/")).suffix
    return ending if ending.lower() in IMAGE_SUFFIXES else ""


def _harmless_part(part: str) -> str:
    plain = _REFUSED.sub("_", part.encode("utf-8", "replace").decode())
    # A dot in front hides a file, and Windows drops dots and blanks at the end.
    plain = re.sub(r"^\.+", "_", plain.strip(" ")).rstrip(". ")
    plain = plain.encode()[:LONGEST].decode("utf-8", "ignore").rstrip(". ")
    return f"_{plain}" if not plain or _DEVICE.match(plain) else plain


def _key(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())
