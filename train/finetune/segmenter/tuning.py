"""The course of a segmenter's fine-tuning: SAM 2's prompt encoder and mask decoder learn, and adapters of its image
encoder if asked for.

A step decodes several objects from their embeddings, then with corrective clicks on the errors, as SAM 2 was trained
(Ravi et al., 2024, arXiv 2408.00714, appendix D). The randomness of a step depends only on the seed and the step's
number: a resumed training continues as if it had never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from segr1_app.models.embeddings import EmbeddingFolder
from segr1_app.models.segmenter import Sam2Segmenter
from train.data.rows import Row
from train.finetune.segmenter.encoding import AdaptedEncoder, Encoder, FrozenEncoder
from train.finetune.segmenter.views import Viewer
from train.scratch.run import CHECKPOINT_FILE, Rates, TrainingBudget, TrainingState
from train.scratch.segmenter import add_click
from train.scratch.segmenter_model import LOSS_STRIDE, Sam2, decode_masks, mask_loss

FROZEN: Final = ("conv_s0.", "conv_s1.")
"""Parts of the mask decoder that work on the encoder's maps before these are kept as embeddings."""
WARM_UP_STEPS = 10


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a segmenter is fine-tuned.

    Attributes:
        max_steps: optimiser steps.
        save_steps: steps between checkpoints.
        batch: objects per step.
        clicks: most corrective clicks per object.
        learning_rate: the largest one.
        average: decay per step of the moving average of weights that becomes the new segmenter.
        focal: whether pixels are compared by the focal loss, as SAM 2 was trained; the embedded segmenter was trained
            by cross-entropy, and becomes worse by another loss (``train/LOG.md``).
        rank: of the image encoder's adapters; 0 for a frozen encoder.
        seed: the source of all chance.
    """

    max_steps: int = 150
    save_steps: int = 25
    batch: int = 8
    clicks: int = 4
    learning_rate: float = 1e-4
    average: float = 0.97
    focal: bool = False
    rank: int = 0
    seed: int = 0


def tuned_parts(segmenter: Sam2Segmenter, encoder: Encoder) -> nn.ModuleDict:
    """Freeze a segmenter except for the parts that are trained, which are returned."""
    model: Sam2 = segmenter.model.requires_grad_(False)
    parts = nn.ModuleDict(
        {"prompt_encoder": model.sam_prompt_encoder, "mask_decoder": model.sam_mask_decoder, **encoder.parts()}
    )
    for name, weight in parts.named_parameters():
        weight.requires_grad_(not name.removeprefix("mask_decoder.").startswith(FROZEN))
    return parts


class SegmenterTuning:
    """The training state of a fine-tuning.

    Args:
        segmenter: to be trained; its model is changed.
        rows: what is trained on.
        order: indices into ``rows``, ``max_steps * batch`` of them, as they are drawn.
        tuning: how it is trained.
        folder: of the run; checkpoints go there.
        embeddings: keeps what a frozen encoder makes.
    """

    def __init__(
        self,
        segmenter: Sam2Segmenter,
        rows: Sequence[Row],
        order: Sequence[int],
        tuning: Tuning,
        *,
        folder: Path,
        embeddings: EmbeddingFolder,
    ) -> None:
        self._segmenter, self._order, self._tuning, self._folder = segmenter, order, tuning, folder
        self._viewer = Viewer(rows, segmenter, tuning.seed)
        torch.manual_seed(tuning.seed)
        self._encoder: Encoder = (
            AdaptedEncoder(segmenter, tuning.rank) if tuning.rank else FrozenEncoder(segmenter, embeddings)
        )
        self._state = TrainingState(
            tuned_parts(segmenter, self._encoder),
            TrainingBudget(minutes=1, steps=tuning.max_steps),
            Rates(peak=tuning.learning_rate, weight_decay=0.0, average=tuning.average),
            lambda _: False,
        )

    def resume(self) -> int:
        """Continue from the checkpoint in the run's folder, if there is one; returns how many steps it has made."""
        if (self._folder / CHECKPOINT_FILE).is_file():
            self._state.load(self._folder, self._segmenter.device)
        return self._state.step

    def run(self, log: Callable[[dict[str, float]], None]) -> None:
        """Train to the end; the model then holds the averaged weights.

        Args:
            log: called after each step with its number and its loss.

        Raises:
            SegR1Error: when a picture or the folder of embeddings cannot be read.
        """
        state, tuning = self._state, self._tuning
        with tqdm(total=tuning.max_steps, initial=state.step, desc="training", unit="step") as bar:
            while state.step < tuning.max_steps:
                started = time.monotonic()
                loss = self._loss(state.step)
                state.advance(loss, min(1.0, (state.step + 1) / WARM_UP_STEPS))
                state.seconds += time.monotonic() - started
                log({"step": state.step, "loss": round(loss.item(), 5)})
                bar.update()
                bar.set_postfix_str(f"loss {state.loss:.3f}")
                if state.step % tuning.save_steps == 0 or state.step == tuning.max_steps:
                    state.report({}, self._folder)
        state.model.load_state_dict(state.averaged.module.state_dict())
        self._encoder.finish()
        self._segmenter.model.eval()

    def _loss(self, step: int) -> Tensor:
        """The mean loss of a step's objects, and of the corrective clicks that follow their first prompts."""
        first = step * self._tuning.batch
        views = [
            self._viewer.draw(index, step, place)
            for place, index in enumerate(self._order[first : first + self._tuning.batch])
        ]
        model, features = self._segmenter.model, self._encoder.features(views)
        truth = torch.from_numpy(np.stack([view.truth for view in views])[:, None]).to(features.embed.device)
        wanted, prompts, losses = (truth > 0.5).cpu().numpy(), [view.prompt for view in views], []
        # From no click to all of them: the first answer matters as much as the corrections.
        clicks = int(np.random.default_rng((self._tuning.seed, step)).integers(self._tuning.clicks + 1))
        for remaining in range(clicks, -1, -1):
            logits, quality = decode_masks(model, features, prompts)
            loss, fine = mask_loss(logits, quality, truth, focal=self._tuning.focal)
            losses.append(loss)
            if remaining:
                found = (fine.detach() > 0).cpu().numpy()
                prompts = [
                    add_click(prompt, mask, right, LOSS_STRIDE)
                    for prompt, mask, right in zip(prompts, found[:, 0], wanted[:, 0], strict=True)
                ]
        return torch.stack(losses).mean()
