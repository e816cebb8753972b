"""The outcomes of an import, one per record, and the report about all of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

_SHOWN: Final = 5
"""How many sentences of one kind are listed; the others are only counted."""
_PARTICULARS: Final = re.compile(r"'[^']*'|\([^()]*\)|\S*[/\\]\S*|\S+\.\w{2,5}\b|\d+")
"""The parts that differ between sentences of one kind: quotations, parentheses, paths, file names and numbers."""


class Result(Enum):
    """What an outcome says; a remark is about a record whose own outcome is given separately."""

    IMPORTED = auto()
    LEFT_OUT = auto()
    REMARK = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for a record of an import.

    Attributes:
        result: whether it was imported or left out.
        message: a sentence about it; empty for a record that was imported and needs no comment.
    """

    result: Result
    message: str = ""


IMPORTED = Outcome(Result.IMPORTED)
"""A record that was imported and needs no comment."""


def truth_replaced(where: str, instruction: str) -> Outcome:
    """The outcome for a record that replaced a picture's ground-truth mask."""
    return Outcome(Result.IMPORTED, f"{where}: its ground-truth mask replaced another one for '{instruction}'.")


def left_out(message: str) -> Outcome:
    """The outcome for a record that could not be imported."""
    return Outcome(Result.LEFT_OUT, message)


@dataclass(frozen=True, slots=True)
class Remark:
    """What a reader says about records that it does not leave out."""

    message: str


@dataclass(slots=True)
class ImportReport:
    """The result of an import as numbers and sentences, the same on the page and on the command line.

    Attributes:
        records: how many records were imported; for most formats a record is a task.
        pictures, tasks: how many are new in the store.
        truths: ground-truth masks that were stored.
        boxes, points: prompts that were stored.
        duplicates: pictures that were already in the store.
        left_out: records that could not be imported.
        notices: remarks about records that were imported.
    """

    records: int = 0
    pictures: int = 0
    tasks: int = 0
    truths: int = 0
    boxes: int = 0
    points: int = 0
    duplicates: int = 0
    left_out: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome and keep its message."""
        self.records += outcome.result is Result.IMPORTED
        if outcome.message:
            (self.left_out if outcome.result is Result.LEFT_OUT else self.notices).append(outcome.message)

    @property
    def summary(self) -> str:
        """One line."""
        parts = [
            _counted(self.pictures, "picture"),
            _counted(self.tasks, "task"),
            _counted(self.truths, "ground-truth mask"),
            _counted(self.boxes, "box", "boxes"),
            _counted(self.points, "point"),
        ]
        left = f"; {_counted(len(self.left_out), 'record')} left out" if self.left_out else ""
        return f"New: {', '.join(parts)}; {_counted(self.duplicates, 'duplicate')}{left}."

    @property
    def all_sentences(self) -> list[str]:
        """What was left out and why, by file and record, after the remarks about the rest."""
        return [*self.notices, *self.left_out]

    @property
    def sentences(self) -> list[str]:
        """The same, where of many sentences that give one reason only the first few and the last are listed."""
        return [*_abridged(self.notices), *_abridged(self.left_out)]


def _abridged(sentences: Sequence[str]) -> Iterator[str]:
    alike: dict[str, list[str]] = defaultdict(list)
    for sentence in sentences:
        alike[_reason_of(sentence)].append(sentence)
    for group in alike.values():
        if len(group) <= _SHOWN + 1:
            yield from group
        else:
            yield from group[:_SHOWN]
            yield f"... and {len(group) - _SHOWN:,} more like these, the last of them: {group[-1]}"


def _reason_of(sentence: str) -> str:
    """A message without the name of its record and other particulars, to recognise similar ones."""
    _, _, said = sentence.partition(": ")
    _, _, reason = said.partition(" left out: ")
    return _PARTICULARS.sub("", reason or said or sentence)


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"
