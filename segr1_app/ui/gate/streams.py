"""Limit what is open at the same time, such as heartbeats, event streams and slow requests: each holds a file
descriptor, of which there are few.
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
IDLE_CHECK_SECONDS: Final = 1.0


def most_open() -> int:
    """How many of each kind may be open: streams, other requests that read, and requests that send."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else min(MOST, max(16, (soft - RESERVED) // 3))


class OpenRequests:
    """Counts requests in progress and refuses those that would leave too few file descriptors for everything else."""

    def __init__(self) -> None:
        self._most = most_open()
        self._open: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def one_more(self, path: str, address: str, *, sends: bool) -> Iterator[None]:
        """Handle a request, and count it while it is received and while its response is sent.

        Args:
            path: what is requested.
            address: where from.
            sends: whether the request has a body.

        Raises:
            RefusedError: when there are too many of its kind, or half of them are from this address.
        """
        kind = "stream" if f"{path}/".startswith(STREAMS) and not sends else "body" if sends else "answer"
        in_all = sum(number for (each, _), number in self._open.items() if each == kind)
        if in_all >= self._most or self._open[kind, address] >= max(8, self._most // 2):
            raise RefusedError(503, "Too many requests or pages are open: close some, or try again in a moment.")
        self._open[kind, address] += 1
        try:
            yield
        finally:
            self._open[kind, address] -= 1
            if not self._open[kind, address]:
                del self._open[kind, address]


async def close_idle(connections: Callable[[], Any], clock: Callable[[], float] = time.monotonic) -> None:
    """Close connections that send no request in time, or of which there are too many, until cancelled; uvicorn itself
    waits for the first request forever.

    Args:
        connections: returns uvicorn's currently open connections.
        clock: a monotonic clock in seconds.
    """
    most, since = max(8, most_open() // 2), dict[Any, float]()
    while True:
        await asyncio.sleep(IDLE_CHECK_SECONDS)
        now, held = clock(), set(connections())
        idle = {each for each in held if each.cycle is None and each.timeout_keep_alive_task is None}
        since = {each: since.get(each, now) for each in idle}
        oldest_first = sorted(since, key=since.__getitem__)
        for place, each in enumerate(oldest_first):
            if now - since[each] > IDLE_SECONDS or place < len(oldest_first) - most:
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
