"""Confidence intervals of means over pictures: bootstrap percentile intervals (Efron, 1979), by scipy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from scipy.stats import bootstrap

Interval: TypeAlias = tuple[float, float]

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95


def mean_interval(values: Sequence[float]) -> Interval | None:
    """The 95 % confidence interval of the mean of independent values; None for fewer than two.

    Resampling is seeded: the same values give the same interval.
    """
    if len(values) < 2:
        return None
    if min(values) == max(values):
        return float(values[0]), float(values[0])
    found = bootstrap(
        (np.asarray(values, dtype=np.float64),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def grouped_interval(values: Sequence[float], groups: Sequence[str]) -> Interval | None:
    """The 95 % interval of the mean of values that depend on each other within groups.

    Whole groups are drawn (a cluster bootstrap): frames of one film, or one picture's values in several runs.

    Args:
        values: one per picture.
        groups: the group of each value.

    Returns:
        The interval; None for fewer than two groups.

    Raises:
        ValueError: when there are not as many groups as values.
    """
    sums: dict[str, tuple[float, int]] = {}
    for group, value in zip(groups, values, strict=True):
        total, count = sums.get(group, (0.0, 0))
        sums[group] = total + value, count + 1
    if len(sums) < 2:
        return None
    totals, counts = np.array(list(sums.values()), dtype=np.float64).T
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)))
    return float(low), float(high)
