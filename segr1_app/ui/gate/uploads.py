"""How much people may upload: each in an hour, and all of them together."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cachetools import LRUCache
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from segr1_app.studio.cache_folder import MAX_BYTES, folder_bytes
from segr1_app.ui.gate.refusals import RefusedError

PER_PERSON: Final = 2**30
"""Most bytes that one person uploads in an hour: one archive of the largest size, and a second one."""
SPARE: Final = 2**30
"""Bytes of the disk that uploads leave free: what people annotate needs them."""
MEASURED_EVERY: Final = 5.0
HOUR: Final = 3600.0


class UploadQuota:
    """Counts what is uploaded while it arrives.

    Args:
        folder: where uploads go.
        clock: seconds that never go back.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._used: LRUCache[str, tuple[float, float]] = LRUCache(10_000)
        self._measured = (float("-inf"), 0)
        self._since = 0

    def counting(self, who: str, receive: Receive) -> Receive:
        """A channel like ``receive`` that ends an upload of too many bytes.

        Args:
            who: whoever uploads; what they uploaded before drains within an hour.
            receive: the request's.

        Raises:
            RefusedError: when there is no room to begin with.
        """
        self._check(who, 0)

        async def count() -> Message:
            message = await receive()
            size = len(message.get("body", b""))
            try:
                self._check(who, size)
            except RefusedError as refusal:
                raise HTTPException(refusal.status, str(refusal)) from refusal
            self._used[who] = (self._left(who) + size, self._clock())
            self._since += size
            return message

        return count

    def _check(self, who: str, size: int) -> None:
        if self._left(who) + size > PER_PERSON:
            raise RefusedError(413, f"One person uploads {PER_PERSON // 2**20} MiB an hour at most: try again later.")
        if self._in_all() + size > MAX_BYTES or shutil.disk_usage(self._folder).free < SPARE + size:
            raise RefusedError(507, "There is no room for more uploads now: try again in an hour.")

    def _left(self, who: str) -> float:
        """What somebody uploaded, less what has drained since."""
        used, then = self._used.get(who, (0.0, self._clock()))
        return max(0.0, used - (self._clock() - then) * PER_PERSON / HOUR)

    def _in_all(self) -> int:
        now = self._clock()
        if now - self._measured[0] > MEASURED_EVERY:
            self._measured, self._since = (now, folder_bytes(self._folder)), 0
        return self._measured[1] + self._since
