"""How good the policy is on held-out rows while it is trained: which checkpoint is the best, and when to stop.

The reward of training may rise while the app's answers get no better: both curves are written down side by side. The
rows of validation are not those that are scored before and after, or the best of many would be reported as the rule.
All that is known of earlier validations stands in the run's metrics, so that a resumed training decides alike.
"""

# A callback is handed more than it needs.
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
"""The share of held-out rows of a kind that is scored before and after; validation has the rest."""


def part_rows(rows: Sequence[Row], scored: int, validated: int) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Held-out rows that are scored before and after, and those of validation; no picture is among both.

    Args:
        rows: as `select_held_out` orders them.
        scored, validated: most of each kind, pairs and corrections, on each side.
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
    """Mean rewards of validation by step."""
    return {line["step"]: line[VALIDATION] for line in read_json_lines(metrics) if VALIDATION in line}


def best_step(found: dict[int, float], among: Sequence[int]) -> int:
    """The step of the best of some checkpoints, the latest of equals; the last one where none was validated."""
    known = [step for step in among if step in found]
    return max(known, key=lambda step: (found[step], step)) if known else max(among)


def gave_up(found: dict[int, float], patience: int) -> bool:
    """Whether none of the last ``patience`` validations of a training was better than the best before them; 0 never
    gives up.
    """
    values = [found[step] for step in sorted(found)]
    return bool(patience) and len(values) > patience and max(values[-patience:]) <= max(values[:-patience])


class Validation(TrainerCallback):
    """Scores the policy whenever a checkpoint is whole, and ends a training that gets no better.

    Args:
        metrics: file of the run.
        score: the policy as it is now; scores by group.
        patience: as of `gave_up`.
        every: steps of which only multiples are validated.
    """

    def __init__(
        self, metrics: Path, score: Callable[[], dict[str, HeldOutScores | None]], patience: int, every: int = 1
    ) -> None:
        self._metrics, self._score, self._patience, self._every = metrics, score, patience, every
        self._found = validated(metrics)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Also after an interruption between a checkpoint and its validation.
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
