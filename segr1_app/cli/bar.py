"""The progress bar of a command: how much is done, of how much, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from tqdm import tqdm

from segr1_app.store.exchange.import_options import Progress, Watch

_SECONDS: Final = 0.1
"""How often it is drawn at most."""


@contextmanager
def bar() -> Iterator[Watch]:
    """A bar on the terminal's error stream, from the first report of progress to the end of the block."""
    drawn: tqdm[Any] | None = None
    with ExitStack() as closing:

        def show(now: Progress) -> None:
            nonlocal drawn
            unit = f" {now.unit}"
            # More may come of a file than was known when it was opened.
            total = max(now.total, now.done) if now.total else None
            if drawn is None or drawn.unit != unit:
                closing.close()
                drawn = closing.enter_context(
                    tqdm(
                        total=total,
                        leave=False,
                        mininterval=_SECONDS,
                        miniters=1,
                        unit=unit,
                        unit_scale=now.unit.startswith("bytes"),
                        unit_divisor=1024,
                    )
                )
            drawn.total = total
            drawn.update(now.done - drawn.n)

        yield show
