"""The reward against the obvious way to compute it: ``python -m tests.benchmarks.rewards``; prints one table, and puts
it into docs/benchmarks.md with ``--write``.

The obvious way, that of the public code of Seg-R1, builds SAM2 at every call, encodes the picture for every completion
and computes the S-measure with ``pysodmetrics``. Both are given the same completions and weights (sam2.1-tiny at 1024,
random) and must come to the same rewards. "Again" is a picture that the cache still holds.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Sequence

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from py_sod_metrics import Smeasure
from sam2.build_sam import build_sam2
from sam2.sam2_image_predictor import SAM2ImagePredictor

from segr1_app.domain import Box, Mask, ObjectPrompt, Point
from segr1_app.geometry import rescale_objects
from segr1_app.language.codec import format_completion, parse_completion
from segr1_app.metrics import iou, s_measure
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.sam2_predictor import Sam2Predictor
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.rewards import SEG_R1, Truth
from segr1_app.settings.config import DEFAULT_POLICY
from segr1_app.studio.trainings import ROOT
from tests.benchmarks.models import alternate, scene, seconds
from tests.benchmarks.quality import put_between
from train.data.rows import Example, Row
from train.finetune.trl_reward import Answerer, SegR1Reward
from train.finetune.trl_rows import ExampleReader

TINY = "configs/sam2.1/sam2.1_hiera_t.yaml"
WIDTH, HEIGHT = 640, 480
GOALS = {4: (3.0, 30.0), 8: (6.0, 30.0)}
"""Group size: how many times faster on first sight of a picture, and again."""


def obvious_rewards(
    policy: VlmPolicy, weights: dict[str, torch.Tensor], example: Example, texts: Sequence[str]
) -> list[float]:
    """The rewards of completions, the obvious way."""
    model = build_sam2(TINY, device="cpu")
    model.load_state_dict(weights)
    predictor = SAM2ImagePredictor(model)
    truth, picture, rewards = example.truth.mask, example.picture, []
    assert truth is not None
    for text in texts:
        frame = policy.frame(picture.size)
        parsed = parse_completion(text, frame)
        union: Mask = np.zeros(truth.shape, dtype=bool)
        for prompt in rescale_objects(parsed.objects, from_wh=frame, to_wh=picture.size):
            assert prompt.box is not None
            with torch.inference_mode():
                predictor.set_image(picture.pixels.copy())
                masks, _, _ = predictor.predict(
                    np.array([(p.x, p.y) for p in prompt.points], dtype=np.float32),
                    np.array([p.label for p in prompt.points]),
                    np.array(prompt.box.xyxy, dtype=np.float32),
                    multimask_output=False,
                )
            union |= masks[0].astype(bool)
        overlap = iou(union, truth)
        structure = library_s_measure(union, truth) if overlap > 0 else 0.0
        rewards.append(float(parsed.well_formed) + 0.7 * overlap + 0.3 * structure)
    return rewards


def library_s_measure(pred: Mask, gt: Mask) -> float:
    """The S-measure by ``pysodmetrics``."""
    measure = Smeasure()
    measure.step(pred.astype(np.uint8) * 255, gt.astype(np.uint8) * 255)
    return float(measure.get_results()["sm"])


def completions(policy: VlmPolicy, example: Example, count: int) -> list[str]:
    """Different, well-formed completions, each of one box and two points."""
    width, height = policy.frame(example.picture.size)
    prompts = [
        ObjectPrompt(Box(5 + n, 6 + n, width - 9, height - 7), (Point(width / 2, height / 2, 1), Point(2 + n, 2, 0)))
        for n in range(count)
    ]
    return [format_completion("there.", [prompt]) for prompt in prompts]


def example_of(seed: int) -> Example:
    picture = scene(WIDTH, HEIGHT, seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return Example(picture, Truth((x - WIDTH / 2) ** 2 + (y - HEIGHT / 2) ** 2 < (HEIGHT / 4) ** 2))


def measure_group(policy: VlmPolicy, segmenter: Sam2Segmenter, example: Example, group: int) -> tuple[float, ...]:
    """Seconds of one reward call for a group: the obvious way, here on first sight, and here again."""
    row = Row(example.picture.sha256, "s", "pair", "i", lambda: example)
    reward = SegR1Reward(ExampleReader([row]), Answerer(policy, segmenter), SEG_R1)
    texts = completions(policy, example, group)
    ours: list[float | None] = []
    theirs: list[float] = []

    def here() -> None:
        ours[:] = reward(
            completions=[[{"content": text}] for text in texts],
            completion_ids=[[0]] * group,
            index=[0] * group,
            source=["s"] * group,
            log_metric=lambda *_: None,
        )

    first, again = seconds(here), seconds(here)
    weights = segmenter.model.state_dict()
    obvious = seconds(lambda: theirs.extend(obvious_rewards(policy, weights, example, texts)))
    np.testing.assert_allclose(np.array(ours, dtype=float), theirs, atol=1e-6)
    return obvious, first, again


def measured(seed: int, policy: VlmPolicy, segmenter: Sam2Segmenter) -> dict[str, tuple[float, float, float]]:
    """What is measured once: seconds of the obvious way and here, and how many times faster that should be."""
    found = {}
    for group, (sight, cached) in GOALS.items():
        obvious, first, again = measure_group(policy, segmenter, example_of(100 * group + seed), group)
        found[f"reward of {group} completions, first sight"] = obvious, first, sight
        found[f"reward of {group} completions, picture cached"] = obvious, again, cached
    rng = np.random.default_rng(seed)
    truth = example_of(seed).truth.mask
    assert truth is not None
    noisy = truth ^ (rng.random(truth.shape) < 0.1)
    assert abs(s_measure(noisy, truth) - library_s_measure(noisy, truth)) < 1e-9
    alone = alternate(lambda _: s_measure(noisy, truth), lambda _: library_s_measure(noisy, truth), 20)
    found[f"S-measure at {WIDTH} x {HEIGHT}"] = alone.bare, alone.ours, 10.0
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.rewards", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    given = parser.parse_args()
    policy = VlmPolicy.load(DEFAULT_POLICY, device="cpu")
    torch.manual_seed(0)
    segmenter = Sam2Segmenter(Sam2Predictor(build_sam2(TINY, device="cpu")), "sam2.1-tiny, random")
    runs = [measured(seed, policy, segmenter) for seed in range(given.seeds)]
    lines = ["| seconds | obvious way | here | times faster | goal |", "|---|---:|---:|---:|---:|"]
    for name in runs[0]:
        obvious, here, (goal, *_) = zip(*(run[name] for run in runs), strict=True)
        faster = [slow / quick for slow, quick in zip(obvious, here, strict=True)]
        spread = statistics.stdev(faster) if len(faster) > 1 else 0.0
        means = f"{statistics.fmean(obvious):.3g} | {statistics.fmean(here):.3g}"
        lines.append(f"| {name} | {means} | {statistics.fmean(faster):.1f} ± {spread:.1f} | {goal:g} |")
    text = "\n".join(lines)
    print(text)
    if given.write:
        caption = f"Means of {given.seeds} runs with sam2.1-tiny (random weights) at 1024 px on a CPU."
        put_between(ROOT / "docs" / "benchmarks.md", "reward-speed", f"{text}\n\n{caption}")


if __name__ == "__main__":
    main()
