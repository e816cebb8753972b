"""The metrics equal pysodmetrics where that has a value, and have one everywhere."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_sod_metrics import MAE, Emeasure, Fmeasure, FmeasureHandler, FmeasureV2, IOUHandler, Smeasure, WeightedFmeasure

from segr1_app.domain import Mask
from segr1_app.metrics import (
    Overlap,
    c_iou,
    e_curve,
    e_measure,
    f_curve,
    g_iou,
    iou,
    mae,
    max_of_curves,
    mean_of_curves,
    overlap,
    s_measure,
    weighted_f,
)

ALL = (s_measure, iou, weighted_f, e_measure, mae)


def blob(rng: np.random.Generator, height: int, width: int) -> Mask:
    y, x = np.mgrid[:height, :width]
    cy, cx, ry, rx = rng.uniform(0, height), rng.uniform(0, width), *rng.uniform(2, 30, 2)
    return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1


def reference(pred: Mask, gt: Mask) -> float:
    measure = Smeasure()
    with np.errstate(all="ignore"):
        measure.step(pred.astype(np.float64), gt, normalize=False)
    return float(measure.get_results()["sm"])


@pytest.mark.parametrize("seed", range(60))
def test_s_measure_equals_the_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pred, gt = blob(rng, 48, 64), blob(rng, 48, 64)
    if seed % 3 == 0:
        pred ^= rng.random(pred.shape) > 0.9
    expected = reference(pred, gt)
    if math.isfinite(expected):
        assert s_measure(pred, gt) == pytest.approx(expected, abs=1e-9)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**30))
def test_s_measure_equals_the_library_on_tiny_masks_or_has_a_value_where_it_has_none(
    height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pred, gt = (rng.random((height, width)) > rng.random() for _ in range(2))
    value = s_measure(pred, gt)
    assert 0 <= value <= 1 + 1e-12
    rows, columns = np.nonzero(gt)
    beside_the_edge = len(rows) and (rows.mean().round() + 1 >= height or columns.mean().round() + 1 >= width)
    if not beside_the_edge:
        assert value == pytest.approx(reference(pred, gt), abs=1e-9)


def test_a_view_of_a_mask_counts_like_the_mask() -> None:
    rng = np.random.default_rng(2)
    pred, gt = blob(rng, 40, 50), blob(rng, 40, 50)
    for view in (lambda mask: mask.T, lambda mask: mask[::-1, ::-1], lambda mask: mask[1::2, 3:-5]):
        assert s_measure(view(pred), view(gt)) == s_measure(view(pred).copy(), view(gt).copy())


def shapes() -> dict[str, Mask]:
    def empty() -> Mask:
        return np.zeros((12, 16), dtype=bool)

    named = {name: empty() for name in ("empty", "pixel", "corner", "row", "column", "half", "full")}
    named["pixel"][5, 6] = named["corner"][-1, -1] = named["row"][-1] = True
    named["column"][:, -1] = named["half"][:, 8:] = named["full"][:] = True
    return named


@pytest.mark.parametrize(("pred", "gt"), list(product(shapes(), repeat=2)), ids="-".join)
def test_every_metric_has_a_value_for_every_shape(pred: str, gt: str) -> None:
    for metric in ALL:
        value = metric(shapes()[pred], shapes()[gt])
        assert 0 <= value <= 1
        if pred == gt:
            assert value == pytest.approx(0.0 if metric is mae else 1.0, abs=0.02)


def test_a_wrong_mask_on_the_border_is_not_perfect() -> None:
    named = shapes()
    for name in ("corner", "row", "column"):
        assert s_measure(named["half"], named[name]) < 0.9
        assert s_measure(named["empty"], named[name]) < s_measure(named[name], named[name])


@pytest.mark.parametrize("seed", range(5))
def test_the_wrapped_metrics_are_the_librarys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pred, gt = blob(rng, 40, 50), blob(rng, 40, 50)
    pred[20, 25] = gt[20, 25] = True
    images = pred.astype(np.uint8) * 255, gt.astype(np.uint8) * 255
    weighted, enhanced = WeightedFmeasure(), Emeasure()
    weighted.step(*images)
    enhanced.step(*images)
    assert weighted_f(pred, gt) == pytest.approx(weighted.get_results()["wfm"], abs=1e-9)
    assert e_measure(pred, gt) == pytest.approx(enhanced.get_results()["em"]["adp"], abs=1e-9)


def test_iou_and_mae_by_hand() -> None:
    pred, gt = np.zeros((2, 4), dtype=bool), np.zeros((2, 4), dtype=bool)
    pred[0, :2] = gt[0, 1:3] = True
    assert iou(pred, gt) == 1 / 3
    assert mae(pred, gt) == 2 / 8
    assert iou(gt & False, gt & False) == 1


@pytest.mark.parametrize("metric", ALL)
def test_what_is_not_a_pair_of_masks_is_refused(metric: object) -> None:
    mask = np.ones((3, 4), dtype=bool)
    with pytest.raises(TypeError, match="bool"):
        metric(mask.astype(np.uint8) * 255, mask)  # type: ignore[operator]
    with pytest.raises(ValueError, match="shape"):
        metric(mask, mask.T)  # type: ignore[operator]


def test_tables_of_foreground_equal_the_library() -> None:
    """From files of 0 and 255 on, as the tables of the field are made."""
    rng = np.random.default_rng(5)
    pairs = [(blob(rng, 40, 50), blob(rng, 40, 50)) for _ in range(12)]
    pairs += [(pairs[0][1], pairs[0][1]), (pairs[1][0] & False, pairs[1][1]), (pairs[2][0] | True, pairs[2][1])]
    pairs = [(pred, gt) for pred, gt in pairs if gt.any()]
    threshold_f = FmeasureV2({"fm": FmeasureHandler(with_dynamic=True, with_adaptive=False, beta=0.3)})
    old_f, enhanced, weighted, error = Fmeasure(), Emeasure(), WeightedFmeasure(), MAE()
    for pred, gt in pairs:
        for measure in (threshold_f, old_f, enhanced, weighted, error):
            measure.step(pred.astype(np.uint8) * 255, gt.astype(np.uint8) * 255)
    curves = threshold_f.get_results()["fm"]["dynamic"], old_f.get_results()["fm"]["curve"]
    f_curves, e_curves = [f_curve(*pair) for pair in pairs], [e_curve(*pair) for pair in pairs]
    for curve in curves:
        assert mean_of_curves(f_curves) == pytest.approx(curve.mean(), abs=1e-12)
        assert max_of_curves(f_curves) == pytest.approx(curve.max(), abs=1e-12)
    curve = enhanced.get_results()["em"]["curve"]
    assert mean_of_curves(e_curves) == pytest.approx(curve.mean(), abs=1e-12)
    assert max_of_curves(e_curves) == pytest.approx(curve.max(), abs=1e-12)
    assert np.mean([weighted_f(*pair) for pair in pairs]) == pytest.approx(weighted.get_results()["wfm"], abs=1e-9)
    assert np.mean([mae(*pair) for pair in pairs]) == pytest.approx(error.get_results()["mae"], abs=1e-12)


def test_the_whole_picture_may_beat_the_masks_of_a_data_set() -> None:
    gt: Mask = np.ones((8, 8), dtype=bool)
    gt[0, 0] = False
    curve = f_curve(gt & False, gt)
    assert curve.mask == 0
    assert max_of_curves([curve]) == curve.whole > 0.9
    assert mean_of_curves([curve]) == curve.whole / 256


def test_overlaps_by_hand() -> None:
    pred, gt = np.zeros((2, 4), dtype=bool), np.zeros((2, 4), dtype=bool)
    pred[0, :2] = gt[0, 1:3] = True
    left_out = np.zeros_like(gt)
    left_out[0, 0] = True
    found = overlap(pred, gt), overlap(pred, gt, left_out), overlap(gt & False, gt & False), overlap(pred, gt & False)
    assert found == ((1, 3), (1, 2), (0, 0), (0, 2))
    assert g_iou(found) == pytest.approx((1 / 3 + 1 / 2 + 1 + 0) / 4)
    assert c_iou(found) == 2 / 7
    assert c_iou([Overlap(0, 0)]) == 1
    with pytest.raises(ValueError, match="shape"):
        overlap(pred, gt, left_out.T)


def test_overlaps_of_a_data_set_equal_the_library() -> None:
    rng = np.random.default_rng(0)
    mean, whole = (
        FmeasureV2({"iou": IOUHandler(False, False, with_binary=True, sample_based=sample_based)})
        for sample_based in (True, False)
    )
    found = []
    for _ in range(10):
        pred, gt = blob(rng, 30, 40), blob(rng, 30, 40)
        gt[3, 4] = True
        found.append(overlap(pred, gt))
        for measure in (mean, whole):
            measure.step(pred.astype(np.uint8) * 255, gt.astype(np.uint8) * 255)
    assert g_iou(found) == pytest.approx(mean.get_results()["iou"]["binary"], abs=1e-12)
    assert c_iou(found) == pytest.approx(whole.get_results()["iou"]["binary"], abs=1e-12)
