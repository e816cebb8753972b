"""How this process's memory is handed back to the system after large arrays."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

# From glibc's malloc.h.
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
LARGE: Final = 2**20
"""Bytes from which on memory is mapped for itself, and so given back as soon as it is freed."""
ARENAS: Final = 2
"""Heaps for all threads together; glibc's own choice is eight for each processor core, and each keeps what it had."""


def return_freed_memory() -> None:
    """Have glibc return what large arrays took, instead of keeping it for later ones; does nothing without glibc.

    A server of dozens of threads, each of which works on a picture now and then, would otherwise keep the largest
    amount that each of its heaps ever held.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_ARENA_MAX, ARENAS)
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
