"""Pictures in which the target depends on the prompt."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.scratch.test_segmenter import write_pairs
from train.data.pairs import PackedPairs, pack_pairs
from train.data.prompted_scenes import draw_view, patch


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> PackedPairs:
    folder = tmp_path_factory.mktemp("data") / "pairs"
    write_pairs(folder, 6)
    return pack_pairs([folder], 64, folder.parent / "cache")


def test_every_prompt_is_about_its_target(pairs: PackedPairs) -> None:
    different = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        pixels, targets, prompts = draw_view(
            pairs, seed % 6, [(seed + 1) % 6, (seed + 2) % 6], prompts=3, close=0.5, rng=rng
        )
        assert pixels.shape == (64, 64, 3)
        assert len(targets) == len(prompts) == 3
        assert all(target.any() and target.shape == (64, 64) for target in targets)
        different += any(not (targets[0] & target).any() for target in targets[1:])
    # Otherwise there would be nothing to follow.
    assert different > 40


def test_a_view_depends_on_the_generator_alone(pairs: PackedPairs) -> None:
    first, again = (draw_view(pairs, 0, [1, 2], prompts=2, close=0.5, rng=np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert first[2] == again[2]


def test_a_patch_is_of_one_colour_and_within_bounds() -> None:
    pixels = np.full((64, 64, 3), 200, np.uint8)
    pixels[20:40, 10:30] = 40
    allowed = np.zeros((64, 64), dtype=bool)
    allowed[:, :32] = True
    found = [patch(pixels, allowed, 0.3, np.random.default_rng(seed)) for seed in range(20)]
    drawn = [mask for mask in found if mask is not None]
    assert drawn
    for mask in drawn:
        assert not (mask & ~allowed).any()
        assert mask.mean() < 0.3
        assert np.ptp(pixels[mask].reshape(-1, 3), axis=0).max() == 0


def test_nothing_allowed_is_not_a_patch() -> None:
    assert patch(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), dtype=bool), 1.0, np.random.default_rng(0)) is None
