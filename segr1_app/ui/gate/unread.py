"""Hold the results of calls only while somebody may still fetch them.

Gradio puts what a call returns into the memory until its client fetches it. A client that only posts calls, or that
opens a stream and does not read it, could thus fill the memory.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from gradio.queueing import Queue
from gradio.server_messages import UnexpectedErrorMessage

UNREAD_SECONDS: Final = 60.0
"""Seconds for which a result is held that nobody waits for."""
UNREAD_BYTES: Final = 64 * 2**20
"""Size as JSON of all results that were not fetched yet; beyond it the visit with most of them loses its own."""
VISITS: Final = 10_000
"""Largest number of visits with results; beyond it those of the oldest are dropped."""
LEFT: Final = "The call was cancelled, because another client that waited for its result has disconnected."
EVERY: Final = 1.0
"""Seconds between two checks."""


class _Messages(asyncio.Queue[Any]):
    """The messages that one visit has not fetched yet, and their size as JSON in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: deque[int] = deque()
        self.bytes = 0

    def _put(self, item: Any) -> None:
        size = len(json.dumps(getattr(item, "output", None), default=str))
        self._sizes.append(size)
        self.bytes += size
        super()._put(item)

    def _get(self) -> Any:
        self.bytes -= self._sizes.popleft()
        return super()._get()

    def clear(self) -> None:
        """Drop all of them."""
        while not self.empty():
            self.get_nowait()


class _Visits(dict[str, _Messages]):
    """What gradio keeps the messages of each visit in."""

    def __setitem__(self, visit: str, messages: asyncio.Queue[Any]) -> None:
        """Begin a visit; gradio's own queue does not know the size of what it holds."""
        if len(self) >= VISITS:
            self.pop(next(iter(self)))
        super().__setitem__(visit, _Messages())

    def __delitem__(self, visit: str) -> None:
        """A reader has left; gradio cancels the visit's calls, and would write a traceback for each further reader."""
        if visit in self:
            self[visit].clear()
            self[visit].put_nowait(UnexpectedErrorMessage(message=LEFT, success=False))


class UnreadResults:
    """Drops results that nobody fetches from gradio's queue.

    A visit is whoever sends the same ``session_hash``; a call without one is a visit of its own.

    Args:
        queue: gradio's, without results yet.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, queue: Queue, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue, self._clock = queue, clock
        self._messages = _Visits()
        vars(queue)["pending_messages_per_session"] = self._messages
        self._calls = queue.pending_event_ids_session
        self._readers: Counter[str] = Counter()
        self._since: dict[str, tuple[tuple[int, int], float]] = {}

    def visit_of(self, call: str) -> str | None:
        """The visit of a call that waits, runs, or has a result that was not fetched yet; None for any other."""
        event = self._queue.event_ids_to_events.get(call)
        if event is not None:
            return event.session_hash
        if call in self._messages:
            return call
        return next((visit for visit, calls in self._calls.items() if call in calls), None)

    def __contains__(self, visit: str) -> bool:
        return visit in self._messages

    @contextmanager
    def reader(self, visit: str) -> Iterator[None]:
        """Keep a visit's results while somebody waits for them."""
        self._readers[visit] += 1
        try:
            yield
        finally:
            self._readers[visit] -= 1
            if not self._readers[visit]:
                del self._readers[visit]
                if not self._calls.get(visit):
                    self._drop(visit)

    async def sweep(self) -> None:
        """Drop what has waited too long, and then what is too much."""
        now = self._clock()
        busy = {event.session_hash for event in self._queue.event_ids_to_events.values()} | set(self._readers)
        since = {}
        for visit in {*self._messages, *self._calls} - busy:
            held = self._held(visit), len(self._calls.get(visit, ()))
            before, first = self._since.get(visit, (held, now))
            since[visit] = (held, first if held == before else now)
        self._since = since
        for visit, (_, first) in since.items():
            if now - first > UNREAD_SECONDS:
                self._drop(visit)
        while self._messages and sum(messages.bytes for messages in self._messages.values()) > UNREAD_BYTES:
            await self._abandon(max(self._messages, key=self._held))

    async def sweep_now_and_then(self) -> None:
        """`sweep` until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await self.sweep()

    def _held(self, visit: str) -> int:
        messages = self._messages.get(visit)
        return messages.bytes if messages is not None else 0

    async def _abandon(self, visit: str) -> None:
        """Drop a visit's results and cancel its calls, as if its client had disconnected."""
        await self._queue.clean_events(session_hash=visit)
        if visit in self._readers:
            # Whoever reads them slowly keeps an open stream, which gradio would break off with a traceback.
            self._messages[visit].clear()
        else:
            self._drop(visit)

    def _drop(self, visit: str) -> None:
        self._messages.pop(visit, None)
        self._calls.pop(visit, None)
