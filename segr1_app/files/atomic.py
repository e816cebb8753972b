"""Atomic writes: a file or folder appears under its name when it is complete, and not before."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PARTIAL = ".part"
"""Suffix of what is still being written; several writers may write the same file at once."""


@contextmanager
def whole_file(path: Path, *, lasting: bool, private: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary file for writing; it is moved to ``path`` if the block ends without an error, else deleted.

    Args:
        path: in an existing folder.
        lasting: whether it must survive a power failure; this waits for the disk.
        private: whether only the owner may read it, from the moment it is created.

    Raises:
        OSError: when it cannot be written.
    """
    with whole_path(path, lasting=lasting, private=private) as partial, partial.open("r+b") as file:
        yield file


@contextmanager
def whole_path(path: Path, *, lasting: bool, private: bool = False) -> Iterator[Path]:
    """As `whole_file`, for writers that need a path: yields that of an empty file next to ``path``."""
    partial = _partial_of(path)
    handle: int | None = None
    # The file is made inside the block, so that it is also deleted if a signal ends the process just then.
    try:
        handle = _begin(partial, 0o600 if private else 0o666)
        yield partial
        if lasting:
            _sync(partial)
        partial.replace(path)
        if lasting:
            # Some network file systems and mounted buckets cannot sync a folder; the file itself is safe there.
            with suppress(OSError):
                _sync(path.parent)
    finally:
        if handle is not None:
            os.close(handle)
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, moved to ``path`` when the block ends without an error and deleted otherwise.

    Args:
        path: in an existing folder.

    Raises:
        FileExistsError: when there is a folder with files by then, such as another process's; that one stays.
        OSError: when it cannot be made or moved.
    """
    partial = _partial_of(path)
    try:
        partial.mkdir()
        yield partial
        try:
            partial.rename(path)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_partial(path: Path) -> None:
    """Delete what killed writers of ``path`` left behind; nobody may be writing it."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*{PARTIAL}"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _partial_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}{PARTIAL}")


def _begin(partial: Path, mode: int) -> int:
    """Make an empty file, locked until this process closes it, however it ends; see `remove_abandoned`."""
    while True:
        # Not `tempfile`, whose files are always private: other users should be able to read files in a shared folder.
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        # Not every network file system has locks.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if partial.exists():
            return handle
        # It was taken for an abandoned one before it was locked.
        os.close(handle)


def remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files in a folder whose writers were killed; those that are being written stay."""
    with suppress(OSError):
        for partial in [Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith(PARTIAL)]:
            with suppress(OSError), partial.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                partial.unlink()


def _sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, have reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
