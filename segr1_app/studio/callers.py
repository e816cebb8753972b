"""The client of a call, as seen by the work done for it: whether it is still waiting, and its rate limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar

from segr1_app.domain import SegR1Error

is_gone: ContextVar[Callable[[], bool]] = ContextVar("is_gone", default=lambda: False)
"""Returns whether the client of this call has disconnected; set by the server and copied into the call's thread."""

charge: ContextVar[Callable[[float], None]] = ContextVar("charge", default=lambda _: None)
"""Charges a cost to the client's rate limit, in units of a simple lookup; raises `NotAllowedError`."""


class DepartedError(SegR1Error):
    """The client of a call has disconnected; nobody reads the message."""


def stop_if_nobody_waits() -> None:
    """Abort a call whose client has disconnected.

    Raises:
        DepartedError: when it has disconnected.
    """
    if is_gone.get()():
        raise DepartedError("The client has disconnected.")


class Turns:
    """Limits concurrent calls; others wait for their turn, and give up when their client disconnects.

    Args:
        at_once: how many calls may run at the same time.
    """

    def __init__(self, at_once: int) -> None:
        self._free = threading.Semaphore(at_once)

    def __enter__(self) -> None:
        while not self._free.acquire(timeout=0.2):
            stop_if_nobody_waits()

    def __exit__(self, *_: object) -> None:
        self._free.release()
