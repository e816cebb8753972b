"""Train a small SAM2 (Ravi et al., 2024, arXiv 2408.00714) from scratch on image-mask pairs.

Each picture is encoded once per step and decoded with several simulated prompts, then with corrective clicks on what
came out wrong, as Segment Anything was trained (Kirillov et al., 2023, arXiv 2304.02643, appendix A). Prompts enter
the model where SAM2's own image predictor lets them in, so that the exported folder behaves alike behind
`Sam2Segmenter`.

The schedule follows a budget of minutes or of steps. All chance of a step comes from the seed and the step's number: a
resumed run goes on as if it had never stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import avg_pool2d, interpolate
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from segr1_app.domain import DatasetError, Mask, ObjectPrompt, Point, RgbPixels, SegR1Error, SettingsError
from segr1_app.loading import resolve_device
from train.augment import augment
from train.pairs import PackedPairs, pack_pairs
from train.prompting import corrective_click, oracle_prompt, simulate_prompt, target_of
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

CHECKPOINT_FILE, CURVE_FILE, EXPORT_FOLDER = "checkpoint.pt", "curve.json", "export"
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
        minutes: training time after which the schedule has run down, over all resumes together.
        steps: if given, the schedule follows this number of steps instead of the clock.
        seed: the source of all chance.
        batch: pictures per step.
        prompts: prompts per picture.
        clicks: most corrective clicks per prompt.
        learning_rate: its peak.
        weight_decay: of the weights that are matrices.
        average: decay per step of the exponential moving average that is exported.
        holdout: pairs kept out for the learning curve.
        oversample: data sets by name, and the share of the samples each is to make up.
        report_minutes: time between checkpoints, exports and points of the learning curve.
        device: what to train on, as `resolve_device` understands it.
        shape: how large the model is.
    """

    data: tuple[Path, ...]
    out: Path
    cache: Path
    minutes: float = 85.0
    steps: int | None = None
    seed: int = 0
    batch: int = 8
    prompts: int = 2
    clicks: int = 2
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    average: float = 0.998
    holdout: int = 100
    oversample: tuple[tuple[str, float], ...] = (("camo_train", 0.2),)
    report_minutes: float = 5.0
    device: str = "auto"
    shape: ModelShape = field(default_factory=ModelShape)

    def __post_init__(self) -> None:
        if self.minutes <= 0 or (self.steps is not None and self.steps <= 0):
            raise SettingsError("The budget of minutes or steps has to be positive.")


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
    run = _Run(config)
    if resume:
        run.load()
    logger.info("%d pairs, %d of them held out; %.2f M parameters", len(pairs), len(held_out), run.parameters / 1e6)
    config.out.mkdir(parents=True, exist_ok=True)
    reported = run.seconds
    while run.progress < 1:
        started = time.monotonic()
        run.advance(draw_batch(pairs, chances, config, run.step))
        run.seconds += time.monotonic() - started
        if run.seconds - reported > config.report_minutes * 60 or run.progress >= 1:
            reported = run.seconds
            run.report(validate(run.averaged.module, pairs, held_out))
    return config.out / EXPORT_FOLDER


