"""One-to-one matching (Kuhn, 1955): which of some things belongs to which of others, so that the sum is best."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def match(values: npt.NDArray[np.float64], *, maximize: bool = False) -> tuple[list[int], list[int]]:
    """The rows and columns, as many of each as the smaller side has, whose values have the least or greatest sum.

    Args:
        values: float (R, C), a cost or a gain for every pair.
        maximize: whether they are gains.
    """
    # Half a second that neither the page nor a command that matches nothing has to wait for.
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    rows, columns = linear_sum_assignment(values, maximize=maximize)
    return rows.tolist(), columns.tolist()
