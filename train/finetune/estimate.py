"""Estimate the resources of a training run from the shapes of its policy, before any weight is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import torch
from peft import get_peft_model
from transformers import AutoConfig, AutoModelForImageTextToText

from segr1_app.domain import SettingsError
from train.finetune.checkpoints import KEPT
from train.finetune.setup import TrainingSetup

HALF, SINGLE, ADAM = 2, 4, 8
"""Bytes of a number in bfloat16 and in float32, and of AdamW's two moments."""
_GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Estimate:
    """Lower bounds on the resources of a training run.

    Attributes:
        parameters: number of parameters of the policy.
        trained: number of trained parameters.
        memory: bytes of weights, gradients and moments; activations need more.
        disk: bytes of the checkpoints kept, of one being written, and of the new policy.
    """

    parameters: int
    trained: int
    memory: int
    disk: int

    def __str__(self) -> str:
        return (
            f"{self.trained / 1e6:,.1f} M of {self.parameters / 1e6:,.1f} M weights are trained. At least "
            f"{self.memory / _GIB:.2f} GiB of memory for weights, gradients and AdamW, activations not counted; "
            f"{self.disk / _GIB:.2f} GiB of disk."
        )


def estimate(setup: TrainingSetup) -> Estimate | None:
    """The resources for a setup; None if the policy's files are not on this machine.

    Raises:
        SettingsError: when adapters are requested in layers that the policy does not have.
    """
    model = _shape(setup.policy)
    if model is None:
        return None
    parameters = sum(weight.numel() for weight in model.parameters())
    trained = parameters
    adapters = setup.lora_config()
    if adapters is not None:
        try:
            adapted = get_peft_model(model, adapters)
        except (ValueError, TypeError, re.error) as error:
            # peft turns a list into a set.
            targets = adapters.target_modules
            targets = sorted(targets) if isinstance(targets, set) else targets
            raise SettingsError(
                f"lora.target_modules is {targets!r}, into which peft cannot insert adapters: {error}"
            ) from error
        trained = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    frozen = HALF if setup.lora is not None else SINGLE
    memory = parameters * frozen + trained * (SINGLE + ADAM + (SINGLE if setup.lora is not None else 0))
    disk = (KEPT + 2) * trained * (SINGLE + ADAM) + parameters * HALF
    return Estimate(parameters, trained, memory, disk)


def _shape(source: str) -> Any:
    """The policy without weights; None if its configuration is not on this machine."""
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(config)
    except (OSError, ValueError):
        # Loading it later reports what is wrong.
        return None
