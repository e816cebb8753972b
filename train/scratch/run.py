"""Training state for any model: data, model and moving average, optimisers, budget, and checkpoints.

The schedule follows a budget of minutes or of steps, counted across resumes. Checkpoints are written next to the old
one and renamed, so that an interruption at any moment leaves a complete one.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from segr1_app.domain import SettingsError
from segr1_app.files.atomic import whole_path
from segr1_app.studio.trainings import SEGMENTER_CHECKPOINT
from train.data.pairs import PackedPairs, draw_chances, hold_out, pack_pairs
from train.scratch.muon import StackedMuon

logger = logging.getLogger(__name__)

CHECKPOINT_FILE, CURVE_FILE, EXPORT_FOLDER = SEGMENTER_CHECKPOINT, "curve.json", "export"
BETAS = (0.9, 0.98)
"""Of AdamW."""
FINAL_RATE = 0.01
"""The final learning rate, as a fraction of its peak."""


@dataclass(frozen=True, slots=True)
class TrainingBudget:
    """How long to train: ``steps`` if given, else ``minutes`` of training time.

    Raises:
        SettingsError: when it is not positive.
    """

    minutes: float
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.minutes <= 0 or (self.steps is not None and self.steps <= 0):
            raise SettingsError("The budget of minutes or steps must be positive.")


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates and decays.

    Attributes:
        peak: the largest learning rate.
        weight_decay: that of weights that are matrices.
        average: decay per step of the exponential moving average that is exported.
    """

    peak: float
    weight_decay: float
    average: float


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The configuration common to all trainings from scratch.

    Attributes:
        data: folders with ``images/`` and ``masks/``.
        out: the folder for checkpoint, learning curve and ``export/``.
        cache: the folder for packed pairs.
        budget: how long to train.
        rates: learning rates and decays.
        seed: the only source of randomness.
        holdout: number of pairs held out for the learning curve.
        oversample: data sets by name, with the fraction of samples that each should provide.
        report_minutes: time between checkpoints, exports and points of the learning curve.
        device: as for `resolve_device`.
        workers: processes that draw batches ahead of time; 0 draws them in the training process.
        start: an exported model of the same shape to start from; None starts from scratch.
    """

    data: tuple[Path, ...]
    out: Path
    cache: Path
    budget: TrainingBudget
    rates: Rates
    seed: int = 0
    holdout: int = 100
    oversample: tuple[tuple[str, float], ...] = (("camo_train", 0.2),)
    report_minutes: float = 5.0
    device: str = "auto"
    workers: int = 0
    start: Path | None = None

    @property
    def export(self) -> Path:
        """The folder of the exported model."""
        return self.out / EXPORT_FOLDER


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Packed pairs, split.

    Attributes:
        pairs: all of them.
        held_out: indices of those kept for the learning curve.
        chances: float (N,), the sampling probability of each pair; 0 for those held out.
    """

    pairs: PackedPairs
    held_out: list[int]
    chances: npt.NDArray[np.float64]


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; a CPU that emulates it takes twenty times as long."""
    known = torch.cpu.get_capabilities()
    return device.type != "cpu" or any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def reduced_precision(device: torch.device) -> torch.autocast:
    """Autocast to bfloat16 if the device supports it natively."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=computes_bfloat16(device))


def load_data(config: TrainingConfig, side: int) -> TrainingData:
    """The pairs of a training, packed at ``side`` x ``side`` pixels.

    Raises:
        DatasetError: when they cannot be read, or none is left for training.
    """
    pairs = pack_pairs(config.data, side, config.cache)
    # An empty mask cannot be prompted for.
    usable = [i for i, mask in enumerate(pairs.masks) if (mask > 127).any()]
    held_out = hold_out(pairs, usable, config.holdout)
    chances = draw_chances(pairs, sorted({*usable} - {*held_out}), dict(config.oversample))
    return TrainingData(pairs, held_out, chances)


