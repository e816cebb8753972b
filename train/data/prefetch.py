"""Draw batches ahead of time in separate processes, because a GPU is faster than the drawing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

Made = TypeVar("Made")
AHEAD = 3
"""Batches that each process keeps ready."""


def drawn_ahead(draw: Callable[[int], Made], first: int, workers: int) -> Iterator[Made]:
    """The batches of all steps from ``first`` on, in order.

    A batch depends only on its step, so it does not matter which process draws it.

    Args:
        draw: the batch of a step; must not use a GPU.
        first: the step to begin with.
        workers: number of processes; 0 draws on demand in this process.
    """
    if not workers:
        return map(draw, itertools.count(first))
    loader = DataLoader(
        _Steps(draw),
        sampler=_From(first),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=AHEAD,
        # The drawing processes share one copy of the data in memory.
        multiprocessing_context="fork",
        worker_init_fn=_alone,
        # A separate generator that is never used, so that the global random state is not touched.
        generator=torch.Generator(),
    )
    return iter(loader)


class _Steps(Dataset[Made]):
    def __init__(self, draw: Callable[[int], Made]) -> None:
        self._draw = draw

    def __getitem__(self, step: int) -> Made:
        return self._draw(step)


class _From:
    """Infinite steps, as a sampler."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self._first)


def _alone(_: int) -> None:
    """Limit each process to one thread: there are as many processes as cores to use."""
    cv2.setNumThreads(0)
