"""Whoever a call is for, as far as the work done for them asks: whether they still wait, and what they may spend."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar

from segr1_app.domain import SegR1Error

is_gone: ContextVar[Callable[[], bool]] = ContextVar("is_gone", default=lambda: False)
"""Whether whoever this call is for has gone; set by what serves the call, and copied into its thread."""

charge: ContextVar[Callable[[float], None]] = ContextVar("charge", default=lambda _: None)
"""Takes a cost, in calls that only look something up, out of what they may ask for; raises `NotAllowedError`."""


class DepartedError(SegR1Error):
    """A call whose client has gone; nobody reads the text."""


def stop_if_nobody_waits() -> None:
    """Go no further with a call whose client has gone.

    Raises:
        DepartedError: when it has.
    """
    if is_gone.get()():
        raise DepartedError("Nobody waits for this any more.")


class Turns:
    """So many calls at a time; the others wait for their turn, and give it up when their client goes.

    Args:
        at_once: how many.
    """

    def __init__(self, at_once: int) -> None:
        self._free = threading.Semaphore(at_once)

    def __enter__(self) -> None:
        while not self._free.acquire(timeout=0.2):
            stop_if_nobody_waits()

    def __exit__(self, *_: object) -> None:
        self._free.release()
