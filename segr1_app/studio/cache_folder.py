"""The cache folder of uploads, previews and downloads: its size, and what is deleted when.

Everything in it can be uploaded or made again, so files that were not used for a while are deleted, and at startup so
is everything left by an earlier process. Files in use are spared.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

HOUR: Final = 3600.0
KEPT_SECONDS: Final = 24 * HOUR
"""Seconds for which a download or a preview is kept after it was made or shown."""
UPLOAD_SECONDS: Final = 2 * HOUR
"""Seconds for which an upload is kept after its last use: long enough to be imported or run again."""
MAX_BYTES: Final = 4 * 2**30
"""Size limit of the folder in bytes; beyond it the oldest files are deleted, but none of the last `SPARED_SECONDS`."""
SPARED_SECONDS: Final = 600.0
EVERY: Final = 60.0
"""Seconds between two checks of the folder."""
LOCK: Final = ".in-use"

_in_use: Counter[Path] = Counter()
_guard = threading.Lock()


@contextmanager
def in_use(paths: Iterable[Path]) -> Iterator[None]:
    """Keep files from being deleted while a block uses them, however long that takes."""
    held = [path.resolve() for path in paths]
    with _guard:
        _in_use.update(held)
    try:
        yield
    finally:
        with _guard:
            _in_use.subtract(held)


def keep_upload(path: Path) -> None:
    """Keep an upload for `UPLOAD_SECONDS` from now: it is being used."""
    _date(path, time.time())


def release_upload(path: Path) -> None:
    """Keep an upload that was used for another `SPARED_SECONDS` only, unless it is used or uploaded again."""
    _date(path, time.time() - UPLOAD_SECONDS + SPARED_SECONDS)


def _date(path: Path, when: float) -> None:
    """Set the time from which the age of an upload counts, in Unix seconds; other files stay as they are."""
    if _is_upload(path.parent):
        for each in (path, path.parent):
            with suppress(OSError):
                os.utime(each, (when, when))


class CacheFolder:
    """Deletes unused files from a folder until it is closed.

    Several processes may share the folder: a process clears it at startup only if no other is using it.

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
        """Clear the folder unless another process uses it, and start checking it regularly."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            for entry in self._entries():
                _delete(entry)
        # Without a gap, so that a process that starts now sees that this one uses the folder.
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        self._sweeper.start()

    def close(self) -> None:
        """Stop checking the folder."""
        self._ending.set()
        if self._sweeper.is_alive():
            self._sweeper.join()
        os.close(self._lock)

    def sweep(self) -> None:
        """Delete files that are too old, and then the oldest ones beyond the size limit."""
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
    """The total size in bytes of a folder."""
    return _measured(folder)[0]


def _is_upload(entry: Path) -> bool:
    """Whether an entry is one of gradio's upload folders, which are named by a hash."""
    return entry.is_dir() and len(entry.name) == 64


def _measured(entry: Path) -> tuple[int, float]:
    """Size of a file or folder in bytes, and the time of the last change in it; zeros if it has just disappeared."""
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
        return  # we may not delete it; the next check tries again
