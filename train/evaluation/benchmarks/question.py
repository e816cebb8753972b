"""The common form of all benchmarks: questions about pictures, each with the correct mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from segr1_app.domain import ImageSize, Mask

AnswerRecord: TypeAlias = Mapping[str, Any]
"""An answer in a run's log: "id" of the question, "image", "instruction", "completion", "well_formed", "objects",
"mask", "scores" and "seconds" as JSON values.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The correct answer.

    Attributes:
        mask: bool (height, width) of the picture; all False if there is no such object in the picture.
        left_out: pixels that are ignored, of the same shape; None for none.
    """

    mask: Mask
    left_out: Mask | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a benchmark.

    Attributes:
        id: unique in its set, and independent of the set's location on disk.
        image: the picture's file.
        text: the expression or question; empty if all pictures have the same question.
        target: reads the correct answer for a picture of the given size; raises a DatasetError when it cannot be read
            or belongs to a picture of another size.
        group: a part of the set that is also scored separately, such as ReasonSeg's short queries; empty for none.
    """

    id: str
    image: Path
    text: str
    target: Callable[[ImageSize], Target]
    group: str = ""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A benchmark read from disk.

    Attributes:
        questions: in the set's own order.
        found: facts about how it was read, as JSON values, for readers of the numbers.
    """

    questions: tuple[Question, ...]
    found: Mapping[str, Any] = field(default_factory=dict)
