"""Train a small SAM2 (Ravi et al., 2024, arXiv 2408.00714) from scratch on image-mask pairs.

Each picture is encoded once per step and decoded with several simulated prompts, then with corrective clicks on what
came out wrong, as Segment Anything was trained (Kirillov et al., 2023, arXiv 2304.02643, appendix A). Prompts enter
the model where SAM2's own image predictor lets them in, so that the exported folder behaves alike behind
`Sam2Segmenter`.

All chance of a step comes from the seed and the step's number: a resumed run goes on as if it had never stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from hydra.utils import instantiate
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import avg_pool2d, interpolate

from segr1_app.domain import Mask, ObjectPrompt, Point, RgbPixels
from segr1_app.loading import resolve_device
from train.augment import augment
from train.pairs import PackedPairs, draw_chances, hold_out, pack_pairs
from train.prompting import corrective_click, oracle_prompt, simulate_prompt, target_of
from train.run import Budget, Rates, TrainingRun
from train.segmenter_model import (
    LOSS_STRIDE,
    ModelShape,
    Sam2,
    decode,
    encode,
    export,
    mask_loss,
    model_config,
    to_input,
)

logger = logging.getLogger(__name__)

EXPORT_FOLDER = "export"
WARM_UP = 0.03
MASK_INPUT_SHARE = 0.25
"""How often a corrective click comes with the logits it corrects, which the app's own clicks do not."""


