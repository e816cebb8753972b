"""Ellipses and rotations, which several tools write by their numbers and not by corners."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from segr1_app.store.exchange.coordinates import Ring

CORNERS: Final = 64
"""Corners of the polygon that stands for an ellipse."""


def ellipse(rx: float, ry: float) -> Ring:
    """The corners of an ellipse about the origin, float64 (64, 2), by its radii along x and y."""
    angles = np.arange(CORNERS) * 2 * math.pi / CORNERS
    corners: Ring = np.stack([rx * np.cos(angles), ry * np.sin(angles)], axis=1)
    return corners


def rotated(ring: Ring, radians: float) -> Ring:
    """Corners, float64 (N, 2), rotated about the origin, clockwise as displayed."""
    sine, cosine = math.sin(radians), math.cos(radians)
    turned: Ring = ring @ np.array([[cosine, sine], [-sine, cosine]])
    return turned
