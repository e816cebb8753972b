"""The message about each record of an import."""

from __future__ import annotations


class Notice(str):
    """A sentence about a record that was imported; any other sentence is about one that was not."""

    __slots__ = ()


def was_taken(outcome: str | None) -> bool:
    """Whether a record was imported: there is no message about it, or only a `Notice`."""
    return outcome is None or isinstance(outcome, Notice)


def replaced(where: str, instruction: str) -> Notice:
    """The notice that a picture's ground-truth mask was replaced."""
    return Notice(f"{where}: its ground-truth mask replaced another one for '{instruction}'.")
