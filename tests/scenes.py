"""Pictures with a known mask, for tests that must know the truth: a bright ellipse on a dark, uneven ground."""

from __future__ import annotations

import numpy as np

from segr1_app.domain import Mask
from segr1_app.images.pictures import Picture, picture_from_array


def ellipse_scene(
    width: int, height: int, centre: tuple[float, float], radii: tuple[float, float], seed: int = 0
) -> tuple[Picture, Mask]:
    """An orange ellipse on grey-green noise; ``centre`` and ``radii`` are fractions of width and height."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 12, (height // 16 + 1, width // 16 + 1))
    ground = np.kron(coarse, np.ones((16, 16)))[:height, :width] + rng.normal(0, 6, (height, width))
    pixels = np.stack([ground + 70, ground + 95, ground + 75], axis=-1)
    y, x = np.mgrid[:height, :width]
    mask = ((x / width - centre[0]) / radii[0]) ** 2 + ((y / height - centre[1]) / radii[1]) ** 2 <= 1
    pixels[mask] = np.array([225, 130, 40]) + rng.normal(0, 10, (int(mask.sum()), 3))
    return picture_from_array(pixels.clip(0, 255).astype(np.uint8)), mask