@dataclass(frozen=True, slots=True)
class SegmenterConfig:
    """What a training run depends on.

    Attributes:
        data: folders that each hold ``images/`` and ``masks/``.
        out: where checkpoint, learning curve and the ``export/`` folder go.
        cache: where the packed pairs are kept.
        budget: how long to train.
        seed: the source of all chance.
        batch: pictures per step.
        prompts: prompts per picture.
        clicks: most corrective clicks per prompt.
        rates: how the optimisers move.
        holdout: pairs kept out for the learning curve.
        oversample: data sets by name, and the share of the samples each is to make up.
        report_minutes: time between checkpoints, exports and points of the learning curve.
        device: what to train on, as `resolve_device` understands it.
        shape: how large the model is.
    """

    data: tuple[Path, ...]
    out: Path
    cache: Path
    budget: Budget = field(default_factory=lambda: Budget(100))
    seed: int = 0
    batch: int = 8
    prompts: int = 2
    clicks: int = 2
    rates: Rates = field(default_factory=lambda: Rates(peak=2e-3, weight_decay=0.05, average=0.998))
    holdout: int = 100
    oversample: tuple[tuple[str, float], ...] = (("camo_train", 0.2),)
    report_minutes: float = 5.0
    device: str = "auto"
    shape: ModelShape = field(default_factory=ModelShape)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Augmented pictures, and the same number of prompts for each, one picture's after the other's.

    Attributes:
        pictures: uint8 (S, S, 3) each.
        prompts: in the frame of the pictures.
        truth: float (P, 1, S/2, S/2), the share of foreground in each cell, one per prompt.
    """

    pictures: tuple[RgbPixels, ...]
    prompts: tuple[ObjectPrompt, ...]
    truth: Tensor


def draw_batch(pairs: PackedPairs, chances: npt.NDArray[np.float64], config: SegmenterConfig, step: int) -> Batch:
    """The batch of a step: pairs drawn with the given chances, augmented and prompted."""
    rng = np.random.default_rng((config.seed, step))
    drawn = rng.choice(len(pairs), config.batch, p=chances)
    views = [augment(pairs.images[i], pairs.masks[i], rng) for i in drawn]
    targets = [target_of(mask, rng) for _, mask in views for _ in range(config.prompts)]
    return Batch(
        pictures=tuple(pixels for pixels, _ in views),
        prompts=tuple(simulate_prompt(mask, rng) for mask in targets),
        truth=avg_pool2d(torch.from_numpy(np.stack(targets)[:, None].astype(np.float32)), LOSS_STRIDE),
    )


def batch_loss(model: Sam2, batch: Batch, clicks: int, *, feed_masks: bool) -> Tensor:
    """The mean loss over a batch's prompts and over the corrective clicks that follow them."""
    device = model.device
    prompts, low_res, losses = list(batch.prompts), None, []
    truth, wanted = batch.truth.to(device), (batch.truth > 0.5).numpy()
    with _reduced_precision(device):
        features = encode(model, to_input(batch.pictures).to(device)).repeated(len(prompts) // len(batch.pictures))
    for remaining in range(clicks, -1, -1):
        with _reduced_precision(device):
            logits, quality = decode(model, features, prompts, low_res)
        loss, fine = mask_loss(logits, quality, truth)
        losses.append(loss)
        if remaining:
            found = (fine.detach() > 0).cpu().numpy()
            prompts = [add_click(p, found[i, 0], wanted[i, 0], LOSS_STRIDE) for i, p in enumerate(prompts)]
            low_res = logits[:, :1].detach().clamp(-32, 32) if feed_masks else None
    return torch.stack(losses).mean()


@contextmanager
def _reduced_precision(device: torch.device) -> Iterator[None]:
    """bfloat16, on a CPU with plain attention: there, the fused kernel's gradient takes half of a step."""
    backends = [SDPBackend.MATH] if device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    with torch.autocast(device.type, dtype=torch.bfloat16), sdpa_kernel(backends):
        yield


def add_click(prompt: ObjectPrompt, found: Mask, wanted: Mask, stride: int) -> ObjectPrompt:
    """The prompt with a click on what is wrong; the masks are ``stride`` times as coarse as the prompt's frame."""
    click = corrective_click(found, wanted)
    if click is None:
        return prompt
    return ObjectPrompt(prompt.box, (*prompt.points, Point(click.x * stride, click.y * stride, click.label)))


@torch.no_grad()
def validate(model: Sam2, pairs: PackedPairs, indices: Sequence[int], clicks: int = 3) -> dict[str, float]:
    """Mean IoU at the input's size from an exact box and its deepest point, then after each of some clicks."""
    scores = np.zeros((len(indices), clicks + 1))
    for row, i in enumerate(indices):
        wanted = pairs.masks[i] > 127
        features, prompt = encode(model, to_input([pairs.images[i]]).to(model.device)), oracle_prompt(wanted)
        for click in range(clicks + 1):
            logits, _ = decode(model, features, [prompt])
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
        DatasetError: as `pack_pairs`.
        SettingsError: when asked to resume and there is no checkpoint.
    """
    pairs = pack_pairs(config.data, config.shape.image_size, config.cache)
    # An empty mask offers nothing to prompt for.
    usable = [i for i, mask in enumerate(pairs.masks) if (mask > 127).any()]
    held_out = hold_out(pairs, usable, config.holdout)
    chances = draw_chances(pairs, sorted({*usable} - {*held_out}), dict(config.oversample))
    device = resolve_device(config.device)
    torch.manual_seed(config.seed)
    shape = model_config(config.shape)
    run = TrainingRun(
        instantiate(shape.model).to(device),
        config.budget,
        config.rates,
        lambda name: "blocks." in name or "transformer." in name,
    )
    if resume:
        run.load(config.out, device)
    logger.info("%d pairs, %d of them held out; %.2f M parameters", len(pairs), len(held_out), run.parameters / 1e6)
    config.out.mkdir(parents=True, exist_ok=True)
    reported = run.seconds
    while run.progress < 1:
        started = time.monotonic()
        rng = np.random.default_rng((config.seed, run.step, 1))
        # From no click to all of them: the first answer matters as much as the corrections.
        clicks = int(rng.integers(0, config.clicks + 1))
        batch = draw_batch(pairs, chances, config, run.step)
        loss = batch_loss(run.model, batch, clicks, feed_masks=rng.random() < MASK_INPUT_SHARE)
        run.advance(loss, warm=min(1.0, run.progress / WARM_UP + 1e-3))
        run.seconds += time.monotonic() - started
        if run.seconds - reported > config.report_minutes * 60 or run.progress >= 1:
            reported = run.seconds
            averaged = run.averaged.module
            run.report(validate(averaged, pairs, held_out), config.out)
            export(averaged.state_dict(), shape, config.out / EXPORT_FOLDER)
    return config.out / EXPORT_FOLDER
