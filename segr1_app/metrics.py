"""Mask metrics. Rewards, evaluation and the page all call these functions.

Every function takes bool arrays of one shape (height, width) and is defined for every pair of them, including empty,
tiny, full and border-only masks; it never returns NaN. An empty prediction for an empty ground truth is correct.

``pysodmetrics`` imports scikit-learn, which takes most of a second: it is imported only where it is used, so that the
page, which needs only IoU and S-measure, does not wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import cv2
import numpy as np

from segr1_app.domain import Mask

ALPHA = 0.5
"""Weight of the object-aware term of the S-measure, against the region-aware one; as in its paper and in Seg-R1."""


BETA_SQUARED = 0.3
"""Weight of precision in the F-measure (Achanta et al., *Frequency-tuned salient region detection*, CVPR 2009)."""
THRESHOLDS = 256
"""Number of thresholds at which ``pysodmetrics`` cuts an 8-bit prediction."""


class Overlap(NamedTuple):
    """Numbers of pixels in the intersection and in the union of prediction and truth."""

    intersection: int
    union: int

    @property
    def iou(self) -> float:
        """Intersection over union, in [0, 1]."""
        return self.intersection / self.union if self.union else 1.0


class Curve(NamedTuple):
    """A measure over all thresholds; for a binary mask it takes only two values.

    Attributes:
        mask: at every threshold above 0, which leaves the mask unchanged.
        whole: at threshold 0, which makes the whole picture foreground.
    """

    mask: float
    whole: float


def overlap(pred: Mask, gt: Mask, left_out: Mask | None = None) -> Overlap:
    """The overlap of two masks; pixels of ``left_out``, a third mask of their shape, are ignored."""
    _check(pred, gt)
    if left_out is not None:
        _check(left_out, gt)
        pred, gt = pred & ~left_out, gt & ~left_out
    return Overlap(int(np.count_nonzero(pred & gt)), int(np.count_nonzero(pred | gt)))


def iou(pred: Mask, gt: Mask) -> float:
    """Intersection over union, in [0, 1]."""
    return overlap(pred, gt).iou


def g_iou(overlaps: Sequence[Overlap]) -> float:
    """The mean IoU of a data set (gIoU of LISA, arXiv 2308.00692, and of gRefCOCO, arXiv 2306.00968)."""
    return fmean(found.iou for found in overlaps)


def c_iou(overlaps: Sequence[Overlap]) -> float:
    """Cumulative IoU of a data set: the sum of intersections over the sum of unions, so that large objects weigh
    most.
    """
    return Overlap(sum(found.intersection for found in overlaps), sum(found.union for found in overlaps)).iou


def s_measure(pred: Mask, gt: Mask) -> float:
    """Structure measure (Fan et al., *Structure-measure: a new way to evaluate foreground maps*, ICCV 2017), in [0, 1].

    For a binary prediction every mean, deviation and covariance of the definition follows from pixel counts, which is
    much faster than working per pixel. It equals ``pysodmetrics`` except where that is undefined: a quadrant without
    area, next to an object in the last row or column, counts as 0 here.
    """
    _check(pred, gt)
    objects, size = int(np.count_nonzero(gt)), gt.size
    found = int(np.count_nonzero(pred))
    if objects == 0:
        return 1 - found / size
    if objects == size:
        return found / size
    both = pred & gt
    hit = int(np.count_nonzero(both))
    share = objects / size
    background = size - objects
    missed_ground = background - (found - hit)
    object_score = share * _object_score(hit, objects) + (1 - share) * _object_score(missed_ground, background)

    cy, cx = (round(_mean_index(gt, axis)) + 1 for axis in (0, 1))
    region_score = sum(
        _region_score(pred[part], gt[part], both[part]) * gt[part].size / size
        for part in (np.s_[:cy, :cx], np.s_[:cy, cx:], np.s_[cy:, :cx], np.s_[cy:, cx:])
        if gt[part].size
    )
    return max(0.0, ALPHA * object_score + (1 - ALPHA) * region_score)


def weighted_f(pred: Mask, gt: Mask) -> float:
    """Weighted F-measure (Margolin et al., *How to evaluate foreground maps?*, CVPR 2014), by ``pysodmetrics``."""
    _check(pred, gt)
    if not gt.any():
        return float(not pred.any())
    from py_sod_metrics import WeightedFmeasure  # noqa: PLC0415 - see the module

    return float(WeightedFmeasure().cal_wfm(pred.astype(np.float64), gt))


def f_curve(pred: Mask, gt: Mask) -> Curve:
    """F-measure over all thresholds (Achanta et al., CVPR 2009), by ``pysodmetrics``."""
    _check(pred, gt)
    return Curve(_f_measure(pred, gt), _f_measure(np.ones_like(pred), gt))


def e_measure(pred: Mask, gt: Mask) -> float:
    """Enhanced-alignment measure (Fan et al., IJCAI 2018) of the binary mask itself, by ``pysodmetrics``."""
    # The definition divides by the number of pixels minus one, which would put perfect masks slightly above 1.
    return min(e_curve(pred, gt).mask, 1.0)


def e_curve(pred: Mask, gt: Mask) -> Curve:
    """Enhanced-alignment measure over all thresholds, by ``pysodmetrics``; slightly above 1 for a perfect mask."""
    _check(pred, gt)
    from py_sod_metrics import Emeasure  # noqa: PLC0415 - see the module

    measure = Emeasure()
    # As `step` does, which would also try all thresholds although most are equivalent for a binary mask.
    measure.gt_fg_numel, measure.gt_size = int(np.count_nonzero(gt)), gt.size
    values = pred.astype(np.float64)
    return Curve(*(float(measure.cal_em_with_threshold(values, gt, threshold=threshold)) for threshold in (0.5, 0.0)))


def mean_of_curves(curves: Sequence[Curve]) -> float:
    """The mean over thresholds of a data set's mean curve: "mean F" and "mean E" in published tables."""
    mask, whole = _mean_curve(curves)
    return ((THRESHOLDS - 1) * mask + whole) / THRESHOLDS


