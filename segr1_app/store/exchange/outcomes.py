"""What is told of each record that an import looks at."""

from __future__ import annotations


class Notice(str):
    """A sentence about a record that was taken all the same; any other sentence is about one that was not."""

    __slots__ = ()


def was_taken(outcome: str | None) -> bool:
    """Whether a record is in the store: nothing is told of it, or no more than a `Notice`."""
    return outcome is None or isinstance(outcome, Notice)


def replaced(where: str, instruction: str) -> Notice:
    """That a picture's ground-truth mask is another one now than it was before."""
    return Notice(f"{where}: its ground-truth mask replaced another one for '{instruction}'.")
