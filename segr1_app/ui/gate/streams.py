"""Limit responses that stay open, such as heartbeats and event streams: each holds a file descriptor, of which there
are few.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from segr1_app.ui.gate.refusals import RefusedError

STREAMS: Final = tuple(f"/gradio_api/{name}" for name in ("heartbeat/", "queue/data", "call/", "upload_progress"))
RESERVED: Final = 128
"""File descriptors reserved for everything else: pictures, the database, models, and short requests."""
MOST: Final = 4096
IDLE_SECONDS: Final = 20.0
"""Seconds for which a connection may be open without a request."""


class OpenStreams:
    """Counts open streams and refuses those that would leave too few file descriptors for everything else.

    Args:
        most: the largest number of streams; None for half of what the process has beyond `RESERVED`.
    """

    def __init__(self, most: int | None = None) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        usual = MOST if soft == resource.RLIM_INFINITY else min(MOST, max(16, (soft - RESERVED) // 2))
        self._most = usual if most is None else most
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, path: str, address: str) -> Iterator[None]:
        """Handle a request, and count it while its response stays open.

        Raises:
            RefusedError: when there are too many, or half of them are from this address.
        """
        if not f"{path}/".startswith(STREAMS):
            yield
            return
        if self._open.total() >= self._most or self._open[address] >= max(8, self._most // 2):
            raise RefusedError(503, "Too many pages are open: close some, or try again in a moment.")
        self._open[address] += 1
        try:
            yield
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]


async def close_idle(connections: Callable[[], Any], clock: Callable[[], float] = time.monotonic) -> None:
    """Close connections that send no request in time, until cancelled; uvicorn itself waits for the first request
    forever.

    Args:
        connections: returns uvicorn's currently open connections.
        clock: a monotonic clock in seconds.
    """
    since: dict[Any, float] = {}
    while True:
        await asyncio.sleep(IDLE_SECONDS / 4)
        now, held = clock(), set(connections())
        idle = {each for each in held if each.cycle is None and each.timeout_keep_alive_task is None}
        since = {each: since.get(each, now) for each in idle}
        for each, first in since.items():
            if now - first > IDLE_SECONDS:
                each.transport.close()


class Seldom(logging.Filter):
    """Lets the same message through once a minute: asyncio repeats it for each connection that it cannot accept."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a message."""
        text, now = str(record.msg)[:60], time.monotonic()
        if now - self._last.get(text, -60.0) < 60.0:
            return False
        if len(self._last) > 100:
            self._last.clear()
        self._last[text] = now
        return True
