"""The folder of uploads, previews and downloads: how much lies there, and what is deleted from it when.

Everything in it can be uploaded or made again, so what was not used for a while is deleted, and at the start whatever
an earlier process left. What somebody works on at the moment is spared.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HOUR: Final = 3600.0
KEPT_SECONDS: Final = 24 * HOUR
"""How long a download or a preview is kept after it was made or shown."""
UPLOAD_SECONDS: Final = 2 * HOUR
"""How long an upload is kept: until it is imported, or run a last time."""
MAX_BYTES: Final = 4 * 2**30
"""Most bytes in the folder; of more, the oldest go first, but nothing of the last `SPARED_SECONDS`."""
SPARED_SECONDS: Final = 600.0
EVERY: Final = 60.0
"""Seconds between two looks at the folder."""
LOCK: Final = ".in-use"

_in_use: Counter[Path] = Counter()
_guard = threading.Lock()


@contextmanager
def in_use(paths: Iterable[Path]) -> Iterator[None]:
    """Spare files while a block works on them, however long that takes."""
    held = [path.resolve() for path in paths]
    with _guard:
        _in_use.update(held)
    try:
        yield
    finally:
        with _guard:
            _in_use.subtract(held)


class CacheFolder:
    """Deletes what is no longer used from a folder, as long as it is open.

    Several processes may share the folder: only one that finds no other there clears it at its start.

    Args:
        folder: an existing one.
        clock: Unix seconds, as the file system counts them.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = folder.resolve(), clock
        self._ending = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_now_and_then, name="cache-folder", daemon=True)
        self._lock = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def start(self) -> None:
        """Clear the folder, unless another process uses it, and begin to look at it now and then."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            for entry in self._entries():
                _delete(entry)
        # Without a gap: whoever comes now finds this process here.
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        self._sweeper.start()

    def close(self) -> None:
        """Stop looking at it."""
        self._ending.set()
        if self._sweeper.is_alive():
            self._sweeper.join()
        os.close(self._lock)

    def sweep(self) -> None:
        """Delete what is too old, and the oldest of what is too much."""
        now, found = self._clock(), []
        with _guard:
            held = {path for path, number in _in_use.items() if number > 0}
        for entry in self._entries():
            size, changed = _measured(entry)
            if any(path == entry or path.is_relative_to(entry) for path in held):
                continue
            if now - changed > (UPLOAD_SECONDS if _is_upload(entry) else KEPT_SECONDS):
                _delete(entry)
            else:
                found.append((changed, size, entry))
        left = sum(size for _, size, _ in found)
        for changed, size, entry in sorted(found):
            if left <= MAX_BYTES or now - changed < SPARED_SECONDS:
                break
            _delete(entry)
            left -= size

    def _entries(self) -> list[Path]:
        return [entry for entry in self._folder.iterdir() if entry.name != LOCK]

    def _sweep_now_and_then(self) -> None:
        while not self._ending.wait(EVERY):
            self.sweep()


def folder_bytes(folder: Path) -> int:
    """The bytes in a folder and all that is in it."""
    return _measured(folder)[0]


def _is_upload(entry: Path) -> bool:
    """Whether an entry is one of gradio's upload folders, which it names by a hash."""
    return entry.is_dir() and len(entry.name) == 64


def _measured(entry: Path) -> tuple[int, float]:
    """Bytes of a file or folder, and when something in it was last changed; nothing where it has just gone."""
    size, changed = 0, 0.0
    for path in (entry, *(entry.rglob("*") if entry.is_dir() and not entry.is_symlink() else ())):
        try:
            found = path.lstat()
        except OSError:
            continue
        size += found.st_size
        changed = max(changed, found.st_mtime)
    return size, changed


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
        return
    try:
        entry.unlink(missing_ok=True)
    except OSError:
        return  # not ours to delete; the next look tries again
