"""Randomly crop, flip and recolour a picture and its mask, with a single warp each.

Everything happens in the square frame the segmenter sees, so a crop may change the aspect ratio a little, as squashing
photographs of different shapes does anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from segr1_app.domain import ImageSize, Mask, ObjectPrompt, RgbPixels
from segr1_app.geometry import mask_box
from segr1_app.models.zoom import prompt_window
from train.data.prompting import jitter_box

MIN_SHARE, MAX_SHARE = 0.004, 0.9
"""Range of the foreground fraction of a usable crop; outside it, the whole picture is used."""

CLOSE_ZOOM, CLOSE_ERROR = (1.1, 1.6), 0.15
"""For close views: smallest and largest zoom, and how far each box edge may be off, as a fraction of the box's side."""


class Crop(NamedTuple):
    """A part of a picture, in pixels of the picture."""

    left: float
    top: float
    width: float
    height: float


def augment(
    pixels: RgbPixels, mask: npt.NDArray[np.uint8], rng: np.random.Generator, close: float = 0.0
) -> tuple[RgbPixels, Mask]:
    """A random view of a square picture and its mask.

    Args:
        pixels: uint8 (S, S, 3) RGB.
        mask: uint8 (S, S), 0 to 255, foreground above 127.
        rng: the only source of randomness.
        close: probability of zooming to a box around the mask, as for a segmenter that zooms.

    Returns:
        uint8 (S, S, 3) and bool (S, S), warped together; the mask is never empty unless the given one was.
    """
    side = len(mask)
    crop = _close_crop(mask, rng) if rng.random() < close else _random_crop(mask, rng)
    matrix = _crop_to_square(crop, side, rng)
    warped = _warp(mask, matrix) > 127
    if not MIN_SHARE < warped.mean() < MAX_SHARE:
        matrix = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float64)
        warped = mask > 127
    return jitter_colours(_warp(pixels, matrix), rng), warped


def close_up(
    pixels: RgbPixels, objects: Sequence[Mask], index: int, rng: np.random.Generator
) -> tuple[RgbPixels, list[Mask]]:
    """The zoomed view of a box around one of several objects, with the visible parts of the others.

    Args:
        pixels: uint8 (S, S, 3) RGB.
        objects: bool (S, S) each; the one of ``index`` is not empty.
        index: the object that the box is about.
        rng: the only source of randomness.
    """
    matrix = _crop_to_square(_close_crop(objects[index].astype(np.uint8) * 255, rng), len(pixels), rng)
    warped = [_warp(mask.astype(np.uint8) * 255, matrix) > 127 for mask in objects]
    if warped[index].mean() < MIN_SHARE:
        return pixels, list(objects)
    return _warp(pixels, matrix), [mask for mask in warped if mask.mean() > MIN_SHARE]


def jitter_colours(pixels: RgbPixels, rng: np.random.Generator) -> RgbPixels:
    """Brightness, contrast, saturation and white balance, each changed a little; one picture in twenty turns grey."""
    saturation = 0.0 if rng.random() < 0.05 else rng.uniform(0.6, 1.4)
    gains = rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 3)
    contrast = rng.uniform(0.75, 1.25)
    # One affine map of a colour: away from its grey, away from the picture's mean, and each channel scaled.
    saturate = saturation * np.eye(3) + (1 - saturation) / 3
    middle = float(np.mean(cv2.mean(pixels)[:3]))
    matrix = np.column_stack([gains[:, None] * contrast * saturate, gains * middle * (1 - contrast)])
    return cv2.transform(pixels, matrix).astype(np.uint8, copy=False)


def _random_crop(mask: npt.NDArray[np.uint8], rng: np.random.Generator) -> Crop:
    """A random crop: mostly all of the picture, or the surroundings of the object."""
    side = len(mask)
    rows, columns = np.flatnonzero(mask.max(axis=1) > 127), np.flatnonzero(mask.max(axis=0) > 127)
    if rng.random() < 0.5 or not len(rows):
        width, height = side * rng.uniform(0.75, 1.0, 2)
        return Crop(rng.uniform(0, side - width), rng.uniform(0, side - height), width, height)
    object_wh = np.array([np.ptp(columns) + 1, np.ptp(rows) + 1])
    extent = float(object_wh.max()) * rng.uniform(1.1, 3.0)
    width, height = np.clip(extent * np.exp(rng.uniform(-0.2, 0.2, 2)), side / 6, side)
    left = columns[0] + object_wh[0] / 2 - width * rng.uniform(0.25, 0.75)
    top = rows[0] + object_wh[1] / 2 - height * rng.uniform(0.25, 0.75)
    return Crop(float(np.clip(left, 0, side - width)), float(np.clip(top, 0, side - height)), width, height)


def _close_crop(mask: npt.NDArray[np.uint8], rng: np.random.Generator) -> Crop:
    """The view of `segr1_app.models.zoom` for a box close to the mask's; the whole picture if the view would show
    most of it.
    """
    whole = ImageSize(len(mask), len(mask))
    tight = mask_box(mask > 127)
    box = tight and jitter_box(tight, CLOSE_ERROR, whole, rng)
    return Crop(*(prompt_window(ObjectPrompt(box), None, whole, rng.uniform(*CLOSE_ZOOM)) or (0, 0, *whole)))


def _crop_to_square(crop: Crop, side: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The 2 x 3 matrix that maps a crop of the picture to the whole square, randomly mirrored and rotated."""
    left, top, width, height = crop
    angle = np.deg2rad(rng.uniform(-12, 12)) if rng.random() < 0.3 else 0.0
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    scale = np.diag([mirror * side / width, side / height])
    tilt = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = tilt @ scale
    centre = np.array([left + width / 2, top + height / 2])
    return np.column_stack([linear, np.full(2, side / 2) - linear @ centre])


def _warp(values: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    side = len(values)
    warped = cv2.warpAffine(values, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return warped.astype(np.uint8, copy=False)
