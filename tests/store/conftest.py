"""A store on disk whose clock the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from segr1_app.store import AnnotationStore, Task
from tests.store.values import picture


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[AnnotationStore]:
    with AnnotationStore.open(tmp_path / "home", clock=clock) as opened:
        yield opened


@pytest.fixture
def task(store: AnnotationStore) -> Task:
    """The first task: a picture called photo.jpg, "the cat"."""
    return store.add_task(store.add_picture(picture(), "photo.jpg"), "the cat")
