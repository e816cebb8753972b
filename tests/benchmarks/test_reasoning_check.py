"""A statement holds when its word fits the mask, and fails when the object is plainly otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from segr1_app.domain import Mask, RgbPixels
from tests.benchmarks.reasoning_check import check_reasoning, statements
from train.data.traces import foreground_traits, separate_objects, write_trace


def scene(*boxes: tuple[int, int, int, int]) -> tuple[RgbPixels, Mask]:
    """Orange rectangles (x1, y1, x2, y2) on a green ground of 120 x 90."""
    mask = np.zeros((90, 120), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = True
    pixels = np.full((90, 120, 3), (70, 130, 60), np.uint8)
    pixels[mask] = (225, 130, 40)
    return pixels, mask


@pytest.mark.parametrize("boxes", [((5, 5, 25, 25),), ((60, 30, 110, 80),), ((2, 2, 20, 30), (80, 40, 100, 80))])
def test_every_form_of_a_trace_is_read_and_holds_of_its_own_mask(boxes: tuple[tuple[int, int, int, int], ...]) -> None:
    pixels, mask = scene(*boxes)
    traits = foreground_traits(pixels, mask, len(separate_objects(mask)))
    for seed in range(30):
        reasoning = write_trace(pixels, mask, np.random.default_rng(seed)).reasoning
        assert statements(reasoning) == {name: getattr(traits, name) for name in type(traits).__slots__}
        assert all(check_reasoning(reasoning, pixels, mask).values())


def test_what_is_said_of_another_object_fails() -> None:
    pixels, mask = scene((80, 60, 90, 70))
    said = (
        "there are two objects at the top left. it is blue and blends into the pink background. "
        "it covers a large part of the picture."
    )
    assert set(check_reasoning(said, pixels, mask)) == {"count", "place", "colour", "contrast", "ground", "size"}
    assert not any(check_reasoning(said, pixels, mask).values())
    right = (
        "there is one object at the bottom right. it is orange and stands out from the green background. it is small."
    )
    assert all(check_reasoning(right, pixels, mask).values())
    assert not any(check_reasoning(right, pixels, np.zeros_like(mask)).values()), "nothing is true of nothing"


def test_beside_a_border_between_two_words_both_hold() -> None:
    # The centroid lies at .36 of the width, a little beyond the left third.
    pixels, mask = scene((33, 35, 53, 55))
    for place, holds in (("left", True), ("centre", True), ("right", False), ("top left", False)):
        assert check_reasoning(f"there is one object at the {place}.", pixels, mask)["place"] is holds


def test_other_words_say_nothing() -> None:
    assert statements("A zebra hides in the grass; its stripes give it away.") == {}
    assert check_reasoning("", *scene((5, 5, 25, 25))) == {}
