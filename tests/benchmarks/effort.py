"""The effect of more effort: ``python -m tests.benchmarks.effort --data DIR``, with DIR as for the quality table.

The embedded pair answers the same pictures of report sets at each effort, on one thread, starting from one greedy
answer. Seconds are CPU time, so that other processes on the machine do not count. ``--write`` puts the table
into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

from tqdm import tqdm

from segr1_app.domain import Effort
from segr1_app.images.masks import load_mask
from segr1_app.images.pictures import load_picture
from segr1_app.language.codec import PRESETS
from segr1_app.metrics import iou, s_measure
from segr1_app.models.effort import find_consensus
from segr1_app.models.pipeline import Pipeline, load_models
from segr1_app.settings.config import Settings
from tests.benchmarks.quality import CAMOUFLAGED, SALIENT, put_between, take_one_thread
from tests.e2e.serving import ROOT
from train.data.drawing import draw
from train.data.pairs import Pair, find_pairs
from train.evaluation.intervals import mean_interval

MARK = "effort-table"
SETS = (*SALIENT, *CAMOUFLAGED)
SEED = 0


class Answered(NamedTuple):
    """The scores of one answer, and the CPU time in seconds from the picture to it."""

    s_measure: float
    iou: float
    seconds: float


def answer_all(
    pipeline: Pipeline, pairs: Sequence[Pair], instruction: str, efforts: Sequence[Effort]
) -> dict[Effort, list[Answered]]:
    """Every picture at every effort, in the same order."""
    found: dict[Effort, list[Answered]] = {effort: [] for effort in efforts}
    for pair in tqdm(pairs, unit="picture"):
        picture, truth = load_picture(pair.image), load_mask(pair.mask)
        begun = time.process_time()
        first = pipeline.run(picture, instruction)
        quick = time.process_time() - begun
        for effort in efforts:
            begun = time.process_time()
            mask = find_consensus(pipeline, picture, first, effort, seed=SEED).prediction.mask
            seconds = quick + time.process_time() - begun
            found[effort].append(Answered(s_measure(mask, truth), iou(mask, truth), seconds))
    return found


def gain(more: Sequence[float], less: Sequence[float]) -> str:
    """The mean difference over the same pictures, with its 95 % interval."""
    differences = [a - b for a, b in zip(more, less, strict=True)]
    interval = mean_interval(differences)
    assert interval is not None, "a gain is measured on two pictures or more"
    return f"{statistics.fmean(differences):+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"


def table(results: dict[str, dict[Effort, list[Answered]]]) -> str:
    """The results in Markdown: a row per set and effort, the gains over the quick answers to the same pictures."""
    lines = [
        "| set | effort | S-measure | IoU | seconds | gain in S-measure | gain in IoU |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    for name, efforts in results.items():
        quick = efforts[Effort.QUICK]
        for effort, answers in efforts.items():
            cells = [
                f"{name}, {len(answers)} pictures",
                effort.value,
                f"{statistics.fmean(each.s_measure for each in answers):.3f}",
                f"{statistics.fmean(each.iou for each in answers):.3f}",
                f"{statistics.median(each.seconds for each in answers):.2f}",
            ]
            if effort is Effort.QUICK:
                cells += ["", ""]
            else:
                cells.append(gain([each.s_measure for each in answers], [each.s_measure for each in quick]))
                cells.append(gain([each.iou for each in answers], [each.iou for each in quick]))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.effort", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"folder that holds {', '.join(SETS)}")
    parser.add_argument(
        "--limit", type=int, default=60, metavar="N", help="pictures of each set (default: %(default)s)"
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["duts_te", "camo_test"], metavar="SET")
    parser.add_argument(
        "--efforts",
        nargs="+",
        type=Effort,
        default=[Effort.CAREFUL, Effort.THOROUGH],
        metavar="EFFORT",
        help="what is compared with quick answers (default: careful thorough)",
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    given = parser.parse_args()
    take_one_thread()
    policy, segmenter = load_models(Settings(models="embedded", device="cpu"))
    pipeline = Pipeline(policy, segmenter)
    results = {}
    efforts = [Effort.QUICK, *given.efforts]
    for name in given.sets:
        pairs = draw(find_pairs(given.data / name / "images", given.data / name / "masks").pairs, given.limit, SEED)
        results[name] = answer_all(pipeline, pairs, PRESETS[name in CAMOUFLAGED].text, efforts)
        # Printed after each set, so that an interruption does not lose the others.
        found = table(results)
        print(found, flush=True)
    if given.write:
        put_between(ROOT / "docs" / "benchmarks.md", MARK, found)


if __name__ == "__main__":
    main()
