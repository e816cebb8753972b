"""Train a small SAM2 (Ravi et al., 2024, arXiv 2408.00714) from scratch on image-mask pairs.

Each picture is encoded once per step and decoded with several simulated prompts, then with corrective clicks on errors,
as Segment Anything was trained (Kirillov et al., 2023, arXiv 2304.02643, appendix A). Prompts enter the model in the
same way as in SAM2's own image predictor, so that the exported folder behaves the same in `Sam2Segmenter`.

The randomness of a step depends only on the seed and the step's number: a resumed run continues as if it had never
stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from hydra.utils import instantiate
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import avg_pool2d, interpolate

from segr1_app.domain import Mask, ObjectPrompt, Point
from segr1_app.models.loading import resolve_device
from segr1_app.models.segmenter import Sam2Segmenter
from train.data.pairs import PackedPairs
from train.data.prefetch import drawn_ahead
from train.data.prompted_scenes import draw_view
from train.data.prompting import corrective_click, oracle_prompt
from train.scratch.run import (
    Rates,
    TrainingBudget,
    TrainingConfig,
    TrainingState,
    load_data,
    load_exported_weights,
    reduced_precision,
)
from train.scratch.segmenter_model import (
    LOSS_STRIDE,
    ModelShape,
    Sam2,
    decode_masks,
    encode,
    export,
    mask_loss,
    model_config,
    to_input,
)

WARM_UP = 0.03
CLOSE_VIEWS = 0.5
"""Probability of a zoomed view as in the app (`segr1_app.models.zoom`); otherwise any view, because GRPO also uses
whole pictures.
"""
MOST_BESIDE = 2
"""Largest number of pictures whose objects are pasted next to a picture's own."""
MASK_INPUT_SHARE = 0.25
"""Probability that a corrective click comes with the logits that it corrects; the app's own clicks do not."""


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig(TrainingConfig):
    """The configuration for training a segmenter.

    Attributes:
        batch: pictures per step.
        prompts: prompts per picture.
        clicks: largest number of corrective clicks per prompt.
        shape: the size of the model.
    """

    budget: TrainingBudget = field(default_factory=lambda: TrainingBudget(100))
    rates: Rates = field(default_factory=lambda: Rates(peak=2e-3, weight_decay=0.05, average=0.998))
    batch: int = 8
    prompts: int = 3
    clicks: int = 5
    shape: ModelShape = field(default_factory=ModelShape)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Augmented pictures, and the same number of prompts for each, grouped by picture.

    Attributes:
        pictures: uint8 (B, S, S, 3).
        prompts: P, in the frame of the pictures.
        truth: float (P, 1, S/2, S/2), the fraction of foreground in each cell, one per prompt.
    """

    pictures: npt.NDArray[np.uint8]
    prompts: tuple[ObjectPrompt, ...]
    truth: Tensor


def draw_batch(pairs: PackedPairs, chances: npt.NDArray[np.float64], config: SegmenterConfig, step: int) -> Batch:
    """The batch of a step: pairs drawn with the given probabilities, augmented and prompted."""
    rng = np.random.default_rng((config.seed, step))
    drawn = rng.choice(len(pairs), config.batch, p=chances)
    beside = rng.choice(len(pairs), (config.batch, MOST_BESIDE), p=chances)
    views = [
        draw_view(pairs, int(i), [int(other) for other in others], prompts=config.prompts, close=CLOSE_VIEWS, rng=rng)
        for i, others in zip(drawn, beside, strict=True)
    ]
    targets = [target for _, of_view, _ in views for target in of_view]
    return Batch(
        pictures=np.stack([pixels for pixels, _, _ in views]),
        prompts=tuple(prompt for _, _, asked in views for prompt in asked),
        truth=avg_pool2d(torch.from_numpy(np.stack(targets)[:, None].astype(np.float32)), LOSS_STRIDE),
    )


def prompts_loss(model: Sam2, batch: Batch, clicks: int, *, feed_masks: bool) -> Tensor:
    """The mean loss over a batch's prompts and over the corrective clicks that follow them."""
    device = model.device
    prompts, low_res, losses = list(batch.prompts), None, []
    truth, wanted = batch.truth.to(device), (batch.truth > 0.5).numpy()
    with _precision(device):
        features = encode(model, to_input(batch.pictures, device)).repeated(len(prompts) // len(batch.pictures))
    for remaining in range(clicks, -1, -1):
        with _precision(device):
            logits, quality = decode_masks(model, features, prompts, low_res)
        loss, fine = mask_loss(logits, quality, truth)
        losses.append(loss)
        if remaining:
            found = (fine.detach() > 0).cpu().numpy()
            clicked = partial(add_click, stride=LOSS_STRIDE)
            prompts = list(_threads().map(clicked, prompts, found[:, 0], wanted[:, 0]))
            low_res = logits[:, :1].detach().clamp(-32, 32) if feed_masks else None
    return torch.stack(losses).mean()


@contextmanager
def _precision(device: torch.device) -> Iterator[None]:
    """Reduced precision; on a CPU with plain attention, because there the fused kernel's gradient takes half of a
    step.
    """
    backends = [SDPBackend.MATH] if device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    with reduced_precision(device), sdpa_kernel(backends):
        yield


@cache
def _threads() -> ThreadPoolExecutor:
    """Threads that find the largest errors in parallel, because a GPU waits for the result."""
    return ThreadPoolExecutor()


def add_click(prompt: ObjectPrompt, found: Mask, wanted: Mask, stride: int) -> ObjectPrompt:
    """The prompt with a click on an error; the masks are ``stride`` times as coarse as the prompt's frame."""
    click = corrective_click(found, wanted)
    if click is None:
        return prompt
    return ObjectPrompt(prompt.box, (*prompt.points, Point(click.x * stride, click.y * stride, click.label)))


@torch.no_grad()
def validate(model: Sam2, pairs: PackedPairs, indices: Sequence[int], clicks: int = 3) -> dict[str, float]:
    """Mean IoU at the input's size from an exact box and its deepest point, then after each of several clicks."""
    scores = np.zeros((len(indices), clicks + 1))
    for row, i in enumerate(indices):
        wanted = pairs.masks[i] > 127
        features, prompt = encode(model, to_input(pairs.images[i : i + 1], model.device)), oracle_prompt(wanted)
        for click in range(clicks + 1):
            logits, _ = decode_masks(model, features, [prompt])
            upsampled = interpolate(logits[:, :1], wanted.shape, mode="bilinear", align_corners=False)
            found = (upsampled > 0)[0, 0].cpu().numpy()
            scores[row, click] = (found & wanted).sum() / (found | wanted).sum()
            prompt = add_click(prompt, found, wanted, 1)
    camouflaged = np.array([pairs.datasets[i].startswith("camo") for i in indices])
    named = {"camouflaged": scores[camouflaged], "salient": scores[~camouflaged]}
    return {
        f"{name}_iou_{click}_clicks": round(float(part[:, click].mean()), 4)
        for name, part in named.items()
        if len(part)
        for click in range(clicks + 1)
    }


def train_segmenter(config: SegmenterConfig, *, resume: bool = False) -> Path:
    """Train, and return the folder of the exported segmenter.

    Raises:
        DatasetError: as `load_data`.
        ModelError: when the model to start from cannot be loaded.
        SettingsError: when asked to resume and there is no checkpoint, or to start from a model of another shape.
    """
    data = load_data(config, config.shape.image_size)
    device = resolve_device(config.device)
    torch.manual_seed(config.seed)
    built = model_config(config.shape)
    model: Sam2 = instantiate(built.model)
    if config.start:
        load_exported_weights(model, Sam2Segmenter.load(config.start, device="cpu").model, config.start)
    run = TrainingState(
        model.to(device),
        config.budget,
        config.rates,
        lambda name: "blocks." in name or "transformer." in name,
    )
    if resume:
        run.load(config.out, device)

    batches = drawn_ahead(partial(draw_batch, data.pairs, data.chances, config), run.step, config.workers)

    def loss() -> tuple[Tensor, float]:
        rng = np.random.default_rng((config.seed, run.step, 1))
        # From no click to all of them: the first answer matters as much as the corrections.
        clicks = int(rng.integers(0, config.clicks + 1))
        warm = min(1.0, run.progress / WARM_UP + 1e-3)
        return prompts_loss(run.model, next(batches), clicks, feed_masks=rng.random() < MASK_INPUT_SHARE), warm

    def scores() -> dict[str, float]:
        averaged = run.averaged.module
        export(averaged.state_dict(), built, config.export)
        return validate(averaged, data.pairs, data.held_out)

    run.fit(config, loss, scores)
    return config.export
