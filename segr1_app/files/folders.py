"""Which files of a folder count: one rule for every command that is given a folder.

Files and folders whose names begin with a dot are left out (``._photo.jpg`` of macOS, ``.thumbs/``), and so are those
that operating systems and file servers add. A link to a file is read like the file. A link to a folder is not followed,
so that nothing is read twice and no cycle is entered. A broken link is reported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

ADDED_BY_SYSTEMS: Final = frozenset(
    {"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"}
)
"""Names, in lower case, of what operating systems and file servers add to folders and archives."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What is in a folder.

    Attributes:
        files: paths of the files that count, sorted, including broken links.
        hidden: how many files and folders were left out because of their names.
        links: links to folders, which were not followed.
    """

    files: tuple[Path, ...]
    hidden: int
    links: tuple[Path, ...]

    @property
    def notes(self) -> list[str]:
        """A sentence for each thing that was left out."""
        told = [f"'{link}' is a link to a folder and was not followed: name that folder itself." for link in self.links]
        if self.hidden:
            told.append(
                f"{self.hidden} hidden or system {'entry was' if self.hidden == 1 else 'entries were'} left out."
            )
        return told


def is_clutter(name: PurePath) -> bool:
    """Whether a file's name, relative to the folder or archive it is in, is hidden or added by a system."""
    return any(part.startswith(".") or part.lower() in ADDED_BY_SYSTEMS for part in name.parts if part != "..")


def walk(folder: Path, *, deep: bool) -> Walked:
    """List a folder.

    Args:
        folder: the folder to list. Its own name and place do not matter, and it may be a link itself.
        deep: whether to include the folders below, too.

    Raises:
        OSError: when the folder, or one below it, cannot be read.
    """
    files: list[Path] = []
    links: list[Path] = []
    hidden = 0
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        with os.scandir(current) as entries:
            for entry in entries:
                path = current / entry.name
                if is_clutter(PurePath(entry.name)):
                    hidden += 1
                elif not entry.is_dir():
                    files.append(path)
                elif not deep:
                    continue
                elif entry.is_symlink():
                    links.append(path)
                else:
                    waiting.append(path)
    return Walked(tuple(sorted(files)), hidden, tuple(sorted(links)))
