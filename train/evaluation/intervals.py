"""How sure a mean over pictures is: percentile intervals by bootstrap (Efron, 1979), by scipy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from scipy.stats import bootstrap

Interval: TypeAlias = tuple[float, float]

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95


def mean_interval(values: Sequence[float]) -> Interval | None:
    """The 95 % interval of the mean of values that were drawn independently; None for fewer than two.

    The draw is seeded: the same values give the same interval.
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
