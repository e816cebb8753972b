"""Whether it learns: ``python -m tests.benchmarks.learning rl|feedback --out DIR``.

**rl**: GRPO from the cold-started policy, on generated scenes, salient and camouflaged; scored on scenes held out.

**feedback**: camouflaged objects in tall pictures are what the policy is weak at. A simulated annotator corrects 100 of
them through the API of a running app; two trainings of the same length and seed on photographs (``--data``) follow,
one of them with ``--include-feedback``. Both are scored on other pictures of that kind, and on photographs of another
set (``--elsewhere``).

A seed that was interrupted goes on where it was, and one that is done is not run again. ``--write`` puts table and plot
into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from gradio_client import Client, handle_file
from matplotlib.figure import Figure
from PIL import Image

from segr1_app.domain import ImageSize, Mask
from segr1_app.files.json_files import read_json, read_json_lines, write_json
from segr1_app.language.codec import PRESETS
from segr1_app.masks import load_mask
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_SEGMENTER
from segr1_app.studio.trainings import CONFIG, METRICS, POLICY, RESULT
from tests.benchmarks.quality import COLD_START, put_between
from tests.e2e.serving import ROOT, serving
from train.data.pairs import find_pairs
from train.data.prompting import oracle_prompt
from train.data.scenes import INSTRUCTIONS, SIZES, Kind, draw_scene
from train.evaluate import evaluate
from train.finetune.setup import CONFIGS

CONFIG_FILE = CONFIGS / "embedded-learning.yaml"
TRAINED_ON, CORRECTED, HELD_OUT = 1000, 100, 100
"""Scenes for training by GRPO alone, for the annotator, and for scoring."""
SCORED_FROM = 1_000_000
"""The first seed of the scenes for scoring; those of the others begin at 0."""
TALL = (ImageSize(120, 360),)
"""The size of the pictures that the policy is weak at."""
SMOOTHED = 16
"""Steps that a point of the plot is the mean of."""
ANNOTATOR = "simulated"


class Line(NamedTuple):
    """One row of a table: a figure before and after, or without and with, for every seed."""

    name: str
    pairs: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        first, second = (np.array(side) for side in zip(*self.pairs, strict=True))
        change = second - first
        cells = (f"{side.mean():.3f} ± {_spread(side):.3f}" for side in (first, second))
        return f"| {self.name} | {' | '.join(cells)} | {change.mean():+.3f} ± {_spread(change):.3f} |"


def write_scenes(
    folder: Path, kinds: Sequence[Kind], count: int, first: int, sizes: Sequence[ImageSize] = SIZES
) -> Path:
    """A data set of scenes, ``images/`` and ``masks/``, the kinds in turn; named by their number."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        scene = draw_scene(kinds[number % len(kinds)], number, sizes)
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


def annotate(folder: Path, scenes: Path) -> Path:
    """Correct all scenes of a data set through a running app's API; returns the app's data folder.

    The annotator draws the box around what is there and a point at its deepest inside, whatever the policy said.
    """
    home = folder / "data"
    if (folder / "annotated").is_file():
        return home
    folder.mkdir(parents=True, exist_ok=True)
    pairs = find_pairs(scenes / "images", scenes / "masks").pairs
    with serving(folder) as (url, _):
        app = Client(url, verbose=False)
        app.predict([handle_file(pair.image) for pair in pairs], INSTRUCTIONS["camouflaged"], api_name="/add_pictures")
        while (task := app.predict(ANNOTATOR, "imported", api_name="/next_task"))["task"] is not None:
            app.predict(
                annotator=ANNOTATOR,
                task=task["task"],
                verdict="fix",
                objects=[_drawn(load_mask(scenes / "masks" / task["picture_name"]))],
                prediction=task["prediction"],
                parent=task["parent"],
                api_name="/save_decision",
            )
    (folder / "annotated").touch()
    return home


def _drawn(truth: Mask) -> dict[str, Any]:
    """What the annotator draws for a mask, as the canvas would send it."""
    prompt = oracle_prompt(truth)
    assert prompt.box is not None
    points = [{"x": point.x, "y": point.y, "label": point.label} for point in prompt.points]
    return {"box": list(prompt.box.xyxy), "points": points, "name": "", "strokes": [], "start": None}


