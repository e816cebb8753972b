"""How much one person may ask for in a time, so that the others are served, too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

from cachetools import LRUCache

from segr1_app.domain import NotAllowedError

KNOWN = 10_000
"""People whose use is remembered; of more, those who asked for nothing for longest begin anew."""


class RateLimiter:
    """A token bucket per person.

    Args:
        rate: what a person may spend per second in the long run.
        burst: what they may spend at once after a pause.
        clock: seconds that never go back.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: LRUCache[Hashable, tuple[float, float]] = LRUCache(KNOWN)
        self._lock = threading.Lock()

    def spend(self, who: Hashable, cost: float) -> None:
        """Take ``cost`` out of somebody's bucket.

        Raises:
            NotAllowedError: when there is less in it; nothing is taken then.
        """
        with self._lock:
            now = self._clock()
            left, then = self._buckets.get(who, (self._burst, now))
            left = min(self._burst, left + (now - then) * self._rate)
            if left < cost:
                seconds = int((cost - left) / self._rate) + 1
                raise NotAllowedError(
                    f"That is more than one person may ask for at a time: try again in {seconds} seconds."
                )
            self._buckets[who] = (left - cost, now)
