"""Limits on uploads: per person and hour, and for all people together."""

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
"""Largest number of bytes that one person may upload per hour: two archives of the largest size."""
SPARE: Final = 2**30
"""Bytes of disk space that uploads leave free for annotations."""
MEASURED_EVERY: Final = 5.0
HOUR: Final = 3600.0


class UploadQuota:
    """Counts uploaded bytes as they arrive.

    Args:
        folder: where uploads go.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._used: LRUCache[str, tuple[float, float]] = LRUCache(10_000)
        self._measured = (float("-inf"), 0)
        self._since = 0

    def counting(self, who: str, receive: Receive) -> Receive:
        """Wrap ``receive`` so that an upload of too many bytes is aborted.

        Args:
            who: the uploader; what they uploaded before drains within an hour.
            receive: the request's channel.

        Raises:
            RefusedError: when there is no space to begin with.
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
            raise RefusedError(
                413, f"Each person may upload at most {PER_PERSON // 2**20} MiB per hour: try again later."
            )
        if self._in_all() + size > MAX_BYTES or shutil.disk_usage(self._folder).free < SPARE + size:
            raise RefusedError(507, "There is no space for more uploads now: try again in an hour.")

    def _left(self, who: str) -> float:
        """The bytes that a person uploaded, minus what has drained since."""
        used, then = self._used.get(who, (0.0, self._clock()))
        return max(0.0, used - (self._clock() - then) * PER_PERSON / HOUR)

    def _in_all(self) -> int:
        now = self._clock()
        if now - self._measured[0] > MEASURED_EVERY:
            self._measured, self._since = (now, folder_bytes(self._folder)), 0
        return self._measured[1] + self._since
