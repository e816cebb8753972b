"""What one training run is asked for, and its state as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from segr1_app.domain import ModelRole
from segr1_app.studio.contracts import SegmenterChange

State = Literal["running", "done", "stopped"]


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What a training run is asked to do; original pairs or generated scenes are always used.

    Attributes:
        learns: which model is trained.
        corrections: whether it learns from annotators' decisions.
        truths: whether it learns from imported ground truths.
    """

    learns: ModelRole = "policy"
    corrections: bool = True
    truths: bool = False


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The state of a training run, as read from its folder.

    Attributes:
        name: name of the folder, after "segmenter-" if a segmenter is trained.
        learns: which model is trained.
        state: "stopped" when it ended before it was done.
        resumable: whether it stopped and the app can resume it, because the app started it.
        steps: number of planned steps; 0 while unknown.
        curve: of every step made, its number and its mean reward, or the loss where a segmenter is trained.
        last_words: the end of the process's output.
        validation: (step, mean reward) of held-out answers, so far.
        warning: a problem with the reward's course; empty for none.
        exported: the step whose weights are the new policy; None while unknown.
        saved: the step of the newest checkpoint, after which a resumed run continues; 0 without one.
        before, after: held-out scores of policies by group; None while unknown.
        objects: held-out scores of segmenters, before and after, by data set; None while unknown.
        problems: a sentence for each damaged file of the folder; the others are read regardless.
    """

    name: str
    state: State
    resumable: bool
    steps: int
    curve: tuple[tuple[int, float], ...]
    last_words: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    problems: tuple[str, ...] = ()
    validation: tuple[tuple[int, float], ...] = ()
    warning: str = ""
    exported: int | None = None
    saved: int = 0
    learns: ModelRole = "policy"
    objects: dict[str, SegmenterChange] | None = None
