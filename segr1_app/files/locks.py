"""A lock between processes, for files that several commands may change at the same time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file while changing it; waits until no other process holds it.

    The lock is a file next to it, which is never removed: removing it could free a lock that others hold. It is also
    freed when the process dies.

    Raises:
        OSError: when the folder cannot be written to.
    """
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
