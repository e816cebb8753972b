"""Files by their names, wherever they lie: in a folder, in a ZIP archive, or handed over one by one.

What imports looks names up here and never makes a path of one: no archive and no annotation file chooses what is read,
and nothing is unpacked to disk.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, Protocol

from huggingface_hub.errors import HfHubHTTPError

from segr1_app.domain import DatasetError
from segr1_app.images import IMAGE_SUFFIXES

MAX_FILE_BYTES: Final = 512 * 2**20
"""Largest file that is read as a whole; more is no picture of 64 megapixels."""
MAX_ENTRIES: Final = 500_000
"""Most files of one archive."""
SMALL_BYTES, MAX_RATIO = 2**30, 200
"""An archive that unpacks to more than the first of these and to more than so many times its own size is none of
pictures, which hardly shrink."""


class Files(Protocol):
    """Files by relative names."""

    def names(self) -> Sequence[PurePosixPath]:
        """All of them, in order."""

    def holds(self, name: PurePosixPath) -> bool:
        """Whether there is a file of this name; never for one that leads out of here."""

    def open(self, name: PurePosixPath) -> IO[bytes]:
        """A file, to be read and closed; what can go wrong then is told by `translate_read_errors`."""

    def display_name(self, name: PurePosixPath) -> str:
        """What to call a file in a message."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of some `Files`."""

    files: Files
    name: PurePosixPath

    def __str__(self) -> str:
        return self.files.display_name(self.name)

    def read(self) -> bytes:
        """Its content.

        Raises:
            DatasetError: when it cannot be read or is larger than `MAX_FILE_BYTES`, whatever it says of its size.
        """
        with translate_read_errors("it"), self.files.open(self.name) as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise DatasetError(f"it has more than {MAX_FILE_BYTES // 2**20} MiB, which no picture needs.")
        return content


@contextmanager
def translate_read_errors(what: str) -> Iterator[None]:
    """Turn what can go wrong with a file or an archive into a `DatasetError`; what the hub says is told by others."""
    try:
        yield
    except HfHubHTTPError:
        raise
    except (OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{what} cannot be read ({error}).") from error


def is_picture(name: PurePosixPath) -> bool:
    """Whether a file is a picture by its ending."""
    return name.suffix.lower() in IMAGE_SUFFIXES


class FolderFiles:
    """The files in a folder and below.

    Args:
        folder: an existing one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> Sequence[PurePosixPath]:
        return [
            PurePosixPath(path.relative_to(self._folder).as_posix())
            for path in sorted(self._folder.rglob("*"))
            if path.is_file()
        ]

    def holds(self, name: PurePosixPath) -> bool:
        path = (self._folder / name).resolve()
        return path.is_relative_to(self._folder.resolve()) and path.is_file()

    def open(self, name: PurePosixPath) -> IO[bytes]:
        return (self._folder / name).open("rb")

    def display_name(self, name: PurePosixPath) -> str:
        return str(self._folder / name)


class LooseFiles:
    """Files that were handed over one by one, named by their own paths."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths: Mapping[PurePosixPath, Path] = {PurePosixPath(path.as_posix()): path for path in paths}

    def names(self) -> Sequence[PurePosixPath]:
        return list(self._paths)

    def holds(self, name: PurePosixPath) -> bool:
        return name in self._paths

    def open(self, name: PurePosixPath) -> IO[bytes]:
        return self._paths[name].open("rb")

    def display_name(self, name: PurePosixPath) -> str:
        return str(self._paths[name])


class ArchiveFiles:
    """The files of an open ZIP archive; see `open_archive`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self._entries = {
            PurePosixPath(entry.filename): entry
            for entry in archive.infolist()
            # What macOS adds to its archives looks like pictures and is none.
            if not entry.is_dir() and "__MACOSX" not in PurePosixPath(entry.filename).parts
        }

    def names(self) -> Sequence[PurePosixPath]:
        return list(self._entries)

    def holds(self, name: PurePosixPath) -> bool:
        return name in self._entries

    def open(self, name: PurePosixPath) -> IO[bytes]:
        try:
            return self._archive.open(self._entries[name])
        except (NotImplementedError, RuntimeError) as error:
            # A way of packing that Python does not know, and a RuntimeError for what needs a password.
            raise zipfile.BadZipFile(str(error)) from error

    def display_name(self, name: PurePosixPath) -> str:
        return f"{self._path}:{name}"


@contextmanager
def open_archive(path: Path) -> Iterator[ArchiveFiles]:
    """The files of a ZIP archive, read from it as they are asked for.

    Raises:
        DatasetError: when it is none, or one that a person would not make: with links, with names that lead out of it,
            or one that unpacks to far more than its own size.
    """
    with translate_read_errors(f"{path}: this ZIP archive"), zipfile.ZipFile(path) as archive:
        _check(path, archive.infolist())
        yield ArchiveFiles(path, archive)


def _check(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise DatasetError(f"{path}: it holds more than {MAX_ENTRIES} files: split it.")
    for entry in entries:
        name = PurePosixPath(entry.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or ":" in entry.filename[:2]:
            raise DatasetError(f"{path}: it is refused, for its '{name}' would lie outside of it: pack it anew.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DatasetError(f"{path}: it is refused, for its '{name}' is a link: pack the files themselves.")
    # What an entry says of its size bounds what zipfile reads of it.
    size = sum(entry.file_size for entry in entries)
    if size > SMALL_BYTES and size > MAX_RATIO * path.stat().st_size:
        raise DatasetError(
            f"{path}: it is refused, for it would unpack to {size / 2**30:.1f} GiB, far more than pictures would."
        )
