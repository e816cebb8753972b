"""Share a limited resource, such as memory, among threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """An amount that threads share: a thread that wants more than is left waits.

    Args:
        amount: the total; no thread may take more.
    """

    def __init__(self, amount: int) -> None:
        self._left, self._changed = amount, threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Take some of it while a block runs; the block must not take any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()
