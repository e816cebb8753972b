"""Batches drawn ahead by separate processes: a GPU is faster than the drawing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

Batch = TypeVar("Batch")
AHEAD = 3
"""Batches that each process keeps ready."""


def drawn_ahead(draw: Callable[[int], Batch], first: int, workers: int) -> Iterator[Batch]:
    """The batches of all steps from ``first`` on, in order.

    A batch depends on its step alone, so the result does not depend on which process draws it.

    Args:
        draw: the batch of a step; must not use a GPU.
        first: the step to begin with.
        workers: how many processes draw; 0 draws in this one, when a batch is asked for.
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
        # A separate generator, which nothing is drawn from: the model's random state is not touched.
        generator=torch.Generator(),
    )
    return iter(loader)


class _Steps(Dataset[Batch]):
    def __init__(self, draw: Callable[[int], Batch]) -> None:
        self._draw = draw

    def __getitem__(self, step: int) -> Batch:
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