def load_exported_weights(model: nn.Module, trained: nn.Module, source: Path) -> None:
    """Load the weights of an exported model into ``model``.

    Raises:
        SettingsError: when ``source`` contains a model of another shape.
    """
    try:
        model.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        raise SettingsError(
            f"'{source}' contains a model with another shape than the one to be trained: {error}"
        ) from error


class TrainingState:
    """The training state of one model.

    Args:
        model: the model to train, on its device.
        budget: how long to train.
        rates: learning rates and decays.
        hidden: decides by name which weights are hidden layers; their matrices are optimised by Muon.
    """

    def __init__(self, model: nn.Module, budget: TrainingBudget, rates: Rates, hidden: Callable[[str], bool]) -> None:
        self.model, self.budget, self.rates = model.train(), budget, rates
        self.step, self.seconds, self.loss = 0, 0.0, math.nan
        self.curve: list[dict[str, float]] = []
        self.averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(rates.average))
        self.optimizers = _optimizers(model, rates, hidden)

    @property
    def progress(self) -> float:
        """The used fraction of the budget."""
        return self.step / self.budget.steps if self.budget.steps else self.seconds / (60 * self.budget.minutes)

    def fit(
        self, config: TrainingConfig, loss: Callable[[], tuple[Tensor, float]], scores: Callable[[], dict[str, float]]
    ) -> None:
        """Train to the end of the budget.

        Args:
            config: the training configuration.
            loss: returns the loss of a new batch, and a factor for the scheduled learning rate.
            scores: exports the model and scores it, for a point of the learning curve.
        """
        config.out.mkdir(parents=True, exist_ok=True)
        logger.info("Training %.2f M parameters", sum(weight.numel() for weight in self.model.parameters()) / 1e6)
        reported = self.seconds
        while self.progress < 1:
            started = time.monotonic()
            self.advance(*loss())
            self.seconds += time.monotonic() - started
            if self.seconds - reported > config.report_minutes * 60 or self.progress >= 1:
                reported = self.seconds
                self.report(scores(), config.out)

    def advance(self, loss: Tensor, warm: float) -> None:
        """Make one step down the gradient of ``loss``, at the scheduled learning rate times ``warm``, from 0 to 1."""
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        factor = warm * (FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * min(self.progress, 1.0))) / 2)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rates.peak * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.averaged.update_parameters(self.model)
        self.step += 1
        value = loss.item()
        self.loss = value if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * value

    def report(self, scores: dict[str, float], folder: Path) -> None:
        """Log a point of the learning curve, and write curve and checkpoint."""
        point = {"minutes": round(self.seconds / 60, 2), "steps": self.step, "loss": round(self.loss, 4), **scores}
        self.curve.append(point)
        logger.info("%s", json.dumps(point))
        (folder / CURVE_FILE).write_text(json.dumps(self.curve, indent=1) + "\n", encoding="utf-8")
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.loss,
            "curve": self.curve,
        }
        with whole_path(folder / CHECKPOINT_FILE, lasting=True) as partial:
            torch.save(state, partial)

    def load(self, folder: Path, device: torch.device) -> None:
        """Resume from the checkpoint in a folder.

        Raises:
            SettingsError: when there is none.
        """
        path = folder / CHECKPOINT_FILE
        if not path.is_file():
            raise SettingsError(f"There is no checkpoint '{path}' to resume from: start without --resume.")
        saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.averaged.load_state_dict(saved["averaged"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.seconds, self.loss, self.curve = saved["step"], saved["seconds"], saved["loss"], saved["curve"]


def _optimizers(model: nn.Module, rates: Rates, hidden: Callable[[str], bool]) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices inside the network, AdamW for everything else."""
    matrices = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and hidden(name)]
    others = [weight for name, weight in model.named_parameters() if not (weight.ndim == 2 and hidden(name))]
    adam = torch.optim.AdamW(others, lr=rates.peak, weight_decay=0.0, betas=BETAS)
    return [StackedMuon(matrices, lr=rates.peak, weight_decay=rates.weight_decay), adam] if matrices else [adam]
