"""How good the embedded pair is on photographs it never saw: ``python -m tests.benchmarks.quality --data DIR``.

DIR holds the report sets, each with ``images/`` and ``masks/``. Prints a table of IoU / S-measure and one of the goals;
``--write`` also puts the first into docs/benchmarks.md and both into the model card. Every row is what `train.evaluate`
finds, or a mask that no model of ours makes; the centred boxes are the best of several sizes, chosen on the same set on
which they are scored.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr
from tqdm import tqdm

from segr1_app.domain import Box, Mask, ObjectPrompt
from segr1_app.images.masks import load_mask
from segr1_app.images.pictures import Picture, load_picture
from segr1_app.language.codec import PRESETS
from segr1_app.metrics import iou, s_measure
from segr1_app.models.pipeline import load_models
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import Settings
from tests.benchmarks.baselines import Draw, ellipse, filled, from_middle, from_truth, grab_cut
from tests.e2e.serving import ROOT
from train.data.pairs import Pair, find_pairs
from train.evaluation.answering import EvaluatedAnswer, find_answer

SALIENT, CAMOUFLAGED = ("duts_te", "ecssd", "sod"), ("camo_test",)
SETS = (*CAMOUFLAGED, *SALIENT)
"""The report sets: none of them is ever trained on."""
SHARES = (0.5, 0.6, 0.7, 0.8)
"""Sides of the centred box as fractions of the picture's."""
CARD_PAGE = ROOT / "assets" / "models" / "README.md"
MARK, GOALS_MARK = "quality-table", "goals-table"
COLD_START = ROOT / "assets" / "models" / "cold-start"
"""An older, smaller policy that was never rewarded."""
PAIR, ORACLE = "**the embedded pair**", "its segmenter, **oracle** prompts"
CLICKED = {
    1: "with 1 corrective click",
    2: "with 2 corrective clicks",
    3: "with 3 corrective clicks",
}


class Score(NamedTuple):
    """Means over a set.

    Attributes:
        iou, s_measure: of the masks.
        count: of pictures.
        format_rate: None where no policy was asked.
        confidence_rank: how the segmenter's confidence orders its masks by their IoU; None where it was not asked.
    """

    iou: float
    s_measure: float
    count: int
    format_rate: float | None = None
    confidence_rank: float | None = None


Results = Mapping[str, Mapping[str, Score]]
"""Scores by set and row."""


class Goal(NamedTuple):
    """The goal of a row, as the mean over all pictures of a kind."""

    name: str
    row: str
    measure: Literal["iou", "s_measure", "format_rate"]
    salient: float
    camouflaged: float


GOALS = (
    Goal("IoU of the segmenter, oracle prompts", ORACLE, "iou", 0.74, 0.60),
    Goal("with 3 corrective clicks", CLICKED[3], "iou", 0.82, 0.72),
    Goal("S-measure of the pair", PAIR, "s_measure", 0.72, 0.60),
    Goal("format rate", PAIR, "format_rate", 0.995, 0.995),
)


def scored(pairs: Sequence[Pair], answer: Callable[[Picture, Mask], Mask]) -> Score:
    """Score a function that makes a mask from a picture and its ground truth."""
    scores = []
    for pair in pairs:
        picture, truth = load_picture(pair.image), load_mask(pair.mask)
        mask = answer(picture, truth)
        scores.append((iou(mask, truth), s_measure(mask, truth)))
    overlaps, structures = zip(*scores, strict=True)
    return Score(statistics.fmean(overlaps), statistics.fmean(structures), len(scores))


def answered(pairs: Iterable[Pair], ask: Callable[[Picture, Mask], EvaluatedAnswer]) -> Score:
    """Score the models' answers; only what the table shows, as the other metrics take ten times as long."""
    overlaps, structures, formed, judged = [], [], [], []
    for pair in pairs:
        picture, truth = load_picture(pair.image), load_mask(pair.mask)
        answer = ask(picture, truth)
        overlaps.append(iou(answer.mask, truth))
        structures.append(s_measure(answer.mask, truth))
        formed.append(answer.well_formed)
        judged.append((answer.confidence, overlaps[-1]))
    known = [(confidence, overlap) for confidence, overlap in judged if confidence is not None]
    return Score(
        statistics.fmean(overlaps),
        statistics.fmean(structures),
        len(overlaps),
        format_rate=None if None in formed else statistics.fmean(map(bool, formed)),
        confidence_rank=float(spearmanr(*zip(*known, strict=True)).statistic) if known else None,
    )


@cache
def models() -> tuple[VlmPolicy, VlmPolicy, Sam2Segmenter]:
    """The policy, the cold-started one, and the segmenter, in this process."""
    policy, segmenter = load_models(Settings(device="cpu"))
    return policy, VlmPolicy.load(COLD_START, device="cpu"), segmenter


