"""Composed scenes contain the stated objects, and a word selects one of them only if it is unambiguous."""

from __future__ import annotations

import numpy as np

from segr1_app.domain import Mask, RgbPixels
from segr1_app.geometry import box_iou, mask_box
from train.data.composing import MOST_UNEVEN, compose, distinguishing_words, paste, put_beside
from train.data.traces import COLOURS, WHICH, WORDINGS, vocabulary

SIDE = 96


def picture(colour: str, x1: int, y1: int, x2: int, y2: int) -> tuple[RgbPixels, Mask]:
    """A rectangle of a named colour on a white ground."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[y1:y2, x1:x2] = True
    pixels = np.full((SIDE, SIDE, 3), COLOURS["white"], np.uint8)
    pixels[mask] = COLOURS[colour]
    return pixels, mask


def scene(*parts: tuple[str, int, int, int, int]) -> tuple[RgbPixels, list[Mask]]:
    """Several rectangles on one white ground."""
    pieces = [picture(*part) for part in parts]
    pixels = np.min([pixels for pixels, _ in pieces], axis=0)
    return pixels, [mask for _, mask in pieces]


def test_pasted_objects_lie_apart_and_the_picture_shows_them() -> None:
    ground, own = picture("green", 10, 10, 40, 40)
    pixels, mask = picture("red", 20, 30, 80, 60)
    composed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found, objects = compose(ground, own, [(pixels, mask.astype(np.uint8) * 255)], rng)
        assert found.shape == ground.shape
        if len(objects) == 1:
            continue
        composed += 1
        boxes = [box for box in map(mask_box, objects) if box]
        assert len(boxes) == 2
        assert box_iou(*boxes) == 0
        assert boxes[0].x1 <= boxes[1].x1
        pasted = next(part for part in objects if not (part & own).any())
        assert np.abs(found[pasted].mean(axis=0) - COLOURS["red"]).max() < 30
        unchanged = ~np.any(objects, axis=0)
        assert (np.abs(found[unchanged].astype(int) - ground[unchanged]).sum(axis=1) > 0).mean() < 0.05
    assert composed > 10
    assert (ground[own] == COLOURS["green"]).all(), "the ground itself is left as it was"


def test_an_object_that_finds_no_place_or_is_empty_is_left_out() -> None:
    ground, own = picture("green", 0, 0, SIDE, SIDE)
    pixels, mask = picture("red", 20, 30, 80, 60)
    nothing = np.zeros((SIDE, SIDE), np.uint8)
    others = [(pixels, mask.astype(np.uint8) * 255), (pixels, nothing)]
    found, objects = compose(ground, own, others, np.random.default_rng(0))
    assert len(objects) == 1
    assert (found == ground).all()


def test_words_mean_the_object_that_leads_by_far() -> None:
    means = distinguishing_words(*scene(("red", 5, 40, 20, 55), ("blue", 60, 10, 90, 40)))
    assert means == {"left": 0, "right": 1, "top": 1, "bottom": 0, "largest": 1, "smallest": 0, "red": 0, "blue": 1}


def test_words_that_would_fit_both_mean_neither() -> None:
    means = distinguishing_words(*scene(("red", 5, 40, 25, 60), ("red", 60, 42, 81, 62)))
    assert means == {"left": 0, "right": 1}
    three = distinguishing_words(*scene(("red", 2, 2, 12, 12), ("blue", 40, 40, 60, 60), ("blue", 70, 70, 95, 95)))
    assert three["smallest"] == 0
    assert "largest" not in three
    assert "blue" not in three


def test_every_word_of_such_an_instruction_is_a_token() -> None:
    known = set(vocabulary())
    for wording in WORDINGS:
        for which in (*WHICH, *COLOURS):
            assert set(wording.format(which=which).rstrip(".").split()) <= known


def test_pasted_objects_keep_their_owners() -> None:
    ground, own = picture("green", 10, 10, 40, 40)
    others = [picture("red", 20, 30, 80, 60), picture("blue", 30, 20, 60, 60)]
    cut = [(pixels, mask.astype(np.uint8) * 255) for pixels, mask in others]
    seen = set()
    for seed in range(20):
        found, objects, owners = paste(ground, own, cut, np.random.default_rng(seed))
        for part, owner in zip(objects, owners, strict=True):
            shown = found[part].mean(axis=0)
            assert np.abs(shown - COLOURS[("green", "red", "blue")[owner]]).max() < 40
            seen.add(owner)
    assert seen == {0, 1, 2}


def test_pictures_side_by_side_keep_their_shapes_and_objects() -> None:
    views = [picture("red", 10, 10, 50, 50), picture("blue", 20, 40, 80, 90)]
    shapes = set()
    for seed in range(10):
        scene, (first, second), size = put_beside(views, [1.5, 0.1], np.random.default_rng(seed))
        assert scene.shape[:2] == first.shape == second.shape == (size.height, size.width)
        shapes.add(size)
        assert not (first & second).any()
        assert np.abs(scene[first].mean(axis=0) - COLOURS["red"]).max() < 20
        assert np.abs(scene[second].mean(axis=0) - COLOURS["blue"]).max() < 20
    lengths = 1.5 + 1 / MOST_UNEVEN, 1 / 1.5 + MOST_UNEVEN
    expected = {(round(SIDE * lengths[0]), SIDE), (SIDE, round(SIDE * lengths[1]))}
    assert shapes == expected
