"""How an answer is scored and what a set's table contains, by family of benchmark.

A score is a flat mapping of numbers, as in the log of a run; a table is computed from the scores alone, so that an
interrupted run, or one of several processes, gives exactly the same numbers as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import numpy as np

from segr1_app import metrics
from segr1_app.domain import Mask
from segr1_app.metrics import Curve, Overlap
from train.evaluation.benchmarks.question import Target

Score = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ScoringMethod:
    """The scoring of a family of benchmarks.

    Attributes:
        score: the numbers of one answer, including "iou", by which the worst are found.
        table: the numbers of a set, computed from the scores of all its questions.
        definitions: descriptions of the numbers, by name.
    """

    score: Callable[[Mask, Target], dict[str, float]]
    table: Callable[[Sequence[Score]], dict[str, float]]
    definitions: Mapping[str, str]


def _score_foreground(pred: Mask, target: Target) -> dict[str, float]:
    gt = target.mask
    f, e = metrics.f_curve(pred, gt), metrics.e_curve(pred, gt)
    return {
        "s_measure": metrics.s_measure(pred, gt),
        "weighted_f": metrics.weighted_f(pred, gt),
        "f": f.mask,
        "f_whole": f.whole,
        "e": e.mask,
        "e_whole": e.whole,
        "mae": metrics.mae(pred, gt),
        "iou": metrics.iou(pred, gt),
    }


def _foreground_table(scores: Sequence[Score]) -> dict[str, float]:
    f_curves = [Curve(score["f"], score["f_whole"]) for score in scores]
    e_curves = [Curve(score["e"], score["e_whole"]) for score in scores]
    return {
        "s_measure": fmean(score["s_measure"] for score in scores),
        "weighted_f": fmean(score["weighted_f"] for score in scores),
        "mean_f": metrics.mean_of_curves(f_curves),
        "max_f": metrics.max_of_curves(f_curves),
        "mean_e": metrics.mean_of_curves(e_curves),
        "max_e": metrics.max_of_curves(e_curves),
        "mae": fmean(score["mae"] for score in scores),
        "iou": fmean(score["iou"] for score in scores),
    }


def _score_overlap(pred: Mask, target: Target) -> dict[str, float]:
    found = metrics.overlap(pred, target.mask, target.left_out)
    kept = np.ones_like(pred) if target.left_out is None else ~target.left_out
    return {
        "intersection": found.intersection,
        "union": found.union,
        "iou": found.iou,
        "target_pixels": int(np.count_nonzero(target.mask & kept)),
        "found_pixels": int(np.count_nonzero(pred & kept)),
    }


def _overlap_table(scores: Sequence[Score]) -> dict[str, float]:
    overlaps = [Overlap(int(score["intersection"]), int(score["union"])) for score in scores]
    table = {"g_iou": metrics.g_iou(overlaps), "c_iou": metrics.c_iou(overlaps)}
    empty = [score["found_pixels"] == 0 for score in scores if not score["target_pixels"]]
    there = [score["found_pixels"] > 0 for score in scores if score["target_pixels"]]
    if empty:
        table |= {"no_target_count": len(empty), "n_acc": fmean(empty)}
        table |= {"t_acc": fmean(there)} if there else {}
    return table


FOREGROUND: Final = ScoringMethod(
    _score_foreground,
    _foreground_table,
    {
        "s_measure": "structure measure, alpha 0.5 (Fan et al., ICCV 2017), mean over pictures; equals pysodmetrics "
        "except next to an object in the last row or column, where the library has no value",
        "weighted_f": "weighted F-measure, beta² 1 (Margolin et al., CVPR 2014), mean over pictures",
        "mean_f, max_f": "F-measure, beta² 0.3 (Achanta et al., CVPR 2009): the curve over 256 thresholds, mean over "
        "pictures, then its mean and its maximum",
        "mean_e, max_e": "enhanced-alignment measure (Fan et al., IJCAI 2018), in the same way",
        "mae": "mean absolute error, mean over pictures",
        "iou": "intersection over union, mean over pictures",
    },
)
OVERLAPS: Final = ScoringMethod(
    _score_overlap,
    _overlap_table,
    {
        "g_iou": "mean over questions of intersection over union; an empty mask for an empty target counts as 1",
        "c_iou": "sum of all intersections over sum of all unions; a mask for an empty target adds to the unions",
        "n_acc": "fraction of questions without a target that are answered with an empty mask",
        "t_acc": "fraction of questions with a target that are not",
    },
)
