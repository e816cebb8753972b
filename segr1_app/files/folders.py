"""Which files of a folder are used: one rule for every command that takes a folder.

Files and folders whose names begin with a dot (``._photo.jpg`` of macOS, ``.thumbs/``) are skipped, and so are those
that operating systems and file servers add. A link to a file is read like the file. A link to a folder is not followed,
so that nothing is read twice and cycles are impossible. A broken link is reported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

ADDED_BY_SYSTEMS: Final = frozenset(
    {"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"}
)
"""Lower-case names of files that operating systems and file servers add to folders and archives."""


@dataclass(frozen=True, slots=True)
class Walked:
    """The contents of a folder.

    Attributes:
        files: sorted paths of the files to use, including broken links.
        hidden: number of files and folders that were skipped because of their names.
        links: links to folders, which were not followed.
    """

    files: tuple[Path, ...]
    hidden: int
    links: tuple[Path, ...]

    @property
    def notes(self) -> list[str]:
        """A sentence for each thing that was skipped."""
        sentences = [
            f"'{link}' is a link to a folder and was not followed: name that folder itself." for link in self.links
        ]
        if self.hidden:
            sentences.append(
                f"{self.hidden} hidden or system {'entry was' if self.hidden == 1 else 'entries were'} left out."
            )
        return sentences


def is_clutter(name: PurePath) -> bool:
    """Whether a file, named relative to its folder or archive, is hidden or was added by an operating system."""
    return any(part.startswith(".") or part.lower() in ADDED_BY_SYSTEMS for part in name.parts if part != "..")


def walk(folder: Path, *, deep: bool) -> Walked:
    """List a folder.

    Args:
        folder: the folder to list. Its own name and location do not matter, and it may itself be a link.
        deep: whether to include subfolders.

    Raises:
        OSError: when the folder or one of its subfolders cannot be read.
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
