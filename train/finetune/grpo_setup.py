"""What a GRPO training is set up with: how long it is, and where it may be resumed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from trl.trainer.grpo_config import GRPOConfig

from train.finetune.setup import CONFIGS, TrainingSetup

DEFAULT_CONFIG = CONFIGS / "embedded.yaml"


@dataclass(frozen=True, kw_only=True)
class GrpoSetup(TrainingSetup):
    """A GRPO training; ``reward`` is also what it is trained by.

    Checkpoints fall where a generation's completions are used up, as trl does not save them.
    """

    TRAINER: ClassVar[Any] = GRPOConfig
    # The order of rows is made by `draw_order`, which a resumed training makes again.
    FIXED: ClassVar[Mapping[str, Any]] = {"shuffle_dataset": False}

    def _length(self, config: GRPOConfig, rows: int) -> tuple[int, int]:
        period = generation_period(config)
        steps = self.max_steps or max(1, math.ceil(self.epochs * rows / prompts_per_step(config)))
        return steps, math.ceil(self.save_steps / period) * period


def generation_period(config: GRPOConfig) -> int:
    """Optimiser steps after which all completions are used up: a training can be resumed at its multiples."""
    passes = _passes(config)
    return passes // math.gcd(passes, config.gradient_accumulation_steps)


def prompts_per_step(config: GRPOConfig) -> float:
    """How many rows an optimiser step uses up, on average."""
    return _prompts(config) * config.gradient_accumulation_steps / _passes(config)


def prompts_needed(config: GRPOConfig) -> int:
    """How many rows the whole training draws: whole generations, the last of which may not be used up."""
    return math.ceil(config.max_steps * config.gradient_accumulation_steps / _passes(config)) * _prompts(config)


def _passes(config: GRPOConfig) -> int:
    """Forward passes that the completions of one generation serve."""
    assert config.steps_per_generation is not None
    return config.steps_per_generation * config.num_iterations


def _prompts(config: GRPOConfig) -> int:
    """Rows of one generation."""
    assert config.generation_batch_size is not None
    assert config.num_generations is not None
    return config.generation_batch_size // config.num_generations
