"""The progress bar of a command: how much is done, of how much, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tqdm import tqdm

from segr1_app.store.exchange.account import Progress, Watch

_SECONDS: Final = 0.1
"""How often it is drawn at most."""
_DELAY: Final = 1.0
"""What takes less time than this needs no bar."""


@contextmanager
def bar() -> Iterator[Watch]:
    """A bar on the terminal's error stream, which disappears when the block ends."""
    with tqdm(leave=False, mininterval=_SECONDS, miniters=1, delay=_DELAY) as drawn:

        def show(now: Progress) -> None:
            unit = f" {now.unit}"
            if drawn.unit != unit:
                drawn.reset()
                drawn.unit, drawn.unit_scale, drawn.unit_divisor = unit, now.unit.startswith("bytes"), 1024
            # More may come of a file than was known when it was opened.
            drawn.total = max(now.total, now.done) if now.total else None
            drawn.update(now.done - drawn.n)

        yield show
