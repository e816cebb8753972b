"""Access files by name, in a folder or given individually; `archives` does the same for archives.

Imports look names up here and never build paths from them: no archive or annotation file decides what is read.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, Protocol

from huggingface_hub.errors import HfHubHTTPError

from segr1_app.domain import DatasetError
from segr1_app.files.folders import walk
from segr1_app.files.foreign_json import ForeignJsonError
from segr1_app.images.pictures import IMAGE_SUFFIXES

MAX_FILE_BYTES: Final = 512 * 2**20
"""Largest file that is read into memory; a picture of 64 megapixels is never larger."""


class Files(Protocol):
    """Files by relative names."""

    @property
    def notes(self) -> Sequence[str]:
        """What `names` left out, such as folders that cannot be read, one sentence each."""

    def names(self) -> Sequence[PurePosixPath]:
        """All of them, in order."""

    def holds(self, name: PurePosixPath) -> bool:
        """Whether there is a file with this name; never for one that leaves the folder."""

    def open(self, name: PurePosixPath) -> IO[bytes]:
        """Open a file for reading; `translate_read_errors` handles its errors."""

    def size(self, name: PurePosixPath) -> int:
        """How many bytes a file has, by what its folder, archive or server says."""

    def display_name(self, name: PurePosixPath) -> str:
        """The name of a file in messages."""

    def aliases(self, name: PurePosixPath, /) -> Sequence[str]:
        """Other possible names of a file, where an archive does not state the encoding of its names."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of some `Files`."""

    files: Files
    name: PurePosixPath

    def __str__(self) -> str:
        return self.files.display_name(self.name)

    def read(self) -> bytes:
        """Read its content.

        Raises:
            DatasetError: when it cannot be read or is larger than `MAX_FILE_BYTES`, whatever its declared size.
        """
        with translate_read_errors("it"), self.files.open(self.name) as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise DatasetError(f"it has more than {MAX_FILE_BYTES // 2**20} MiB, which no picture needs.")
        return content

    def begin(self, size: int) -> bytes:
        """Its first bytes.

        Raises:
            DatasetError: when it cannot be read.
        """
        with translate_read_errors("it"), self.files.open(self.name) as file:
            return file.read(size)


_UNREADABLE: Final = (
    *(OSError, EOFError, UnicodeDecodeError, ForeignJsonError),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error),
)


@contextmanager
def translate_read_errors(what: str) -> Iterator[None]:
    """Turn read errors of a file or an archive into a `DatasetError`; errors of the hub are handled elsewhere."""
    try:
        yield
    except HfHubHTTPError:
        raise
    except _UNREADABLE as error:
        raise DatasetError(f"{what} cannot be read ({error}).") from error


def is_picture(name: PurePosixPath) -> bool:
    """Whether a file is a picture, by its extension."""
    return name.suffix.lower() in IMAGE_SUFFIXES


class FolderFiles:
    """The files in a folder and below.

    Args:
        folder: an existing one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.notes: Sequence[str] = ()

    def names(self) -> Sequence[PurePosixPath]:
        with translate_read_errors(f"The folder '{self._folder}'"):
            walked = walk(self._folder, deep=True)
        self.notes = walked.notes
        return [PurePosixPath(path.relative_to(self._folder).as_posix()) for path in walked.files]

    def holds(self, name: PurePosixPath) -> bool:
        path = (self._folder / name).resolve()
        return path.is_relative_to(self._folder.resolve()) and path.is_file()

    def open(self, name: PurePosixPath) -> IO[bytes]:
        return (self._folder / name).open("rb")

    def size(self, name: PurePosixPath) -> int:
        return (self._folder / name).stat().st_size

    def display_name(self, name: PurePosixPath) -> str:
        return str(self._folder / name)

    def aliases(self, _: PurePosixPath) -> Sequence[str]:
        return ()


class LooseFiles:
    """Files that were given individually, named by their own paths."""

    notes: Sequence[str] = ()

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths: Mapping[PurePosixPath, Path] = {PurePosixPath(path.as_posix()): path for path in paths}

    def names(self) -> Sequence[PurePosixPath]:
        return list(self._paths)

    def holds(self, name: PurePosixPath) -> bool:
        return name in self._paths

    def open(self, name: PurePosixPath) -> IO[bytes]:
        return self._paths[name].open("rb")

    def size(self, name: PurePosixPath) -> int:
        return self._paths[name].stat().st_size

    def display_name(self, name: PurePosixPath) -> str:
        return str(self._paths[name])

    def aliases(self, _: PurePosixPath) -> Sequence[str]:
        return ()
