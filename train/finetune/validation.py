"""Validate the policy on held-out rows during training, to choose the best checkpoint and to stop early.

The training reward may rise while the app's answers get no better, so both curves are recorded. Validation rows differ
from the rows scored before and after; otherwise the best of many checkpoints would give an optimistic result. Earlier
validations are read from the run's metrics, so that a resumed run makes the same decisions.
"""

# Callbacks are passed more than they need.
# ruff: noqa: ARG002

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from segr1_app.files.json_files import read_json_lines
from segr1_app.studio.trainings import VALIDATION
from train.data.rows import Row
from train.finetune.heldout import GROUPS, HeldOutScores

KEPT_FOR_SCORES: Final = 2 / 3
"""The fraction of held-out rows of each kind that is scored before and after; validation uses the rest."""


def part_rows(rows: Sequence[Row], scored: int, validated: int) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Split held-out rows into those scored before and after and those for validation; no picture is in both.

    Args:
        rows: in the order of `select_held_out`.
        scored, validated: largest number of each kind, pairs and corrections, on each side.
    """
    before_and_after: list[Row] = []
    during: list[Row] = []
    for feedback in (False, True):
        kind = [row for row in rows if row.is_feedback is feedback]
        count = min(scored, max(1, round(KEPT_FOR_SCORES * len(kind))))
        before_and_after += kind[:count]
        during += kind[count : count + validated]
    taken = {row.image_id for row in before_and_after}
    return tuple(before_and_after), tuple(row for row in during if row.image_id not in taken)


def validated(metrics: Path) -> dict[int, float]:
    """Mean validation rewards by step."""
    return {line["step"]: line[VALIDATION] for line in read_json_lines(metrics) if VALIDATION in line}


def best_step(found: dict[int, float], among: Sequence[int]) -> int:
    """The step of the best of some checkpoints, the latest in case of ties; the last one if none was validated."""
    known = [step for step in among if step in found]
    return max(known, key=lambda step: (found[step], step)) if known else max(among)


def gave_up(found: dict[int, float], patience: int) -> bool:
    """Whether none of the last ``patience`` validations was better than the best before them; with 0 always False."""
    values = [found[step] for step in sorted(found)]
    return bool(patience) and len(values) > patience and max(values[-patience:]) <= max(values[:-patience])


class Validation(TrainerCallback):
    """Scores the policy after each checkpoint, and ends a run that stops improving.

    Args:
        metrics: the run's metrics file.
        score: scores the current policy; returns scores by group.
        patience: as for `gave_up`.
        every: only multiples of this step are validated.
    """

    def __init__(
        self, metrics: Path, score: Callable[[], dict[str, HeldOutScores | None]], patience: int, every: int = 1
    ) -> None:
        self._metrics, self._score, self._patience, self._every = metrics, score, patience, every
        self._found = validated(metrics)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Needed after an interruption between a checkpoint and its validation.
        self._validate(state, kwargs.get("model"))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._validate(state, kwargs.get("model"))
        if gave_up(self._found, self._patience):
            control.should_training_stop = True

    def _validate(self, state: TrainerState, model: Any) -> None:
        if state.global_step in self._found or state.global_step % self._every:
            return
        learning = model is not None and model.training
        if model is not None:
            model.eval()
        try:
            scores = self._score()
        finally:
            if learning:
                model.train()
        known = [found for found in scores.values() if found]
        if not known:
            return
        count = sum(found.count for found in known)
        reward = sum(found.reward * found.count for found in known) / count
        self._found[state.global_step] = reward
        if state.is_world_process_zero:
            line: dict[str, Any] = {"step": state.global_step, VALIDATION: reward, "validation/count": count}
            for group in GROUPS:
                found = scores.get(group)
                if found and found.iou is not None:
                    line[f"validation/{group}/iou"] = found.iou
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
