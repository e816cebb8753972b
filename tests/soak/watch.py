"""The resources of a running server: resident memory, file descriptors, threads."""

from __future__ import annotations

import statistics
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import psutil

EVERY = 0.5
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources of a process; ``resident`` in MiB."""

    resident: float
    descriptors: int
    threads: int


class Watch:
    """Samples a process until it is stopped.

    Args:
        pid: of the process.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            while not self._ending.wait(EVERY):
                with self._process.oneshot():
                    resident = self._process.memory_info().rss / 2**20
                    self.samples.append(Sample(resident, self._process.num_fds(), self._process.num_threads()))

    def between(self, start: float, end: float) -> Sample:
        """Medians over a part of the time, from 0 to 1."""
        part = self.samples[int(start * len(self.samples)) : max(1, int(end * len(self.samples)))]
        return Sample(
            statistics.median(each.resident for each in part),
            int(statistics.median(each.descriptors for each in part)),
            int(statistics.median(each.threads for each in part)),
        )

    @property
    def peak(self) -> float:
        """Most MiB at any time."""
        return max(each.resident for each in self.samples)
