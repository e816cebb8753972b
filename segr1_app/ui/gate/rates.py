"""Rate limits, so that one person's requests do not starve the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

from cachetools import LRUCache

from segr1_app.domain import NotAllowedError

KNOWN = 10_000
"""Number of people whose use is tracked; beyond that, those idle the longest start over with a full bucket."""


class RateLimiter:
    """A token bucket per person.

    Args:
        rate: what a person may spend per second on average.
        burst: what they may spend at once after a pause.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: LRUCache[Hashable, tuple[float, float]] = LRUCache(KNOWN)
        self._lock = threading.Lock()

    def spend(self, who: Hashable, cost: float) -> None:
        """Take ``cost`` out of a person's bucket.

        Raises:
            NotAllowedError: when the bucket contains less; nothing is taken then.
        """
        with self._lock:
            now = self._clock()
            left, then = self._buckets.get(who, (self._burst, now))
            left = min(self._burst, left + (now - then) * self._rate)
            if left < cost:
                seconds = int((cost - left) / self._rate) + 1
                raise NotAllowedError(f"Too many requests: try again in {seconds} seconds.")
            self._buckets[who] = (left - cost, now)
