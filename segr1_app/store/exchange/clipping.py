"""Polygons whose corners lie far outside of the picture, cut off before they are drawn."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from segr1_app.domain import ImageSize

_FAR: Final = 16
"""How far from the origin a polygon may reach, in sides of the picture: drawing allocates memory by coordinates."""


def clip_far(ring: npt.NDArray[np.float64], size: ImageSize) -> npt.NDArray[np.float64]:
    """A polygon, float64 (corners, 2), cut off far outside of the picture (Sutherland and Hodgman, 1974) if it reaches
    further; empty if all of it lies there.
    """
    reach = _FAR * max(size)
    if np.abs(ring).max() <= reach:
        return ring
    for axis in (0, 1):
        for sign in (1, -1):
            ring = _cut(ring, axis, sign, reach)
            if not len(ring):
                return ring
    return ring


def _cut(ring: npt.NDArray[np.float64], axis: int, sign: int, limit: float) -> npt.NDArray[np.float64]:
    """The part of a polygon in which sign * coordinate <= limit."""
    kept: list[npt.NDArray[np.float64]] = []
    for start, end in zip(np.roll(ring, 1, axis=0), ring, strict=True):
        before, after = sign * start[axis] - limit, sign * end[axis] - limit
        if (before > 0) != (after > 0):
            kept.append(start + (end - start) * (before / (before - after)))
        if after <= 0:
            kept.append(end)
    return np.array(kept).reshape(-1, 2)