def max_of_curves(curves: Sequence[Curve]) -> float:
    """The maximum over thresholds of a data set's mean curve: "max F" and "max E" in published tables."""
    return max(_mean_curve(curves))


def mae(pred: Mask, gt: Mask) -> float:
    """Mean absolute error: the fraction of wrong pixels, by ``pysodmetrics``."""
    _check(pred, gt)
    from py_sod_metrics import MAE  # noqa: PLC0415 - see the module

    return float(MAE().cal_mae(pred.astype(np.float64), gt))


def _check(pred: Mask, gt: Mask) -> None:
    """Reject arrays that are not masks: their metrics would look plausible but be wrong."""
    if pred.dtype != np.bool_ or gt.dtype != np.bool_:
        raise TypeError(f"masks are bool arrays, got {pred.dtype} and {gt.dtype}")
    if pred.shape != gt.shape or gt.ndim != 2 or not gt.size:
        raise ValueError(f"masks are of one non-empty shape (height, width), got {pred.shape} and {gt.shape}")


def _f_measure(found: Mask, gt: Mask) -> float:
    objects = int(np.count_nonzero(gt))
    if not objects:
        return float(not found.any())
    from py_sod_metrics import FmeasureHandler, FmeasureV2  # noqa: PLC0415 - see the module

    measure = FmeasureHandler(with_dynamic=False, with_adaptive=False, beta=BETA_SQUARED)
    return float(measure(**FmeasureV2.get_statistics(found, gt, objects, gt.size - objects)))


def _mean_curve(curves: Sequence[Curve]) -> Curve:
    return Curve(fmean(curve.mask for curve in curves), fmean(curve.whole for curve in curves))


def _mean_index(mask: Mask, axis: int) -> float:
    """The mean index along ``axis`` of a mask's pixels, from counts per index, which is faster than listing
    coordinates.
    """
    counts = cv2.reduce(mask.view(np.uint8), 1 - axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel().astype(np.int64)
    return int(counts @ np.arange(counts.size)) / int(counts.sum())


def _object_score(ones: int, count: int) -> float:
    """The object-aware score of ``count`` binary values of which ``ones`` are 1."""
    mean = ones / count
    deviation = math.sqrt(ones * (count - ones) / count / (count - 1)) if count > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + deviation)


def _region_score(pred: Mask, gt: Mask, both: Mask) -> float:
    """The structural similarity of one quadrant; ``both`` is where prediction and truth are foreground."""
    n = gt.size
    found, objects, hit = (int(np.count_nonzero(part)) for part in (pred, gt, both))
    x, y = found / n, objects / n
    # Sums of squares and of products about the means, as integers over n: exactly zero where they should be.
    scale = n * max(n - 1, 1)
    variances = (found * (n - found) + objects * (n - objects)) / scale
    covariance = (hit * n - found * objects) / scale
    alpha, beta = 4 * x * y * covariance, (x**2 + y**2) * variances
    if alpha:
        return alpha / beta
    return 0.0 if beta else 1.0
