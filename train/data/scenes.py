"""Generate scenes with exact masks, for training without data sets and for tests.

A salient object differs from its background in colour. A camouflaged one has the background's own pattern, taken from
another position and slightly lighter or darker: its outline is visible only where the pattern breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from segr1_app.domain import ImageSize, Mask
from segr1_app.images.pictures import Picture, picture_from_array

Kind = Literal["salient", "camouflaged"]

INSTRUCTIONS: Final[dict[Kind, str]] = {
    "salient": "Identify and segment all the primary objects.",
    "camouflaged": "Identify and segment the camouflaged object.",
}
"""The instruction for a picture of each kind."""
SIZES = (ImageSize(224, 168), ImageSize(168, 224), ImageSize(196, 196))
_WAVES = 5
"""Number of waves that dent an object's outline."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture and its object: bool (height, width), never empty."""

    picture: Picture
    mask: Mask


def draw_scene(kind: Kind, seed: int, sizes: Sequence[ImageSize] = SIZES) -> Scene:
    """Draw a scene of a kind; for a given seed it is identical on every machine with the same numpy and OpenCV.

    Args:
        kind: how the object differs from its background.
        seed: the only source of randomness.
        sizes: the sizes from which one is chosen.
    """
    rng = np.random.default_rng((seed, kind == "camouflaged"))
    width, height = sizes[int(rng.integers(len(sizes)))]
    mask = _blob(width, height, rng)
    # A larger pattern from which background and object are cut.
    pattern = _pattern(2 * width, 2 * height, rng)
    palette = rng.uniform(40, 190, (2, 3))
    ground = _dye(pattern[:height, :width], palette)
    if kind == "camouflaged":
        body = _dye(pattern[height:, width:], palette) + rng.choice((-1, 1)) * rng.uniform(14, 24)
    else:
        body = _dye(_pattern(width, height, rng), (palette + rng.choice((-1, 1), 3) * rng.uniform(60, 110, 3)) % 256)
    # Thresholding the antialiased outline at one half gives exactly the mask.
    cover = cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0.6)[..., None]
    pixels = ground * (1 - cover) + body * cover + rng.normal(0, 4, (height, width, 3))
    return Scene(picture_from_array(pixels.clip(0, 255).astype(np.uint8)), mask)


def _blob(width: int, height: int, rng: np.random.Generator) -> Mask:
    """A dented ellipse, wholly inside the picture."""
    radii = rng.uniform(0.13, 0.3, 2) * (width, height)
    centre = rng.uniform(radii * 1.3, np.array((width, height)) - radii * 1.3)
    waves, phases = rng.normal(0, 1, _WAVES) / np.arange(2, _WAVES + 2), rng.uniform(0, 2 * np.pi, _WAVES)
    y, x = np.mgrid[:height, :width]
    dx, dy = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    angle = np.arctan2(dy, dx)
    dents = np.zeros_like(angle)
    for count, (wave, phase) in enumerate(zip(waves, phases, strict=True), start=2):
        dents += wave * np.cos(count * angle + phase)
    mask: Mask = np.hypot(dx, dy) <= 1 + 0.25 * np.tanh(dents)
    return mask


def _pattern(width: int, height: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Cloudy noise in [0, 1], float (height, width): four octaves."""
    total: npt.NDArray[np.float64] = np.zeros((height, width))
    for octave in range(4):
        cells = 4 * 2**octave
        grid = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        noise: npt.NDArray[np.float64] = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
        total += noise / 1.6**octave
    scaled: npt.NDArray[np.float64] = (total - total.min()) / (total.max() - total.min())
    return scaled


def _dye(pattern: npt.NDArray[np.float64], palette: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A pattern between two colours, float (height, width, 3)."""
    dyed: npt.NDArray[np.float64] = palette[0] + pattern[..., None] * (palette[1] - palette[0])
    return dyed
