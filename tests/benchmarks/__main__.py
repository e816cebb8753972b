"""Measure speed and memory of the app with the embedded pair: ``python -m tests.benchmarks``; prints one table.

Figures are medians; what is compared takes turns in one process. Goals are those of docs/benchmarks.md. Nothing
here fails: a busy machine is slow, not wrong.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

os.environ["HF_HUB_OFFLINE"] = "1"

from segr1_app.models.pipeline import Pipeline, load_models
from segr1_app.settings.config import Settings
from segr1_app.store import QueueOrder
from segr1_app.store.exchange.formats import FORMATS
from tests.benchmarks.canvas import click_milliseconds, click_overhead
from tests.benchmarks.exchange import COCO_MIB, exchange_speed
from tests.benchmarks.models import policy_overhead, run_to_mask, segmenter_overhead
from tests.benchmarks.next_task import next_task_milliseconds
from tests.benchmarks.page import page_seconds
from tests.benchmarks.store import store_speed
from tests.benchmarks.training import training_overhead
from tests.e2e.serving import find_chromium

PARTS = ("models", "page", "canvas", "store", "exchange", "trl")
GOALS = {
    "run to mask, 640x480, s": 3.0,
    "run to first text, s": 1.0,
    "policy / bare generate": 1.05,
    "segmenter / bare predictor": 1.10,
    "training, but scoring / bare trl": 1.03,
    "training, but scoring / trl with shared pictures": 1.03,
    "first page in a browser, s": 8.0,
    "resident memory of the app, MiB": 2048.0,
    **{f"click to mask in the browser, {size}, ms": 80.0 for size in ("640x480", "4000x3000")},
    **{f"click to mask in the browser, {size}, 95th, ms": 200.0 for size in ("640x480", "4000x3000")},
    **{f"click on the server beyond decoding, {size}, ms": 15.0 for size in ("640x480", "4000x3000")},
    **{f"next task in the browser, {size}, ms": 300.0 for size in ("640x480", "4000x3000")},
    **{f"next task, {order}, ms": 5.0 for order in QueueOrder},
    "save, ms": 10.0,
    "statistics, ms": 300.0,
    "import of 640x480 with masks, /s": 40.0,
    "stored bytes / bytes that came": 3.0,
    **{f"export {form}, /s": 100.0 for form in FORMATS},
    f"memory for a COCO file of {COCO_MIB} MiB, MiB": 100.0,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="runs of each (default: %(default)s)")
    parser.add_argument("--only", choices=PARTS, help="measure one part (default: all)")
    given = parser.parse_args()
    rounds = given.rounds
    policy, segmenter = load_models(Settings(device="cpu"))
    parts: dict[str, list[Callable[[], dict[str, float]]]] = {
        "models": [
            lambda: run_to_mask(Pipeline(policy, segmenter), rounds),
            lambda: policy_overhead(policy, rounds),
            lambda: segmenter_overhead(segmenter, rounds),
        ],
        "page": [lambda: page_seconds(rounds)],
        "canvas": [
            lambda: click_overhead(Pipeline(policy, segmenter), 4 * rounds),
            lambda: click_milliseconds(4 * rounds),
            lambda: next_task_milliseconds(rounds),
        ],
        "store": [lambda: store_speed(rounds)],
        "exchange": [lambda: exchange_speed(20 * rounds)],
        # A round is two trainings of some steps, each of which takes seconds.
        "trl": [lambda: training_overhead(segmenter, max(1, rounds // 3))],
    }
    if find_chromium() is None:
        print("No Chromium on this machine: page and canvas are left out.")
        parts |= {"page": [], "canvas": []}
    print(f"| {'measured':52} | {'median':>9} | {'goal':>8} |\n|{'-' * 54}|{'-' * 10}:|{'-' * 9}:|")
    chosen = [given.only] if given.only else list(parts)
    for part in (part for name in chosen for part in parts[name]):
        for name, value in part().items():
            goal = f"{GOALS[name]:g}" if name in GOALS else ""
            print(f"| {name:52} | {value:9.3f} | {goal:>8} |", flush=True)


if __name__ == "__main__":
    main()
