"""The setup of a supervised run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass
from trl.trainer.sft_config import SFTConfig

from train.finetune.setup import CONFIGS, SCHEMA, TrainingSetup

DEFAULT_CONFIG = CONFIGS / "sft-embedded.yaml"


@dataclass(frozen=True, kw_only=True, config=SCHEMA)
class SftSetup(TrainingSetup):
    """A supervised run.

    Attributes:
        traces: folders or hub ids of written traces in FCoT's format; see `train.data.fcot`.
        text_first: whether the request stands before its picture, as in Seg-R1's supervised training.
        whole_conversation: whether the request is learnt, too, as there; of a correction only the answer ever is.
    """

    traces: tuple[str, ...] = ()
    text_first: bool = False
    whole_conversation: bool = False

    TRAINER: ClassVar[Any] = SFTConfig
    FIXED: ClassVar[Mapping[str, Any]] = {
        # The order of rows comes from `draw_order`, which a resumed run computes again.
        "shuffle_dataset": False,
        "train_sampling_strategy": "sequential",
        # Rows are made when they are read: until then, there are only their indices.
        "remove_unused_columns": False,
        "packing": False,
        "completion_only_loss": True,
        # A truncated sequence would lose tokens of its picture.
        "max_length": None,
    }

    def _length(self, config: SFTConfig, rows: int) -> tuple[int, int]:
        return self.max_steps or max(1, math.ceil(self.epochs * rows / rows_per_step(config))), self.save_steps


def rows_per_step(config: SFTConfig) -> int:
    """How many rows an optimiser step uses, over all processes."""
    return int(config.per_device_train_batch_size * config.gradient_accumulation_steps * config.world_size)