def scored(policy: Path, data: Path, instruction: str) -> float:
    """The mean S-measure of a policy's masks over a data set."""
    kept = policy.parent / f"s-measure-{data.name}.json"
    if not kept.is_file():
        found = evaluate(
            find_pairs(data / "images", data / "masks").pairs,
            segmenter=Sam2Segmenter.load(str(DEFAULT_SEGMENTER), device="cpu"),
            policy=VlmPolicy.load(policy, device="cpu"),
            instruction=instruction,
            clicks=0,
        )
        assert not found.failures
        write_json(kept, found.summary())
    s_measure: float = read_json(kept)["s_measure"]
    return s_measure


def show_rl(out: Path, seeds: int, given: argparse.Namespace) -> tuple[list[Line], list[Path]]:
    """Held-out scores before and after GRPO."""
    scenes = write_scenes(out / "scenes", ("salient", "camouflaged"), TRAINED_ON, 0)
    runs = [out / f"rl-{seed}" for seed in range(seeds)]
    results = [train(run, [*_length(given), "--data", scenes, "--seed", seed]) for seed, run in enumerate(runs)]
    names = {"reward": "total reward", "s_measure": "S-measure", "iou": "IoU", "format_rate": "format rate"}
    return [
        Line(label, tuple((found["before"]["pairs"][name], found["after"]["pairs"][name]) for found in results))
        for name, label in names.items()
    ], runs


def show_feedback(out: Path, seeds: int, given: argparse.Namespace) -> tuple[list[Line], list[Path]]:
    """S-measure after training without corrections and with them."""
    weak = write_scenes(out / "weak", ("camouflaged",), CORRECTED, 0, TALL)
    unseen = write_scenes(out / "unseen", ("camouflaged",), HELD_OUT, SCORED_FROM, TALL)
    home = annotate(out / "app", weak)
    ways: dict[str, list[object]] = {
        "without": ["--home", out / "nobody"],
        "with": ["--home", home, "--include-feedback"],
    }
    runs = {way: [out / f"{way}-{seed}" for seed in range(seeds)] for way in ways}
    for way, arguments in ways.items():
        for seed, run in enumerate(runs[way]):
            train(run, [*_length(given), "--data", *given.data, "--seed", seed, *arguments])
    measured = (
        ("the weak kind: camouflaged, in tall pictures", unseen, INSTRUCTIONS["camouflaged"]),
        (f"photographs elsewhere: {given.elsewhere.name}", given.elsewhere, PRESETS[0].text),
    )
    return [
        Line(
            name,
            tuple(
                (scored(old / POLICY, data, instruction), scored(new / POLICY, data, instruction))
                for old, new in zip(runs["without"], runs["with"], strict=True)
            ),
        )
        for name, data, instruction in measured
    ], [*runs["without"], *runs["with"]]


SHOWN: dict[str, tuple[Callable[[Path, int, argparse.Namespace], tuple[list[Line], list[Path]]], str]] = {
    "rl": (show_rl, "| held out | cold start | after GRPO | change |"),
    "feedback": (show_feedback, "| S-measure | without corrections | with them | difference |"),
}


def draw(runs: Sequence[Path], file: Path) -> None:
    """The mean reward of every run, over so many steps that single pictures do not show."""
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
    parser.add_argument("what", choices=tuple(SHOWN))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where scenes and runs are kept")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--steps", type=int, metavar="N", help=f"optimiser steps (default: of {CONFIG_FILE.name})")
    parser.add_argument("--data", type=Path, nargs="+", metavar="DIR", help="photographs to train on, for 'feedback'")
    parser.add_argument("--elsewhere", type=Path, metavar="DIR", help="photographs to score on, for 'feedback'")
    parser.add_argument("--write", action="store_true", help="put table and plot into docs/benchmarks.md")
    given = parser.parse_args()
    if given.what == "feedback" and not (given.data and given.elsewhere):
        parser.error("'feedback' needs --data and --elsewhere.")
    show, head = SHOWN[given.what]
    lines, runs = show(given.out.resolve(), given.seeds, given)
    text = "\n".join([head, "|---|---|---|---|", *map(str, lines)])
    print(text)
    if given.write:
        plot = ROOT / "assets" / f"learning-{given.what}.png"
        draw(runs, plot)
        steps = statistics.fmean(json.loads((run / CONFIG).read_text(encoding="utf-8"))["steps"] for run in runs)
        caption = f"Means and standard deviations of {given.seeds} seeds, {steps:.0f} steps each."
        image = f"![The reward as the training goes on, a line per run](../assets/{plot.name})"
        put_between(ROOT / "docs" / "benchmarks.md", f"learning-{given.what}", f"{text}\n\n{caption}\n\n{image}")


if __name__ == "__main__":
    main()