def hold_out(pairs: PackedPairs, usable: Sequence[int], count: int) -> list[int]:
    """Indices of pairs kept for the learning curve: the same ones for the same names, 40 % of them camouflaged."""
    order = sorted(usable, key=lambda i: zlib.crc32(f"{pairs.datasets[i]}/{pairs.stems[i]}".encode()))
    camouflaged = [i for i in order if pairs.datasets[i].startswith("camo")][: count * 2 // 5]
    others = [i for i in order if not pairs.datasets[i].startswith("camo")][: count - len(camouflaged)]
    return sorted(camouflaged + others)


def draw_chances(pairs: PackedPairs, drawn: Sequence[int], shares: dict[str, float]) -> npt.NDArray[np.float64]:
    """The chance of each pair to be drawn: named data sets make up their share, all others to draw from are alike.

    Raises:
        DatasetError: when there is nothing to draw from.
    """
    if not drawn:
        raise DatasetError(f"None of the {len(pairs)} pairs is left to train on: give more, or hold fewer out.")
    plain = np.zeros(len(pairs), dtype=bool)
    plain[list(drawn)] = True
    chances = np.zeros(len(pairs))
    for name, share in shares.items():
        members = plain & (pairs.datasets == name)
        if members.any():
            chances[members] = share / members.sum()
            plain &= ~members
    if plain.any():
        chances[plain] = (1 - chances.sum()) / plain.sum()
    chances /= chances.sum()
    return chances


class _Run:
    """A training under way: model, average, optimisers, and how far the budget is used up."""

    def __init__(self, config: SegmenterConfig) -> None:
        self.config = config
        self.step, self.seconds, self.loss = 0, 0.0, math.nan
        self.curve: list[dict[str, float]] = []
        torch.manual_seed(config.seed)
        self.model_config = model_config(config.shape)
        self.model: Sam2 = instantiate(self.model_config.model).to(resolve_device(config.device)).train()
        self.averaged = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(config.average))  # type: ignore[no-untyped-call]
        self.optimizers = _optimizers(self.model, config)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def progress(self) -> float:
        """The used-up share of the budget."""
        config = self.config
        return self.step / config.steps if config.steps else self.seconds / (60 * config.minutes)

    def advance(self, batch: Batch) -> None:
        """One step on a batch."""
        rng = np.random.default_rng((self.config.seed, self.step, 1))
        # From no click to all of them: the first answer matters as much as the corrections.
        clicks = int(rng.integers(0, self.config.clicks + 1))
        loss = batch_loss(self.model, batch, clicks, feed_masks=rng.random() < MASK_INPUT_SHARE)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        warm, progress = min(1.0, self.progress / WARM_UP + 1e-3), self.progress
        factor = warm * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.averaged.update_parameters(self.model)
        self.step += 1
        value = loss.item()
        self.loss = value if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * value

    def report(self, scores: dict[str, float]) -> None:
        """Log a point of the curve, write the checkpoint and export the averaged weights."""
        point = {
            "minutes": round(self.seconds / 60, 2),
            "steps": self.step,
            "pictures": self.step * self.config.batch,
            "loss": round(self.loss, 4),
            **scores,
        }
        self.curve.append(point)
        logger.info("%s", json.dumps(point))
        out = self.config.out
        (out / CURVE_FILE).write_text(json.dumps(self.curve, indent=1) + "\n")
        partial = out / f"{CHECKPOINT_FILE}.part"
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
        partial.replace(out / CHECKPOINT_FILE)
        export(self.averaged.module.state_dict(), self.model_config, out / EXPORT_FOLDER)

    def load(self) -> None:
        """Go on from the checkpoint in the run's folder."""
        path = self.config.out / CHECKPOINT_FILE
        if not path.is_file():
            raise SettingsError(f"There is no checkpoint '{path}' to resume from: start without --resume.")
        saved = torch.load(path, map_location=self.model.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.averaged.load_state_dict(saved["averaged"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.seconds, self.loss, self.curve = saved["step"], saved["seconds"], saved["loss"], saved["curve"]


def _optimizers(model: Sam2, config: SegmenterConfig) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices inside transformer blocks, AdamW for everything else."""
    named: dict[str, nn.Parameter] = dict(model.named_parameters())
    hidden = {name for name, p in named.items() if p.ndim == 2 and ("blocks." in name or "transformer." in name)}
    matrices = [parameter for name, parameter in named.items() if name in hidden]
    others = [parameter for name, parameter in named.items() if name not in hidden]
    rate = config.learning_rate
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, weight_decay=0.0, betas=(0.9, 0.98)),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 when the data or the settings are at fault."""
    parser = argparse.ArgumentParser(prog="python -m train.segmenter", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders that hold images/ and masks/")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt, curve.json and export/")
    parser.add_argument("--cache", type=Path, help="folder for the packed pairs (default: OUT/packed)")
    parser.add_argument("--minutes", type=float, default=85.0, help="time budget of the schedule (default: 85)")
    parser.add_argument("--steps", type=int, help="a budget of steps in place of the minutes")
    parser.add_argument("--batch", type=int, default=8, help="pictures per step (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="source of all chance (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        config = SegmenterConfig(
            data=tuple(given.data),
            out=given.out,
            cache=given.cache or given.out / "packed",
            minutes=given.minutes,
            steps=given.steps,
            batch=given.batch,
            seed=given.seed,
            device=given.device,
        )
        folder = train_segmenter(config, resume=given.resume)
    except SegR1Error as error:
        parser.exit(1, f"{error}\n")
    logger.info("The segmenter is in %s", folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
