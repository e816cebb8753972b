"""Cold-start traces say what is true of picture and mask, in words and prompts the policy can learn."""

from __future__ import annotations

import numpy as np
import pytest

from segr1_app.domain import Box, Mask, RgbPixels
from segr1_app.geometry import mask_box
from segr1_app.language.codec import format_completion, parse_completion
from train.data.traces import INSTRUCTIONS, foreground_traits, separate_objects, vocabulary, write_trace
from train.scratch.policy_model import build_tokenizer

COLOUR, GROUND = (225, 130, 40), (70, 130, 60)


def scene(*boxes: tuple[int, int, int, int]) -> tuple[RgbPixels, Mask]:
    """Orange rectangles (x1, y1, x2, y2) on a green ground of 120 x 90."""
    mask = np.zeros((90, 120), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = True
    pixels = np.full((90, 120, 3), GROUND, np.uint8)
    pixels[mask] = COLOUR
    return pixels, mask


@pytest.mark.parametrize(
    ("box", "place", "size"),
    [
        ((5, 5, 25, 25), "top left", "small"),
        ((80, 60, 118, 88), "bottom right", "medium"),
        ((40, 30, 80, 60), "centre", "medium"),
        ((50, 2, 70, 20), "top", "small"),
        ((0, 10, 70, 80), "left", "large"),
    ],
)
def test_place_and_size_are_those_of_the_mask(box: tuple[int, int, int, int], place: str, size: str) -> None:
    traits = foreground_traits(*scene(box), count=1)
    assert (traits.place, traits.size) == (place, size)


def test_colour_and_contrast_are_those_of_the_picture() -> None:
    pixels, mask = scene((40, 30, 80, 60))
    traits = foreground_traits(pixels, mask, count=1)
    assert (traits.colour, traits.ground, traits.contrast) == ("orange", "green", "stands out from")
    pixels[mask] = np.array(GROUND) + 6
    traits = foreground_traits(pixels, mask, count=1)
    assert (traits.colour, traits.contrast) == ("green", "blends into")
    foreground_traits(pixels, np.ones_like(mask), count=1)


def test_separate_parts_are_objects_from_left_to_right() -> None:
    _, mask = scene((80, 10, 110, 40), (10, 50, 40, 80))
    assert [mask_box(part) for part in separate_objects(mask)] == [Box(10, 50, 40, 80), Box(80, 10, 110, 40)]
    for boxes in (
        ((10, 10, 50, 50),),
        ((10, 10, 50, 50), (60, 60, 64, 64)),
        tuple((x, 10, x + 10, 40) for x in (0, 20, 40, 60)),
    ):
        _, mask = scene(*boxes)
        (whole,) = separate_objects(mask)
        assert np.array_equal(whole, mask), "small and numerous parts stay together"
    _, ring = scene((10, 10, 90, 80))
    ring[15:75, 15:85] = False
    ring[30:60, 30:60] = True
    assert len(separate_objects(ring)) == 1, "boxes that overlap are one object"


@pytest.mark.parametrize("seed", range(20))
def test_a_trace_is_well_formed_varied_and_true(seed: int) -> None:
    pixels, mask = scene((70, 10, 110, 60), (10, 50, 40, 80))
    trace = write_trace(pixels, mask, np.random.default_rng(seed))
    parsed = parse_completion(format_completion(trace.reasoning, trace.objects), (120, 90))
    assert parsed.well_formed, parsed.problems
    assert len(trace.objects) == 2
    assert "two objects" in trace.reasoning
    assert "orange" in trace.reasoning
    for prompt in trace.objects:
        assert sum(point.label for point in prompt.points) >= 2
        for point in prompt.points:
            assert mask[int(point.y), int(point.x)] == bool(point.label)


def test_wording_varies() -> None:
    pixels, mask = scene((40, 30, 80, 60))
    texts = {write_trace(pixels, mask, np.random.default_rng(seed)).reasoning for seed in range(40)}
    assert len(texts) > 12


def test_the_thinnest_masks_have_traces() -> None:
    pixels, mask = scene((3, 4, 4, 5))
    (prompt,) = write_trace(pixels, mask, np.random.default_rng(0)).objects
    assert prompt.box == Box(3, 4, 4, 5)
    with pytest.raises(ValueError, match="empty"):
        write_trace(pixels, mask & False, np.random.default_rng(0))


def test_every_word_of_traces_and_instructions_is_a_token() -> None:
    tokenizer = build_tokenizer(vocabulary())
    texts = [text for group in INSTRUCTIONS.values() for text in group]
    for seed in range(200):
        rng = np.random.default_rng(seed)
        pixels, mask = scene(*[(x, y, x + 12, y + 20) for x, y in rng.integers(0, 70, (seed % 3 + 1, 2)).tolist()])
        pixels[mask] = rng.integers(0, 256, 3)
        trace = write_trace(pixels, mask, rng)
        whole = [prompt for prompt in trace.objects if prompt.box]
        texts.append(format_completion(trace.reasoning, whole).replace(".5", ""))
    for text in texts:
        tokens = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in tokens, text
        assert tokenizer.decode(tokens) == text
