"""What is told of each record that an import looks at."""

from __future__ import annotations

from segr1_app.domain import Mask
from segr1_app.store.store import AnnotationStore


class Notice(str):
    """A sentence about a record that was taken all the same; any other sentence is about one that was not."""

    __slots__ = ()


def was_taken(outcome: str | None) -> bool:
    """Whether a record is in the store: nothing is told of it, or no more than a `Notice`."""
    return outcome is None or isinstance(outcome, Notice)


def add_task(store: AnnotationStore, sha256: str, instruction: str, truth: Mask | None, where: str) -> Notice | None:
    """Add a task, as `AnnotationStore.add_task` does, and say so when its true mask takes the place of another one.

    Args:
        store: where to.
        sha256: a stored picture.
        instruction: what to segment.
        truth: the true mask, if it is known.
        where: what to call the record in a sentence.

    Raises:
        SegR1Error: when the task cannot be added.
    """
    before = None if truth is None else store.ground_truth(sha256, instruction)
    store.add_task(sha256, instruction, truth)
    return replaced(store, sha256, instruction, before, where)


def replaced(store: AnnotationStore, sha256: str, instruction: str, before: Mask | None, where: str) -> Notice | None:
    """A sentence if a picture's true mask is another one now than it was ``before``, when there was one."""
    now = None if before is None else store.ground_truth(sha256, instruction)
    if before is None or now is None or not (before != now).any():
        return None
    return Notice(f"{where}: its ground-truth mask replaced another one for '{instruction}'.")
