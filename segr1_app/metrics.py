"""How well a mask matches the truth. Rewards, evaluation and the page all call these functions.

Every function takes bool arrays of one shape (height, width) and is defined for every pair of them: empty, tiny, full
and border-only masks included, never NaN. An empty prediction of an empty truth is right.
"""

from __future__ import annotations

import math

import numpy as np
from py_sod_metrics import MAE, Emeasure, WeightedFmeasure

from segr1_app.domain import Mask

ALPHA = 0.5
"""Weight of the object-aware against the region-aware half of the S-measure, as in its paper and in Seg-R1."""


def iou(pred: Mask, gt: Mask) -> float:
    """Intersection over union, in [0, 1]."""
    _check(pred, gt)
    union = int(np.count_nonzero(pred | gt))
    return int(np.count_nonzero(pred & gt)) / union if union else 1.0


def s_measure(pred: Mask, gt: Mask) -> float:
    """Structure measure (Fan et al., *Structure-measure: a new way to evaluate foreground maps*, ICCV 2017), in [0, 1].

    For a binary prediction every mean, deviation and covariance of the definition follows from counts of pixels, so
    they are counted and not computed per pixel. It equals ``pysodmetrics`` but where that has no value: a quadrant
    without area, beside an object in the last row or column, counts nothing here.
    """
    _check(pred, gt)
    objects, size = int(np.count_nonzero(gt)), gt.size
    found = int(np.count_nonzero(pred))
    if objects == 0:
        return 1 - found / size
    if objects == size:
        return found / size
    hit = int(np.count_nonzero(pred & gt))
    share = objects / size
    background = size - objects
    missed_ground = background - (found - hit)
    object_score = share * _object_score(hit, objects) + (1 - share) * _object_score(missed_ground, background)

    rows, columns = np.nonzero(gt)
    cy, cx = int(rows.mean().round()) + 1, int(columns.mean().round()) + 1
    region_score = sum(
        _region_score(pred[part], gt[part]) * gt[part].size / size
        for part in (np.s_[:cy, :cx], np.s_[:cy, cx:], np.s_[cy:, :cx], np.s_[cy:, cx:])
        if gt[part].size
    )
    return max(0.0, ALPHA * object_score + (1 - ALPHA) * region_score)


def weighted_f(pred: Mask, gt: Mask) -> float:
    """Weighted F-measure (Margolin et al., *How to evaluate foreground maps?*, CVPR 2014), by ``pysodmetrics``."""
    _check(pred, gt)
    if not gt.any():
        return float(not pred.any())
    return float(WeightedFmeasure().cal_wfm(pred.astype(np.float64), gt))


def e_measure(pred: Mask, gt: Mask) -> float:
    """Enhanced-alignment measure (Fan et al., IJCAI 2018) of the binary mask itself, by ``pysodmetrics``."""
    _check(pred, gt)
    measure = Emeasure()
    # What `step` sets; it would also try 256 thresholds, which for a mask are all one.
    measure.gt_fg_numel, measure.gt_size = int(np.count_nonzero(gt)), gt.size
    # The definition divides by one pixel less than there are, which would put perfect masks a little above 1.
    return min(float(measure.cal_em_with_threshold(pred.astype(np.float64), gt, threshold=0.5)), 1.0)


def mae(pred: Mask, gt: Mask) -> float:
    """Mean absolute error: the share of pixels that are wrong, by ``pysodmetrics``."""
    _check(pred, gt)
    return float(MAE().cal_mae(pred.astype(np.float64), gt))


def _check(pred: Mask, gt: Mask) -> None:
    """Metrics of arrays that are no masks look plausible and are wrong: refuse them."""
    if pred.dtype != np.bool_ or gt.dtype != np.bool_:
        raise TypeError(f"masks are bool arrays, got {pred.dtype} and {gt.dtype}")
    if pred.shape != gt.shape or gt.ndim != 2 or not gt.size:
        raise ValueError(f"masks are of one non-empty shape (height, width), got {pred.shape} and {gt.shape}")


def _object_score(ones: int, count: int) -> float:
    """The object-aware score of ``count`` binary values of which ``ones`` are 1."""
    mean = ones / count
    deviation = math.sqrt(ones * (count - ones) / count / (count - 1)) if count > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + deviation)


def _region_score(pred: Mask, gt: Mask) -> float:
    """The structural similarity of one quadrant."""
    n = gt.size
    found, objects, hit = (int(np.count_nonzero(part)) for part in (pred, gt, pred & gt))
    x, y = found / n, objects / n
    # Sums of squares and of products about the means, as integers over n: exactly zero where they should be.
    scale = n * max(n - 1, 1)
    variances = (found * (n - found) + objects * (n - objects)) / scale
    covariance = (hit * n - found * objects) / scale
    alpha, beta = 4 * x * y * covariance, (x**2 + y**2) * variances
    if alpha:
        return alpha / beta
    return 0.0 if beta else 1.0
