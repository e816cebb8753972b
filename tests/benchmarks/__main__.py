"""Measure speed and memory of the app with the embedded pair: ``python -m tests.benchmarks``; prints one table.

Figures are medians; the sides of a comparison alternate in one process. Goals are those of docs/benchmarks.md. Nothing
here fails: a busy machine is slow, not wrong.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from functools import cache

os.environ["HF_HUB_OFFLINE"] = "1"

from segr1_app.models.pipeline import Pipeline, load_models
from segr1_app.settings.config import Settings
from segr1_app.store import QueueOrder
from segr1_app.store.exchange.formats import FORMATS
from tests.benchmarks.canvas import click_milliseconds, click_overhead
from tests.benchmarks.exchange import COCO_MIB, FULL_COCO_MIB, FULL_PICTURES, PICTURES, exchange_speed
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
    **{f"memory for a COCO file of {mib} MiB, MiB": 250.0 for mib in (COCO_MIB, FULL_COCO_MIB)},
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="runs of each (default: %(default)s)")
    parser.add_argument("--only", choices=PARTS, help="measure one part (default: all)")
    parser.add_argument(
        "--full",
        action="store_true",
        help=f"import and export {FULL_PICTURES} pictures and read {FULL_COCO_MIB} MiB of COCO, instead of {PICTURES} "
        f"and {COCO_MIB} MiB (ten minutes)",
    )
    given = parser.parse_args()
    rounds = given.rounds
    models = cache(lambda: load_models(Settings(device="cpu")))
    exchanged = (FULL_PICTURES, FULL_COCO_MIB) if given.full else (PICTURES, COCO_MIB)
    parts: dict[str, list[Callable[[], Iterable[tuple[str, float]]]]] = {
        "models": [
            lambda: run_to_mask(Pipeline(*models()), rounds).items(),
            lambda: policy_overhead(models()[0], rounds).items(),
            lambda: segmenter_overhead(models()[1], rounds).items(),
        ],
        "page": [lambda: page_seconds(rounds).items()],
        "canvas": [
            lambda: click_overhead(Pipeline(*models()), 4 * rounds).items(),
            lambda: click_milliseconds(4 * rounds).items(),
            lambda: next_task_milliseconds(rounds).items(),
        ],
        "store": [lambda: store_speed(rounds).items()],
        "exchange": [lambda: exchange_speed(*exchanged)],
        # A round is two trainings of some steps, each of which takes seconds.
        "trl": [lambda: training_overhead(models()[1], max(1, rounds // 3)).items()],
    }
    if find_chromium() is None:
        print("No Chromium on this machine: page and canvas are left out.")
        parts |= {"page": [], "canvas": []}
    print(f"| {'measured':52} | {'median':>9} | {'goal':>8} |\n|{'-' * 54}|{'-' * 10}:|{'-' * 9}:|")
    chosen = [given.only] if given.only else list(parts)
    for part in (part for name in chosen for part in parts[name]):
        for name, value in part():
            goal = f"{GOALS[name]:g}" if name in GOALS else ""
            print(f"| {name:52} | {value:9.3f} | {goal:>8} |", flush=True)


if __name__ == "__main__":
    main()
