"""Frames, RLE, boxes and points."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt, Point
from segr1_app.geometry import (
    add_point,
    assign_points,
    check_rle,
    clean_mask,
    decode_rle,
    deepest_point,
    encode_rle,
    mask_box,
    policy_frame,
    rescale_objects,
)

QWEN = {"grid": 28, "min_pixels": 56 * 56, "max_pixels": 840 * 840}
SMALL = {"grid": 28, "min_pixels": 27 * 784, "max_pixels": 36 * 784}
SHAPES = [(640, 480), (480, 640), (4000, 500), (500, 4000), (100, 100), (1, 1), (8000, 8000), (1000, 1)]


@pytest.mark.parametrize("bounds", [QWEN, SMALL], ids=["qwen", "embedded"])
@pytest.mark.parametrize("size", SHAPES, ids=str)
def test_the_frame_lies_on_the_grid_and_within_the_bounds(size: tuple[int, int], bounds: dict[str, int]) -> None:
    width, height = policy_frame(ImageSize(*size), **bounds)
    assert width % 28 == height % 28 == 0
    assert min(width, height) >= 28
    assert width * height <= bounds["max_pixels"]
    assert width * height >= min(bounds["min_pixels"], 28 * 28 * (bounds["max_pixels"] // (28 * 28)))


@given(st.integers(20, 6000), st.floats(-2.0, 2.0))
def test_no_other_frame_has_a_clearly_nearer_aspect_ratio(width: int, slant: float) -> None:
    height = max(1, round(width * math.exp(slant)))
    frame = policy_frame(ImageSize(width, height), **SMALL)
    distortion = abs(math.log(frame.width / frame.height * height / width))
    allowed = [
        abs(math.log(columns / rows * height / width))
        for columns in range(1, 37)
        for rows in range(1, 37)
        if 27 <= columns * rows <= 36
    ]
    assert distortion <= min(allowed) + 0.02 + 1e-9


def test_a_picture_that_fits_keeps_its_size() -> None:
    assert policy_frame(ImageSize(560, 420), **QWEN) == (560, 420)
    assert policy_frame(ImageSize(840, 840), **QWEN) == (840, 840)
    assert policy_frame(ImageSize(768, 768), **QWEN) in {(756, 756), (784, 784)}


@pytest.mark.parametrize("bounds", [QWEN, SMALL], ids=["qwen", "embedded"])
@pytest.mark.parametrize("size", [(640, 480), (480, 640), (3200, 400), (400, 3200)], ids=str)
def test_a_box_at_each_corner_comes_back_within_a_policy_pixel(size: tuple[int, int], bounds: dict[str, int]) -> None:
    original = ImageSize(*size)
    frame = policy_frame(original, **bounds)
    w, h = original
    boxes = [Box(0, 0, w / 4, h / 4), Box(w * 0.75, 0, w, h / 4), Box(0, h * 0.75, w / 4, h)]
    boxes.append(Box(w * 0.75, h * 0.75, w, h))
    for box in boxes:
        (seen,) = rescale_objects([ObjectPrompt(box)], from_wh=original, to_wh=frame)
        assert seen.box is not None
        # The policy writes whole numbers.
        written = ObjectPrompt(Box(*(float(round(value)) for value in seen.box.xyxy)))
        (back,) = rescale_objects([written], from_wh=frame, to_wh=original)
        assert back.box is not None
        error = np.abs(np.array(back.box.xyxy) - box.xyxy)
        assert (error <= np.array([w / frame.width, h / frame.height] * 2)).all()


def test_points_are_rescaled_with_their_labels() -> None:
    prompt = ObjectPrompt(None, (Point(10, 20, 0),))
    assert rescale_objects([prompt], from_wh=ImageSize(100, 100), to_wh=ImageSize(200, 50)) == (
        ObjectPrompt(None, (Point(20, 10, 0),)),
    )


def test_an_added_point_goes_where_an_assigned_one_would() -> None:
    boxes = [Box(0, 0, 100, 100), Box(10, 10, 30, 30), Box(200, 0, 260, 60)]
    for point in (Point(20, 20, 1), Point(50, 50, 0), Point(150, 10, 1), Point(500, 500, 0)):
        assert add_point(assign_points(boxes, []), point) == assign_points(boxes, [point])
    assert add_point((), Point(1, 2, 1)) == (ObjectPrompt(None, (Point(1, 2, 1),)),)
    clicked = (ObjectPrompt(None, (Point(1, 2, 1),)),)
    assert add_point(clicked, Point(3, 4, 0)) == (ObjectPrompt(None, (Point(1, 2, 1), Point(3, 4, 0))),)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**20))
def test_rle_survives_json(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) > 0.5
    assert np.array_equal(decode_rle(json.loads(json.dumps(encode_rle(mask)))), mask)
    check_rle(encode_rle(mask))


@pytest.mark.parametrize("counts", ["", "1", "0`0", "o0", "~~~~", "\u00e9", "PPPPPPPPPPPPPPPPPPPPPPP0", "00@A"])
def test_runs_that_do_not_cover_the_mask_are_refused(counts: str) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        check_rle({"size": [3, 4], "counts": counts})


def test_the_box_of_a_mask_ends_just_outside_it() -> None:
    mask = np.zeros((6, 9), dtype=bool)
    assert mask_box(mask) is None
    mask[2:4, 5:9] = True
    assert mask_box(mask) == Box(5, 2, 9, 4)


def test_the_deepest_point_minds_holes_and_the_border() -> None:
    mask = np.ones((21, 41), dtype=bool)
    assert deepest_point(mask) == (10.5, 10.5), "the first of equally deep pixels"
    mask[:, :30] = False
    mask[10, 36] = False
    x, y = deepest_point(mask)
    assert mask[int(y), int(x)]
    assert (int(x), int(y)) != (36, 10)
    disc = np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 20
    shifted = np.empty(disc.size + 64, dtype=bool)
    for offset in range(64):
        view = shifted[offset : offset + disc.size].reshape(disc.shape)
        view[:] = disc
        assert deepest_point(view) == (31.5, 31.5), "wherever in memory the mask lies"
    with pytest.raises(ValueError, match="empty"):
        deepest_point(np.zeros((3, 3), dtype=bool))


def _specked(side: int = 40) -> Mask:
    mask = np.zeros((side, side), dtype=bool)
    mask[5:25, 5:25] = True
    mask[10, 10] = False
    mask[30, 30] = True
    return mask


def test_specks_and_holes_go() -> None:
    cleaned = clean_mask(_specked(), 0.01)
    assert cleaned[10, 10]
    assert not cleaned[30, 30]
    assert cleaned.sum() == 400


def test_what_somebody_clicked_stays() -> None:
    kept = (Point(30.5, 30.5, 1), Point(10.5, 10.5, 0), Point(40, 40, 0))
    assert np.array_equal(clean_mask(_specked(), 0.01, kept), _specked())


def test_a_click_that_says_the_opposite_keeps_nothing() -> None:
    against = (Point(30.5, 30.5, 0), Point(10.5, 10.5, 1), Point(70.5, 30.5, 1), Point(-9.5, 30.5, 1))
    assert np.array_equal(clean_mask(_specked(), 0.01, against), clean_mask(_specked(), 0.01))


@pytest.mark.parametrize("value", [True, False])
def test_a_mask_without_specks_is_itself(value: bool) -> None:
    mask = np.full((8, 8), value)
    assert np.array_equal(clean_mask(mask, 0.5), mask)
