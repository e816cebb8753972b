"""Memory that many threads used for large arrays is given back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ARRAYS = """
import threading
import numpy as np, psutil
from segr1_app.files.allocator import return_freed_memory
if {returning}:
    return_freed_memory()
process = psutil.Process()
before = process.memory_info().rss
all_here = threading.Barrier(8)
def work():
    np.ones(20_000_000, np.uint8)  # freed at once: from now on glibc keeps arrays of this size in its heaps
    kept = [np.ones(20_000_000, np.uint8), np.ones(1000, np.uint8)]
    del kept[0]
    all_here.wait()
    global small
    small = kept
threads = [threading.Thread(target=work) for _ in range(8)]
[each.start() for each in threads]
[each.join() for each in threads]
print((process.memory_info().rss - before) // 2**20)
"""


def kept_megabytes(*, returning: bool) -> int:
    done = subprocess.run(
        [sys.executable, "-c", ARRAYS.format(returning=returning)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_large_arrays_leave_nothing_behind() -> None:
    assert kept_megabytes(returning=False) > 60
    assert kept_megabytes(returning=True) < 20
