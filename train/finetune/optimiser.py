"""Check the settings of optimiser and learning rate before models are loaded: libraries check them only afterwards."""

from __future__ import annotations

from typing import Any, Final

import torch
from transformers import Trainer
from transformers.optimization import get_scheduler

from segr1_app.domain import SettingsError

NEEDS_POLICY: Final = ("galore", "apollo", "lomo", "adalomo")
"""Beginnings of the names of optimisers that cannot be made without the policy."""


def check_optimiser(config: Any) -> None:
    """Make the optimiser and its schedule for a single weight.

    Args:
        config: trl's configuration.

    Raises:
        SettingsError: when one of them is rejected, or needs a package that is not installed.
    """
    if str(config.optim.value).startswith(NEEDS_POLICY):
        return
    try:
        kind, options = Trainer.get_optimizer_cls_and_kwargs(config)
        optimiser = kind([torch.nn.Parameter(torch.zeros(1))], **options)
    except (ValueError, TypeError, ImportError) as error:
        raise SettingsError(f"trainer.optim is {config.optim.value!r}, which cannot be used: {error}") from error
    try:
        get_scheduler(
            config.lr_scheduler_type,
            optimizer=optimiser,
            num_warmup_steps=0,
            num_training_steps=1,
            scheduler_specific_kwargs=config.lr_scheduler_kwargs,
        )
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"trainer.lr_scheduler_type is {config.lr_scheduler_type.value!r}, which cannot be used with "
            f"trainer.lr_scheduler_kwargs, {config.lr_scheduler_kwargs!r}: {error}"
        ) from error
