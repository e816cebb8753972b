"""Compare two policies on the same questions: paired differences with intervals, wins and losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from segr1_app.files.json_files import read_json_lines
from train.evaluation.benchmarks.page import write_comparison
from train.evaluation.benchmarks.question import AnswerRecord, Question
from train.evaluation.intervals import grouped_interval

COMPARED: Final[Mapping[str, int]] = {"iou": 1, "s_measure": 1, "weighted_f": 1, "e_measure": 1, "mae": -1}
"""The scores of single answers whose means are compared: 1 where more is better, -1 where less is."""
TIED: Final = 0.01
"""Largest difference of two scores that counts as a tie."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two policies' answers to one question, as records of their logs.

    Attributes:
        answer: of the first policy.
        other: of the policy that it is compared with.
    """

    answer: AnswerRecord
    other: AnswerRecord

    def gain(self, score: str) -> float:
        """How much better the first policy's answer is by this score; negative where it is worse."""
        return COMPARED[score] * float(self.answer["scores"][score] - self.other["scores"][score])


def read_answers(log_file: Path) -> list[AnswerRecord]:
    """The answers in the log of a run, on pairs or on a benchmark, whose first line is the protocol."""
    return [record for record in read_json_lines(log_file) if "id" in record]


def pair_answers(answers: Sequence[AnswerRecord], others: Sequence[AnswerRecord]) -> tuple[Pairing, ...]:
    """Both answers to every question that both policies answered, in the order of the first."""
    found = {record["id"]: record for record in others}
    return tuple(Pairing(record, found[record["id"]]) for record in answers if record["id"] in found)


def compare(pairings: Sequence[Pairing]) -> dict[str, Any]:
    """The table of a comparison: for each score the mean gain, its 95 % interval, and how often each policy wins.

    The interval is a bootstrap over pictures, because questions about the same picture depend on each other; None for a
    single picture. Differences of up to `TIED` are ties.
    """
    pictures = [pairing.answer["image"] for pairing in pairings]
    table: dict[str, Any] = {"count": len(pairings)}
    for score in COMPARED:
        if not pairings or score not in pairings[0].answer["scores"]:
            continue
        gains = [pairing.gain(score) for pairing in pairings]
        low, high = grouped_interval(gains, pictures) or (None, None)
        wins, losses = sum(gain > TIED for gain in gains), sum(gain < -TIED for gain in gains)
        table[score] = {
            "gain": round(fmean(gains), 5),
            "low": low if low is None else round(low, 5),
            "high": high if high is None else round(high, 5),
            "wins": wins,
            "losses": losses,
            "ties": len(gains) - wins - losses,
        }
    return table


def write_pairings(
    path: Path,
    *,
    against: str,
    table: Mapping[str, Any],
    pairings: Sequence[Pairing],
    questions: Iterable[Question],
    most: int,
) -> None:
    """Write a page of the answers that differ most by IoU.

    Args:
        path: the file.
        against: the name of the policy that is compared with.
        table: as `compare` returns it.
        pairings: both answers to each question.
        questions: at least those of the pairings.
        most: number of questions shown for each policy, of those that it answered better.

    Raises:
        DatasetError, PictureError, SettingsError: as `write_comparison`.
    """
    asked = {question.id: question for question in questions}
    order = sorted(pairings, key=lambda pairing: pairing.gain("iou"), reverse=True)
    wins = [pairing for pairing in order if pairing.gain("iou") > TIED][:most]
    losses = [pairing for pairing in reversed(order) if pairing.gain("iou") < -TIED][:most]
    sections = {
        title: [
            (asked[pairing.answer["id"]], {"policy": pairing.answer, f"against {against}": pairing.other})
            for pairing in chosen
        ]
        for title, chosen in ((f"Better than {against}", wins), (f"Worse than {against}", losses))
    }
    write_comparison(path, f"Compared with {against}", _rows(table), sections)


def _rows(table: Mapping[str, Any]) -> list[list[str]]:
    """The comparison as rows of text, a score each."""
    rows = [[f"{table['count']} questions", "mean gain", "95 % interval", "better", "worse", "tied"]]
    for score in (score for score in COMPARED if score in table):
        of = table[score]
        interval = "" if of["low"] is None else f"{of['low']:+.4f} to {of['high']:+.4f}"
        counts = (str(of[name]) for name in ("wins", "losses", "ties"))
        rows.append([score, f"{of['gain']:+.4f}", interval, *counts])
    return rows
