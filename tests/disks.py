"""Disks that really fail: writes beyond a size are rejected, and files are read-only."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
PR_CAPBSET_DROP = 24
# For root every file is readable and writable, unless the process has given up that right before it starts a program.
_MERE_MORTAL = (
    "import ctypes, os, sys\n"
    f"for right in ({CAP_DAC_OVERRIDE}, {CAP_DAC_READ_SEARCH}):\n"
    f"    assert ctypes.CDLL(None).prctl({PR_CAPBSET_DROP}, right, 0, 0, 0) == 0\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@contextmanager
def files_no_larger_than(size: int, process: int = 0) -> Iterator[None]:
    """Make every write of a process beyond ``size`` bytes of a file fail, as on a disk that is full.

    Args:
        size: in bytes.
        process: id of a Python process of this user; 0 for this one.
    """
    soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))


def bound_by_permissions() -> list[str]:
    """The beginning of a command that runs this Python on what follows; file permissions apply even to root."""
    return [sys.executable, "-c", _MERE_MORTAL] if os.geteuid() == 0 else [sys.executable]
