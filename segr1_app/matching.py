"""One-to-one assignment (Kuhn, 1955)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def match(values: npt.NDArray[np.float64], *, maximize: bool = False) -> tuple[list[int], list[int]]:
    """The rows and columns of the assignment with the least or greatest sum; as many as the smaller side has.

    Args:
        values: float (R, C), a cost or a gain for every pair.
        maximize: whether they are gains.
    """
    # An import of half a second, which the page and commands without matching should not wait for.
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    rows, columns = linear_sum_assignment(values, maximize=maximize)
    return rows.tolist(), columns.tolist()
