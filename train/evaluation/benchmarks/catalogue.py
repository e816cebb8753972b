"""All benchmarks by name: their questions, prompts and scoring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from segr1_app.domain import SettingsError
from segr1_app.language.protocol import TaskKind
from train.data.layouts import kind_of
from train.data.scenes import INSTRUCTIONS
from train.evaluation.benchmarks import foreground, reasoning, referring
from train.evaluation.benchmarks.measures import FOREGROUND, OVERLAPS, ScoringMethod
from train.evaluation.benchmarks.question import Question, QuestionSet

BLANK: Final = "{}"
"""Placeholder for a question's text in a template."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: as in the literature.
        splits: the available splits, the default one first; empty if there is only one.
        template: the prompt, with `BLANK` in place of the question's text, if it has one (Seg-R1, section 4).
        read: finds the questions of a split in a folder.
        measures: how answers are scored.
        task: the kind of request, for protocols that distinguish kinds.
        truth: a description of how ground-truth masks are made from the files.
    """

    name: str
    splits: tuple[str, ...]
    template: str
    read: Callable[[str, Path], QuestionSet]
    measures: ScoringMethod
    truth: str
    task: Callable[[Question], TaskKind]

    def choose_split(self, given: str | None) -> str:
        """The requested split: by its full name, or by its short name in the default partition.

        Raises:
            SettingsError: when there is no such split.
        """
        if given is None:
            return self.splits[0] if self.splits else ""
        for split in self.splits:
            if given in (split, split.rpartition("/")[2]):
                return split
        known = f"has {', '.join(self.splits)}" if self.splits else "has no splits"
        raise SettingsError(f"--split {given}: {self.name} {known}.")

    def choose_template(self, given: str | None) -> str:
        """The prompt template: the given one, else the benchmark's own.

        Raises:
            SettingsError: when it has no placeholder for the questions' texts.
        """
        template = given or self.template
        if BLANK in self.template and BLANK not in template:
            raise SettingsError(f"--instruction needs a {BLANK} as the placeholder for the questions of {self.name}.")
        return template


def _foreground(name: str) -> Benchmark:
    def read(_: str, folder: Path) -> QuestionSet:
        return foreground.read_foreground(name, folder)

    truth = (
        "foreground exceeds half of the mask file's brightest value; a mask has its image's size, nothing is resized"
    )
    # The instruction with which this project's policies were trained on such pictures.
    return Benchmark(name, (), INSTRUCTIONS[kind_of(name)], read, FOREGROUND, truth, lambda _: TaskKind.FOREGROUND)


def _referring(name: str) -> Benchmark:
    return Benchmark(
        name=name,
        splits=referring.SPLITS[name],
        template=f"Identify and segment {BLANK}",
        read=partial(referring.read_referring, name),
        measures=OVERLAPS,
        truth="The union of COCO's polygons and run lengths, by pycocotools; "
        "every expression ('sent') of every referent",
        task=lambda _: TaskKind.REFERRING,
    )


_REASONING: Final = Benchmark(
    name="ReasonSeg",
    splits=reasoning.SPLITS,
    template=f"{BLANK} Identify and segment it.",
    read=reasoning.read_reasoning,
    measures=OVERLAPS,
    truth="polygons with their edges, largest first; every query; pixels labelled 'ignore' are left out of prediction "
    "and target",
    # The data set says which of its queries are full sentences.
    task=lambda question: TaskKind.SENTENCE if question.group == "long" else TaskKind.PHRASE,
)
BENCHMARKS: Final = {
    benchmark.name: benchmark
    for benchmark in (*map(_foreground, foreground.OWN), *map(_referring, referring.SPLITS), _REASONING)
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark with a name, ignoring case.

    Raises:
        SettingsError: when there is none.
    """
    for benchmark in BENCHMARKS.values():
        if benchmark.name.lower() == name.lower():
            return benchmark
    raise SettingsError(f"--benchmark {name} must be one of {', '.join(BENCHMARKS)}.")