def rows(name: str, pairs: Sequence[Pair]) -> dict[str, Callable[[], Score]]:
    """What scores each row of the table for one set."""
    instruction = PRESETS[name in CAMOUFLAGED].text

    def segmented(box: Box, picture: Picture) -> Mask:
        segmenter = models()[2]
        return segmenter.segment(picture, [ObjectPrompt(box)])[0].mask

    def middle(draw: Draw) -> Score:
        return max(scored(pairs, from_middle(draw, share)) for share in SHARES)

    def truth_box(draw: Draw) -> Score:
        return scored(pairs, from_truth(draw))

    def pipeline(which: int | None, clicks: int) -> Score:
        policies, segmenter = models()[:2], models()[2]
        policy = None if which is None else policies[which]
        return answered(
            pairs,
            lambda picture, truth: find_answer(
                picture, truth, segmenter=segmenter, policy=policy, instruction=instruction, clicks=clicks
            ),
        )

    return {
        "a centred box, filled": partial(middle, filled),
        "a centred ellipse": partial(middle, ellipse),
        "GrabCut from a centred box": partial(middle, grab_cut),
        "a centred box, segmented": partial(middle, segmented),
        "the **oracle** box, filled": partial(truth_box, filled),
        "the **oracle** ellipse": partial(truth_box, ellipse),
        "GrabCut inside the **oracle** box": partial(truth_box, grab_cut),
        PAIR: partial(pipeline, 0, 0),
        "the older, smaller policy in `cold-start/`": partial(pipeline, 1, 0),
        ORACLE: partial(pipeline, None, 0),
        **{row: partial(pipeline, None, clicks) for clicks, row in CLICKED.items()},
    }


def take_one_thread() -> None:
    """Leave the other cores to the other processes."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def score(job: tuple[str, Sequence[Pair], str]) -> Score:
    """The score of a set's pairs in a row."""
    name, pairs, row = job
    return rows(name, pairs)[row]()


def score_all(sets: Mapping[str, Sequence[Pair]], processes: int) -> Results:
    """All rows of all sets, each in one of several processes."""
    jobs = [(name, pairs, row) for name, pairs in sets.items() for row in rows(name, pairs)]
    results: dict[str, dict[str, Score]] = {name: {} for name in sets}
    with ProcessPoolExecutor(processes, get_context("spawn"), take_one_thread) as pool:
        for (name, _, row), found in zip(jobs, tqdm(pool.map(score, jobs), total=len(jobs), unit="row"), strict=True):
            results[name][row] = found
    return results


def table(results: Results) -> str:
    """The results in Markdown: a row per predictor, a column per set; below, format rates and rank correlations."""
    lines = [f"| IoU / S-measure | {' | '.join(results)} |", f"|---|{'---|' * len(results)}"]
    for row in next(iter(results.values())):
        scores = (found[row] for found in results.values())
        lines.append(f"| {row} | {' | '.join(f'{score.iou:.3f} / {score.s_measure:.3f}' for score in scores)} |")
    rates = (found[PAIR].format_rate for found in results.values())
    lines.append(f"| format rate of its policy | {' | '.join(f'{rate:.3f}' for rate in rates)} |")
    ranks = (found[ORACLE].confidence_rank for found in results.values())
    lines.append(f"| rank correlation of its confidence with the IoU | {' | '.join(f'{rank:.2f}' for rank in ranks)} |")
    return "\n".join(lines)


def goal_table(results: Results) -> str:
    """What was reached of each goal, in Markdown: means over all salient and over all camouflaged pictures."""
    lines = ["| goal | salient | camouflaged |", "|---|---|---|"]
    for goal in GOALS:
        cells = []
        for sets, least in ((SALIENT, goal.salient), (CAMOUFLAGED, goal.camouflaged)):
            scores = [results[name][goal.row] for name in sets]
            reached = np.average(
                [getattr(score, goal.measure) for score in scores], weights=[score.count for score in scores]
            )
            cells.append(f"{reached:.3f} of {least:.3f}: {'reached' if reached >= least else '**missed**'}")
        lines.append(f"| {goal.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def put_between(page: Path, mark: str, text: str) -> None:
    """Replace a text in a page between the comments ``<!-- mark -->`` and ``<!-- /mark -->``."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    new, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}\n\n{text}\n\n{end}",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    assert count == 1, f"{page} has no place for {mark}"
    page.write_text(new, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.quality", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"folder that holds {', '.join(SETS)}")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), metavar="N", help="of a gigabyte each (default: one per core)"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/benchmarks.md and the model card"
    )
    given = parser.parse_args()
    sets = {name: find_pairs(given.data / name / "images", given.data / name / "masks").pairs for name in SETS}
    results = score_all(sets, given.processes)
    scores, goals = table(results), goal_table(results)
    print(f"{scores}\n\n{goals}")
    if given.write:
        for page in (ROOT / "docs" / "benchmarks.md", CARD_PAGE):
            put_between(page, MARK, scores)
        put_between(CARD_PAGE, GOALS_MARK, goals)


if __name__ == "__main__":
    main()
