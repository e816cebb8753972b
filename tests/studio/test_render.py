"""Overlays: what is drawn, where, and in which colour."""

from __future__ import annotations

import numpy as np
import pytest

from segr1_app.domain import Box, ObjectMask, ObjectPrompt, Point
from segr1_app.studio.palette import OBJECT_COLOURS, object_colour
from segr1_app.studio.render import draw_overlay

GREY = np.full((240, 320, 3), 128, dtype=np.uint8)


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], dtype=np.int16)


def test_nothing_to_draw_leaves_the_picture_and_the_callers_pixels_alone() -> None:
    pixels = GREY.copy()
    overlay = draw_overlay(pixels, (), ())
    assert overlay is not pixels
    assert np.array_equal(overlay, GREY)
    assert np.array_equal(pixels, GREY)


def test_colours_are_rgb_and_each_object_has_its_own() -> None:
    left, right = np.zeros((2, 240, 320), dtype=bool)
    left[40:200, 20:140] = True
    right[40:200, 180:300] = True
    overlay = draw_overlay(GREY, (ObjectPrompt(), ObjectPrompt()), (ObjectMask(left, 0.9), ObjectMask(right, 0.8)))
    for index, x in enumerate((80, 240)):
        tint = overlay[120, x].astype(np.int16) - 128
        wanted = rgb(OBJECT_COLOURS[index]) - 128
        assert np.dot(tint, wanted) > 0.9 * np.linalg.norm(tint) * np.linalg.norm(wanted)
    assert np.array_equal(overlay[10, 160], GREY[10, 160])


def test_a_hole_is_outlined_and_not_tinted() -> None:
    mask = np.zeros((240, 320), dtype=bool)
    mask[40:200, 40:280] = True
    mask[90:150, 120:200] = False
    overlay = draw_overlay(GREY, (ObjectPrompt(),), (ObjectMask(mask, 0.9),))
    assert np.array_equal(overlay[120, 160], GREY[120, 160])
    edge = overlay[120, 110:130].astype(np.int16)
    assert np.abs(edge - rgb(object_colour(0))).sum(axis=1).min() < 40


def test_outlines_show_on_a_picture_of_the_objects_own_colour() -> None:
    pixels = np.broadcast_to(rgb(object_colour(0)).astype(np.uint8), GREY.shape).copy()
    mask = np.zeros((240, 320), dtype=bool)
    mask[60:180, 80:240] = True
    overlay = draw_overlay(pixels, (ObjectPrompt(),), (ObjectMask(mask, 0.9),))
    assert overlay[120, 70:90].sum(axis=1).min() < 0.5 * pixels[0, 0].sum()


def test_box_and_points_lie_where_the_prompt_says() -> None:
    prompt = ObjectPrompt(Box(60, 50, 260, 190), (Point(100, 100, 1), Point(200, 150, 0)))
    overlay = draw_overlay(GREY, (prompt,), ()).astype(np.int16)
    colour = rgb(object_colour(0))
    for x, y in ((60, 120), (260, 120), (160, 50), (160, 190)):
        window = overlay[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3)
        assert np.abs(window - colour).sum(axis=1).min() < 40, (x, y)
    # Both signs have a horizontal bar; only the plus has a vertical one.
    assert overlay[100, 100].min() > 240
    assert overlay[150, 200].min() > 240
    assert overlay[98, 100].min() > 240
    assert overlay[147, 200].max() < 60


def test_one_pixel_mask_and_a_mask_of_the_whole_frame() -> None:
    one = np.zeros((240, 320), dtype=bool)
    one[239, 319] = True
    for mask in (one, np.ones((240, 320), dtype=bool), np.zeros((240, 320), dtype=bool)):
        overlay = draw_overlay(GREY, (ObjectPrompt(),), (ObjectMask(mask, 0.5),))
        assert overlay.shape == GREY.shape
        assert np.array_equal(overlay, GREY) == (not mask.any())


def test_masks_that_do_not_fit_are_refused() -> None:
    mask = ObjectMask(np.zeros((10, 10), dtype=bool), 0.5)
    with pytest.raises(ValueError, match="does not fit"):
        draw_overlay(GREY, (ObjectPrompt(),), (mask,))
    with pytest.raises(ValueError, match="1 masks were given for 2 objects"):
        draw_overlay(GREY, (ObjectPrompt(), ObjectPrompt()), (ObjectMask(np.zeros((240, 320), dtype=bool), 0.5),))
