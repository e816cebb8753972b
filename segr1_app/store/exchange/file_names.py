"""Names for exported files: the pictures' own names, made safe and unique.

A picture's name is untrusted text. Its subfolders are kept; anything that could leave the export's folder, that some
file system rejects, or that a case-insensitive one would confuse with another file is replaced.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set
from pathlib import PurePosixPath
from typing import Final

from segr1_app.images.pictures import IMAGE_SUFFIXES

LONGEST: Final = 180
"""Longest part of a name in bytes: file systems allow 255, and extensions are added."""
_REFUSED: Final = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
"""Characters that Windows does not allow in file names."""
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
"""Names that Windows treats as devices, whatever the extension."""


_FILES: Final = IMAGE_SUFFIXES | {".txt", ".json", ".xml", ".csv"}
"""Extensions of written files: a folder with such a name could collide with a file."""


class FileNames:
    """Assigns names, of which no two differ only in case, in Unicode normalisation, or in their extensions.

    Args:
        reserved: lower-case names of folders that have a meaning in the format.
    """

    def __init__(self, reserved: Set[str] = frozenset()) -> None:
        self._reserved = reserved
        self._taken: set[str] = set()

    def take(self, name: str, otherwise: str) -> PurePosixPath:
        """A path without the picture's extension, for a picture or a task called ``name``.

        Args:
            name: any text; folders are separated by / or \\.
            otherwise: letters to append if the name is already taken.
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
    # A leading dot hides a file, and Windows drops trailing dots and spaces.
    plain = re.sub(r"^\.+", "_", plain.strip(" ")).rstrip(". ")
    plain = plain.encode()[:LONGEST].decode("utf-8", "ignore").rstrip(". ")
    return f"_{plain}" if not plain or _DEVICE.match(plain) else plain


def _key(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())
