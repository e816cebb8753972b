"""Batches drawn ahead of the step that needs them, by processes of their own: a GPU is quicker than what feeds it."""

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
    """The batches of all steps from ``first`` on, in their order.

    A batch depends on its step alone, so that the same ones come whoever draws them.

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
        # What is drawn from is in memory once, not once a process.
        multiprocessing_context="fork",
        worker_init_fn=_alone,
        # Its own chance, which nothing is drawn from: the model's is left as it was.
        generator=torch.Generator(),
    )
    return iter(loader)


class _Steps(Dataset[Batch]):
    def __init__(self, draw: Callable[[int], Batch]) -> None:
        self._draw = draw

    def __getitem__(self, step: int) -> Batch:
        return self._draw(step)


class _From:
    """Steps without end, as a sampler."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self._first)


def _alone(_: int) -> None:
    """There are as many processes as are to compute: each takes one thread."""
    cv2.setNumThreads(0)
