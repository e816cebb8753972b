"""Generated scenes are repeatable, their masks exact, and camouflage is harder to see than colour."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from segr1_app.domain import ImageSize
from train.data.scenes import Kind, Scene, draw_scene

KINDS: tuple[Kind, Kind] = ("salient", "camouflaged")


def contrast(scene: Scene) -> float:
    """Distance of the mean colours on both sides of the outline."""
    kernel = np.ones((9, 9), np.uint8)
    inside = scene.mask & ~cv2.erode(scene.mask.astype(np.uint8), kernel).astype(bool)
    outside = cv2.dilate(scene.mask.astype(np.uint8), kernel).astype(bool) & ~scene.mask
    pixels = scene.picture.pixels.astype(float)
    return float(np.linalg.norm(pixels[inside].mean(axis=0) - pixels[outside].mean(axis=0)))


@pytest.mark.parametrize("kind", ["salient", "camouflaged"])
def test_a_seed_makes_one_scene_with_one_object_inside_the_picture(kind: Kind) -> None:
    scenes = [draw_scene(kind, seed) for seed in range(12)]
    assert len({scene.picture.sha256 for scene in scenes}) == 12
    assert draw_scene(kind, 3).picture.sha256 == scenes[3].picture.sha256
    for scene in scenes:
        assert scene.mask.shape == scene.picture.pixels.shape[:2]
        assert 0.02 < scene.mask.mean() < 0.5
        assert cv2.connectedComponents(scene.mask.astype(np.uint8))[0] == 2


def test_camouflage_shows_less() -> None:
    shown = {kind: np.median([contrast(draw_scene(kind, seed)) for seed in range(12)]) for kind in KINDS}
    assert shown["camouflaged"] < 50
    assert shown["salient"] > 80


def test_pictures_have_the_sizes_asked_for() -> None:
    tall = ImageSize(60, 180)
    assert {draw_scene("camouflaged", seed, [tall]).picture.size for seed in range(4)} == {tall}
