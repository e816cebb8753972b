"""One-to-one assignment (Kuhn, 1955)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def match(values: npt.NDArray[np.float64], *, maximize: bool = False) -> tuple[list[int], list[int]]:
    """Rows and columns of the assignment with the least or greatest sum; their number is that of the smaller side.

    Args:
        values: float (R, C), a cost or a gain for every pair.
        maximize: whether they are gains.
    """
    # This import takes half a second; the page and commands without matching should not wait for it.
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    rows, columns = linear_sum_assignment(values, maximize=maximize)
    return rows.tolist(), columns.tolist()
