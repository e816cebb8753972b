"""Demonstrations that training works: ``python -m tests.benchmarks.learning rl|photographs|segmenter --out
DIR``.

**rl**: GRPO from the cold-started policy, on generated scenes, salient and camouflaged; scored on scenes held out.

**photographs**: 30 and 100 corrections of a kind of photograph that the shipped policy is weak at (``--kind``), made by
a simulated annotator through the API of a running app; scored on other pictures of the kind and on sets of ``--data``.

**segmenter**: the segmenter learns from the corrections of **photographs**, in the same ``--out``; scored alone, and
together with the policy that learnt from them.

Interrupted runs are resumed, and finished ones are not repeated. ``--write`` puts table and plot into the
documentation.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from segr1_app.files.json_files import read_json, read_json_lines
from segr1_app.studio.trainings import CONFIG, METRICS, RESULT
from tests.benchmarks import segmenter_photographs
from tests.benchmarks.photographs import ELSEWHERE, KNOWN, demonstrate, plot_scores
from tests.benchmarks.quality import COLD_START, put_between
from tests.e2e.serving import ROOT
from train.data.scenes import Kind, draw_scene
from train.finetune.setup import CONFIGS

CONFIG_FILE = CONFIGS / "embedded-learning.yaml"
TRAINED_ON = 1000
"""Scenes."""
SMOOTHED = 16
"""Steps that a point of the plot is the mean of."""


class Line(NamedTuple):
    """One row of a table: a figure before and after, or without and with, for every seed."""

    name: str
    pairs: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        first, second = (np.array(side) for side in zip(*self.pairs, strict=True))
        change = second - first
        cells = (f"{side.mean():.3f} ± {_spread(side):.3f}" for side in (first, second))
        return f"| {self.name} | {' | '.join(cells)} | {change.mean():+.3f} ± {_spread(change):.3f} |"


def write_scenes(folder: Path, kinds: Sequence[Kind], count: int) -> Path:
    """A data set of scenes, ``images/`` and ``masks/``, alternating between the kinds; named by number."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        scene = draw_scene(kinds[number % len(kinds)], number)
        Image.fromarray(scene.picture.pixels).save(folder / "images" / f"{number}.png")
        Image.fromarray(scene.mask.astype(np.uint8) * 255).save(folder / "masks" / f"{number}.png")
    return folder


def train(run: Path, arguments: Iterable[object]) -> dict[str, Any]:
    """``python -m train.grpo`` into a folder, unless it is done; its held-out scores before and after."""
    if not (run / RESULT).is_file():
        command = [sys.executable, "-m", "train.grpo", "--config", CONFIG_FILE, "--policy", COLD_START, *arguments]
        command += ["--output-dir", run, *(["--resume"] if (run / CONFIG).is_file() else [])]
        subprocess.run([str(part) for part in command], cwd=ROOT, check=True)
    result: dict[str, Any] = read_json(run / RESULT)
    return result


def show_rl(out: Path, seeds: int, given: argparse.Namespace) -> tuple[list[Line], list[Path]]:
    """Held-out scores before and after GRPO."""
    scenes = write_scenes(out / "scenes", ("salient", "camouflaged"), TRAINED_ON)
    runs = [out / f"rl-{seed}" for seed in range(seeds)]
    results = [train(run, [*_length(given), "--data", scenes, "--seed", seed]) for seed, run in enumerate(runs)]
    names = {"reward": "total reward", "s_measure": "S-measure", "iou": "IoU", "format_rate": "format rate"}
    return [
        Line(label, tuple((found["before"]["pairs"][name], found["after"]["pairs"][name]) for found in results))
        for name, label in names.items()
    ], runs


def draw(runs: Sequence[Path], file: Path) -> None:
    """The mean reward of every run, smoothed over enough steps to hide single pictures."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    for run in runs:
        rewards = [record["reward"] for record in read_json_lines(run / METRICS) if "reward" in record]
        window = min(SMOOTHED, len(rewards))
        means = np.convolve(rewards, np.full(window, 1 / window), mode="valid")
        axes.plot(range(window, len(rewards) + 1), means, label=run.name)
    axes.set_xlabel("step")
    axes.set_ylabel(f"reward, mean of {SMOOTHED} steps")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=110)


def _length(given: argparse.Namespace) -> list[object]:
    return ["--max-steps", given.steps] if given.steps else []


def _spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """The standard deviation over seeds; 0 for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.learning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("rl", "photographs", "segmenter"))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where data and runs are kept")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--steps", type=int, metavar="N", help=f"of 'rl' (default: of {CONFIG_FILE.name})")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help=f"for all but 'rl': holds {', '.join((*KNOWN, *ELSEWHERE))}"
    )
    parser.add_argument(
        "--kind", type=Path, metavar="DIR", help="for all but 'rl': what is corrected (default: polyps in --data)"
    )
    parser.add_argument("--write", action="store_true", help="put table and plot into the documentation")
    given = parser.parse_args()
    plot = ROOT / "assets" / f"learning-{given.what}.png"
    if given.what != "rl" and given.data is None:
        parser.error(f"'{given.what}' needs --data.")
    if given.what != "rl":
        show = demonstrate if given.what == "photographs" else segmenter_photographs.demonstrate
        text, kind, seeds = show(given.kind or given.data / "polyps", given.data, given.out.resolve(), given.seeds)
        print(text)
        if given.write:
            plot_scores(kind, seeds, plot)
            image = f"![The IoU by the number of corrections, a line per seed](../assets/{plot.name})"
            put_between(ROOT / "docs" / "training.md", f"learning-{given.what}", f"{text}\n\n{image}")
        return
    lines, runs = show_rl(given.out.resolve(), given.seeds, given)
    text = "\n".join(["| held out | cold start | after GRPO | change |", "|---|---|---|---|", *map(str, lines)])
    print(text)
    if given.write:
        draw(runs, plot)
        steps = statistics.fmean(json.loads((run / CONFIG).read_text(encoding="utf-8"))["steps"] for run in runs)
        caption = f"Means and standard deviations of {given.seeds} seeds, {steps:.0f} steps each."
        image = f"![The reward as the training goes on, a line per run](../assets/{plot.name})"
        put_between(ROOT / "docs" / "benchmarks.md", "learning-rl", f"{text}\n\n{caption}\n\n{image}")


if __name__ == "__main__":
    main()
