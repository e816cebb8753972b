"""A record of the soak: the number of calls of each kind, the time of clicks, and the acknowledged saves."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Save:
    """A revision as the server acknowledged it."""

    revision: int
    task: int
    annotator: str
    comment: str


@dataclass
class Ledger:
    """Filled by all clients at the same time.

    Attributes:
        calls: answered ones, by kind.
        refusals: those among them that were answered with a sentence instead, by kind.
        faults: descriptions of answers that should not be: server errors, and what is no JSON.
        lost: calls that were under way when the server was killed.
        clicks: seconds from each click to its masks.
        saves: what was acknowledged.
        unanswered: comments of saves that a kill left without an answer; they may be stored or not.
    """

    calls: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lost: int = 0
    clicks: list[float] = field(default_factory=list)
    saves: set[Save] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def total(self) -> int:
        """How many calls were answered."""
        return self.calls.total()

    def answered(self, kind: str, *, refused: bool = False) -> None:
        """Count a call."""
        with self._changed:
            self.calls[kind] += 1
            self.refusals[kind] += refused
            self._changed.notify_all()

    def wait_for(self, total: int, seconds: float) -> bool:
        """Wait until so many calls were answered; returns whether they were in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.calls.total() >= total, timeout=seconds)
