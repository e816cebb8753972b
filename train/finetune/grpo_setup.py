"""The setup of a GRPO run: its length, and where it may be resumed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge
from pydantic.dataclasses import dataclass
from trl.trainer.grpo_config import GRPOConfig

from segr1_app.domain import SettingsError
from train.finetune.setup import CONFIGS, SCHEMA, TrainingSetup

DEFAULT_CONFIG = CONFIGS / "embedded.yaml"


@dataclass(frozen=True, kw_only=True, config=SCHEMA)
class GrpoSetup(TrainingSetup):
    """A GRPO run; ``reward`` is also the training reward.

    Attributes:
        warm_up_steps: steps of supervised training that come first if corrections show what to write; 0 for none.
        prompts_per_step: rows per optimiser step, for any number of GPUs: gradients are accumulated accordingly. None
            for the setting per process in ``trainer``.

    Checkpoints are made where a generation's completions are used up, because trl does not save them.
    """

    warm_up_steps: Annotated[int, Ge(0)] = 20
    prompts_per_step: Annotated[int, Ge(1)] | None = None

    TRAINER: ClassVar[Any] = GRPOConfig
    # The order of rows comes from `draw_order`, which a resumed run computes again.
    FIXED: ClassVar[Mapping[str, Any]] = {"shuffle_dataset": False}

    def __post_init__(self) -> None:
        super().__post_init__()
        # trl's own default is "group".
        grouped = self.trainer.get("scale_rewards", "group") in ("group", True)
        if self.trainer.get("loss_type") == "dr_grpo" and grouped:
            raise SettingsError(
                "trainer.loss_type dr_grpo contradicts trainer.scale_rewards group: Dr. GRPO is GRPO without the "
                "division by a group's standard deviation. Set scale_rewards to none or batch, or another loss_type."
            )

    def trainer_config(self, output: Path, *, rows: int | None = None, seed: int, device: str, report_to: str) -> Any:
        """As for `TrainingSetup.trainer_config`.

        Raises:
            SettingsError: also when ``prompts_per_step`` cannot be divided evenly among the processes.
        """
        if self.prompts_per_step is not None:
            accumulated = replace(self, prompts_per_step=None, trainer={**self.trainer, **self.accumulation()})
            return accumulated.trainer_config(output, rows=rows, seed=seed, device=device, report_to=report_to)
        return super().trainer_config(output, rows=rows, seed=seed, device=device, report_to=report_to)

    def accumulation(self) -> dict[str, int]:
        """Backward passes of a process before an optimiser step of ``prompts_per_step`` rows."""
        assert self.prompts_per_step is not None
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        together = processes * int(self.trainer.get("per_device_train_batch_size", 1))
        completions = self.prompts_per_step * int(self.trainer.get("num_generations", 8))
        if self.prompts_per_step < 1 or completions % together:
            raise SettingsError(
                f"{self.prompts_per_step} prompts per step, {completions} completions, cannot be divided evenly among "
                f"{processes} processes of {together // processes} each: change per_device_train_batch_size."
            )
        return {"gradient_accumulation_steps": completions // together}

    def _length(self, config: GRPOConfig, rows: int) -> tuple[int, int]:
        period = generation_period(config)
        steps = self.max_steps or max(1, math.ceil(self.epochs * rows / prompts_per_step(config)))
        return steps, math.ceil(self.save_steps / period) * period


def generation_period(config: GRPOConfig) -> int:
    """Optimiser steps after which all completions are used up; a run can be resumed at multiples of it."""
    passes = _passes(config)
    return passes // math.gcd(passes, config.gradient_accumulation_steps)


def prompts_per_step(config: GRPOConfig) -> float:
    """How many rows an optimiser step uses on average."""
    return _prompts(config) * config.gradient_accumulation_steps / _passes(config)


def prompts_needed(config: GRPOConfig, steps: int | None = None) -> int:
    """How many rows a number of steps draws, by default those of the whole run: complete generations, the last of which
    may not be used up.
    """
    return math.ceil((steps or config.max_steps) * config.gradient_accumulation_steps / _passes(config)) * _prompts(
        config
    )


def _passes(config: GRPOConfig) -> int:
    """Forward passes for which the completions of one generation are used."""
    assert config.steps_per_generation is not None
    return config.steps_per_generation * config.num_iterations


def _prompts(config: GRPOConfig) -> int:
    """Rows of one generation."""
    assert config.generation_batch_size is not None
    assert config.num_generations is not None
    return config.generation_batch_size // config.num_generations


def notes(setup: GrpoSetup, config: GRPOConfig) -> list[str]:
    """Warnings about settings that have no or an unexpected effect."""
    said = []
    if setup.trainer.get("epsilon_high") is not None and _passes(config) <= config.gradient_accumulation_steps:
        said.append(
            "trainer.epsilon_high has no effect here: every completion is used for one step, by the policy that wrote "
            "it, so no ratio is clipped. num_iterations or steps_per_generation above 1 would use them again."
        )
    if setup.trainer.get("scale_rewards", "group") in ("group", True):
        said.append(
            "trainer.scale_rewards is group: where the completions of a prompt hardly differ, the difference is noise "
            "and counts as much as everything else. batch and none avoid that."
        )
    return said
