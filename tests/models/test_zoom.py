"""Windows around prompts, and masks made from them."""

from __future__ import annotations

import numpy as np
import pytest

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point
from segr1_app.geometry import deepest_point, mask_box
from segr1_app.metrics import iou
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.models.zoom import Window, prompt_in_window, prompt_window
from segr1_app.settings.config import DEFAULT_SEGMENTER
from tests.scenes import ellipse_scene

SIZE = ImageSize(400, 300)
BOX = Box(100, 100, 140, 120)
SMALL, TRUTH = ellipse_scene(800, 600, (0.3, 0.6), (0.03, 0.05))
FOUND = ObjectPrompt(mask_box(TRUTH), (Point(*deepest_point(TRUTH), 1),))


class TestWindow:
    def test_it_is_larger_than_the_box_on_either_side(self) -> None:
        assert prompt_window(ObjectPrompt(BOX), None, SIZE, 1.5) == Window(90, 95, 60, 30)

    def test_it_is_not_much_longer_than_wide(self) -> None:
        assert prompt_window(ObjectPrompt(Box(100, 100, 200, 110)), None, SIZE, 1.2) == Window(90, 75, 120, 60)

    def test_it_holds_all_that_is_foreground(self) -> None:
        start = np.zeros((30, 40), dtype=bool)
        start[20:25, 10:14] = True
        clicked = ObjectPrompt(BOX, (Point(200, 110, 1), Point(10, 10, 0)))
        assert prompt_window(clicked, None, SIZE, 1.0) == Window(100, 85, 100, 50), (
            "a point for background is no reason"
        )
        assert prompt_window(ObjectPrompt(BOX), start, SIZE, 1.0) == Window(82, 100, 76, 150)

    def test_it_ends_where_the_picture_does(self) -> None:
        assert prompt_window(ObjectPrompt(Box(0, 0, 40, 40)), None, SIZE, 2.0) == Window(0, 0, 60, 60)
        beyond = prompt_window(ObjectPrompt(Box(500, 100, 540, 120)), None, SIZE, 1.2)
        assert beyond is not None
        assert 0 <= beyond.left < beyond.left + beyond.width <= SIZE.width

    @pytest.mark.parametrize("prompt", [ObjectPrompt(None, (Point(9, 9, 1),)), ObjectPrompt(Box(10, 10, 380, 290))])
    def test_without_a_box_or_with_a_large_one_it_is_the_picture(self, prompt: ObjectPrompt) -> None:
        assert prompt_window(prompt, None, SIZE, 1.25) is None

    def test_prompts_are_part_of_it(self) -> None:
        points = (Point(120, 110, 1), Point(10, 10, 0), Point(92, 97, 0), Point(110, 130, 0))
        converted = prompt_in_window(ObjectPrompt(BOX, points, name="cup"), Window(90, 95, 60, 30), ImageSize(120, 60))
        found = (Point(60, 30, 1), Point(4, 4, 0), Point(40, 60, 0))
        assert converted == ObjectPrompt(Box(20, 10, 100, 50), found, name="cup"), "far outside, and a little"

    def test_it_is_the_same_part_at_another_size(self) -> None:
        assert Window(90, 95, 60, 30).rescaled(from_wh=SIZE, to_wh=ImageSize(800, 600)) == Window(180, 190, 120, 60)
        assert Window(399, 299, 1, 1).rescaled(from_wh=SIZE, to_wh=ImageSize(40, 30)) == Window(39, 29, 1, 1)


class TestSegmenter:
    def test_a_small_object_is_found_more_exactly(self, segmenter: Sam2Segmenter) -> None:
        whole = segmenter.decode(segmenter.encode(SMALL), [FOUND])[0]
        (zoomed,) = segmenter.segment(SMALL, [FOUND])
        assert zoomed.mask.shape == TRUTH.shape
        assert iou(zoomed.mask, TRUTH) > iou(whole.mask, TRUTH) + 0.05

    def test_masks_have_any_size_and_refine_others(self, segmenter: Sam2Segmenter) -> None:
        (full,) = segmenter.segment(SMALL, [FOUND])
        (live,) = segmenter.segment(SMALL, [FOUND], size=ImageSize(400, 300))
        assert live.mask.shape == (300, 400)
        assert iou(live.mask, full.mask[::2, ::2]) > 0.9
        tight = FOUND.box
        assert tight is not None
        # A tight box leaves the mask nothing to add.
        loose = ObjectPrompt(Box(tight.x1 - 25, tight.y1 - 25, tight.x2 + 25, tight.y2 + 25))
        (alone,), (refined,) = segmenter.segment(SMALL, [loose]), segmenter.segment(SMALL, [loose], mask_inputs=[TRUTH])
        assert iou(refined.mask, TRUTH) > 0.5
        assert not np.array_equal(refined.mask, alone.mask)

    def test_a_click_beside_the_window_is_looked_at(self, segmenter: Sam2Segmenter) -> None:
        (found,) = segmenter.segment(SMALL, [FOUND])
        assert FOUND.box is not None
        window = prompt_window(FOUND, None, SMALL.size, segmenter.zoom or 1.0)
        assert window is not None
        beside = Point(FOUND.box.x1 + 2, window.top - 3.0, 0)
        (clicked,) = segmenter.segment(SMALL, [ObjectPrompt(FOUND.box, (*FOUND.points, beside))])
        assert not np.array_equal(clicked.mask, found.mask)
        further = Point(beside.x, window.top + 2.0 * window.height, 0)
        (ignored,) = segmenter.segment(SMALL, [ObjectPrompt(FOUND.box, (*FOUND.points, further))])
        assert ignored.confidence == found.confidence

    def test_each_object_is_looked_at_for_itself_and_once(self) -> None:
        fresh = Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu")
        encoded: list[int] = []
        fresh.model.image_encoder.register_forward_hook(lambda *_: encoded.append(1))
        other = ObjectPrompt(Box(600, 60, 700, 140))
        apart = [*fresh.segment(SMALL, [FOUND]), *fresh.segment(SMALL, [other])]
        together = fresh.segment(SMALL, [FOUND, other])
        assert all(np.array_equal(a.mask, b.mask) for a, b in zip(apart, together, strict=True))
        assert len(encoded) == 2
        fresh.segment(SMALL, [ObjectPrompt(FOUND.box, (*FOUND.points, Point(240, 380, 0)))])
        assert len(encoded) == 2, "a click that corrects looks at the same window"


def test_a_segmenter_that_does_not_zoom_sees_the_picture(segmenter: Sam2Segmenter) -> None:
    plain = Sam2Segmenter(segmenter.predictor, "plain")
    (found,), (whole,) = plain.segment(SMALL, [FOUND]), plain.decode(plain.encode(SMALL), [FOUND])
    assert np.array_equal(found.mask, whole.mask)
