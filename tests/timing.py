"""How long a piece of work takes, independent of what the rest of the test session has left in memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def thread_seconds(work: Callable[[], object]) -> float:
    """Seconds of this thread's processor time; garbage is not collected meanwhile, as that counts every object."""
    gc.disable()
    try:
        started = time.thread_time()
        work()
        return time.thread_time() - started
    finally:
        gc.enable()
