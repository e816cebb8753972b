"""Measure the time and memory of a training by a few of its own steps: ``--dry-step``."""

# Callbacks are passed more than they need.
# ruff: noqa: ARG002

from __future__ import annotations

import resource
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import torch
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import SaveStrategy
from trl.trainer.grpo_config import GRPOConfig

from segr1_app.models.policy import VlmPolicy
from train.data.rows import Plan
from train.finetune.finetuning import Method, Setup, load_segmenter, trained_protocol
from train.finetune.grpo_setup import generation_period

_GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class DryStep:
    """What was measured.

    Attributes:
        seconds: of a step.
        memory: most bytes that this process held at a time, models and activations included: of the GPU where the
            policy is on one, else of the machine.
        where: a description of that memory.
        steps: of the whole training.
    """

    seconds: float
    memory: int
    where: str
    steps: int

    def __str__(self) -> str:
        minutes = self.seconds * self.steps / 60
        return (
            f"A step takes {self.seconds:.1f} s and, with everything that is loaded, {self.memory / _GIB:.1f} GiB of "
            f"{self.where}: about {minutes:.0f} min for {self.steps} steps. Supervised steps before them, "
            "validations, and scores before and after come on top."
        )


def dry_step(method: Method[Setup], setup: Setup, plan: Plan, *, steps: int, seed: int, device: str) -> DryStep:
    """Make a few steps of a training on its own rows and discard them; nothing is left on disk.

    The first step is not counted: it also fills caches. For GRPO, as many follow as share one generation.

    Args:
        method, setup, plan: of the training.
        steps: of the whole training.
        seed: of the training.
        device: as `resolve_device` understands it.

    Raises:
        SegR1Error: when a model or a picture cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = setup.trainer_config(Path(folder), rows=len(plan.train), seed=seed, device=device, report_to="none")
        counted = generation_period(config) if isinstance(config, GRPOConfig) else 1
        config.max_steps, config.save_strategy = 1 + counted, SaveStrategy.NO
        on = str(config.device)
        policy = VlmPolicy.load(
            setup.policy,
            device=on,
            dtype=setup.trained_dtype,
            attention=setup.attention,
            protocol=trained_protocol(setup.protocol, setup.policy),
        )
        trainer = method.make_trainer(
            replace(setup, max_steps=config.max_steps), config, plan, policy, load_segmenter(setup, on)
        )
        clock = _Clock()
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(clock)
        trainer.train()
    seconds = fmean(later - earlier for earlier, later in pairwise(clock.ends))
    return DryStep(seconds, *_most_memory(config.device), steps)


class _Clock(TrainerCallback):
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.ends.append(time.perf_counter())


def _most_memory(device: torch.device) -> tuple[int, str]:
    """The peak memory of this process so far in bytes, and which memory it is."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "the GPU's memory"
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "memory"
