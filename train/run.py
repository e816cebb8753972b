"""A training under way, whatever is trained: model, its average, optimisers, the budget used up, and the checkpoint.

The schedule follows a budget of minutes or of steps, kept over all resumes together. Checkpoints are written beside
the old one and renamed, so that an interruption at any moment leaves a whole one.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from segr1_app.domain import SettingsError

logger = logging.getLogger(__name__)

CHECKPOINT_FILE, CURVE_FILE = "checkpoint.pt", "curve.json"
FINAL_RATE = 0.01
"""The learning rate at the end, as a share of its peak."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to train: ``steps`` if given, else ``minutes`` of training time.

    Raises:
        SettingsError: when it is not positive.
    """

    minutes: float
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.minutes <= 0 or (self.steps is not None and self.steps <= 0):
            raise SettingsError("The budget of minutes or steps has to be positive.")


@dataclass(frozen=True, slots=True)
class Rates:
    """How the optimisers move.

    Attributes:
        peak: the greatest learning rate.
        weight_decay: of the weights that are matrices.
        average: decay per step of the exponential moving average that is exported.
    """

    peak: float
    weight_decay: float
    average: float


class TrainingRun:
    """A model on its way through a budget.

    Args:
        model: to be trained, on its device.
        budget: how long.
        rates: how the optimisers move.
        hidden: tells by name which weights lie inside a network; its matrices are given to Muon.
    """

    def __init__(self, model: nn.Module, budget: Budget, rates: Rates, hidden: Callable[[str], bool]) -> None:
        self.model, self.budget, self.rates = model.train(), budget, rates
        self.step, self.seconds, self.loss = 0, 0.0, math.nan
        self.curve: list[dict[str, float]] = []
        self.averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(rates.average))
        self.optimizers = _optimizers(model, rates, hidden)

    @property
    def parameters(self) -> int:
        """How many weights there are."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def progress(self) -> float:
        """The used-up share of the budget."""
        return self.step / self.budget.steps if self.budget.steps else self.seconds / (60 * self.budget.minutes)

    def advance(self, loss: Tensor, warm: float) -> None:
        """One step down the gradient of ``loss``, at the schedule's rate times ``warm``, a share between 0 and 1."""
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
        partial = folder / f"{CHECKPOINT_FILE}.part"
        torch.save(
            {
                "model": self.model.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "step": self.step,
                "seconds": self.seconds,
                "loss": self.loss,
                "curve": self.curve,
            },
            partial,
        )
        partial.replace(folder / CHECKPOINT_FILE)

    def load(self, folder: Path, device: torch.device) -> None:
        """Go on from the checkpoint in a folder.

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
    return [
        torch.optim.Muon(matrices, lr=rates.peak, weight_decay=rates.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rates.peak, weight_decay=0.0, betas=(0.9, 0.98)),
    ]
