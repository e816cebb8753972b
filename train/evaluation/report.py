"""The result of an evaluation: its numbers, and what could not be scored and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segr1_app.domain import DatasetError
from segr1_app.files.outputs import titled_list


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """A finished evaluation.

    Attributes:
        result: the result as JSON values.
        failures: why something could not be scored, by the name of the pair or question.
    """

    result: dict[str, Any]
    failures: Mapping[str, str]


def describe_failures(count: int, kind: str, failures: Mapping[str, str]) -> str:
    """List those of ``count`` pairs or questions (``kind``) that could not be scored, each with its reason."""
    head = f"{len(failures)} of {count} {kind} could not be scored and are left out:"
    return titled_list(head, (f"{name}: {reason}" for name, reason in failures.items()))


def check_scored(count: int, kind: str, failures: Mapping[str, str]) -> None:
    """Check that there is something to average.

    Raises:
        DatasetError: when none of ``count`` pairs or questions could be scored.
    """
    if count == len(failures):
        raise DatasetError(describe_failures(count, kind, failures))
