"""The state of a canvas: read exactly, refused when it is invalid, and painted over masks in order."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point
from segr1_app.geometry import compose_layers, decode_rle, encode_rle
from segr1_app.studio.edits import EditError, read_objects
from segr1_app.studio.painting import Stroke, layers

SIZE = ImageSize(200, 100)
START = np.zeros((50, 100), dtype=bool)
START[10:30, 20:60] = True
ENTRY: dict[str, Any] = {
    "box": [10, 20.5, 50, 60],
    "points": [{"x": 30.25, "y": 40, "label": 1}, {"x": 0, "y": 100, "label": 0}],
    "name": '<b>${cat}</b> "',
    "strokes": [{"erase": False, "radius": 3.5, "path": [[1, 2], [300, -4]]}],
    "start": dict(encode_rle(START)),
}


def test_a_state_is_read_as_it_is() -> None:
    (edited,) = read_objects([ENTRY], SIZE)
    assert edited.prompt == ObjectPrompt(Box(10, 20.5, 50, 60), (Point(30.25, 40, 1), Point(0, 100, 0)), ENTRY["name"])
    # What would turn the text after it around is no part of a name.
    (turned,) = read_objects([{**ENTRY, "name": "cat \u202e"}], SIZE)
    assert turned.prompt.name == "cat"
    assert edited.strokes == (Stroke(False, 3.5, ((1, 2), (300, -4))),)
    start = edited.start_mask()
    assert start is not None
    assert np.array_equal(start, START)
    assert not edited.blank
    (blank,) = read_objects([{"box": None, "points": [], "name": "", "strokes": [], "start": None}], SIZE)
    assert blank.blank
    assert blank.start_mask() is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("box", [10, 20, 50]),
        ("box", [50, 20, 10, 60]),
        ("box", [-1, 20, 10, 60]),
        ("box", [0, 0, 201, 60]),
        ("box", [float("nan"), 0, 20, 60]),
        ("box", [True, 0, 20, 60]),
        ("box", "0123"),
        ("points", [{"x": 1, "y": 101, "label": 1}]),
        ("points", [{"x": 1, "y": 1, "label": 2}]),
        ("points", [{"x": "1", "y": 1, "label": 1}]),
        ("points", [{"x": 1, "y": 1}]),
        ("points", [{"x": 1, "y": 1, "label": 1}] * 257),
        ("name", "x" * 201),
        ("name", None),
        ("strokes", [{"erase": False, "radius": 0, "path": [[1, 1]]}]),
        ("strokes", [{"erase": False, "radius": 1e6, "path": [[1, 1]]}]),
        ("strokes", [{"erase": 1, "radius": 1, "path": [[1, 1]]}]),
        ("strokes", [{"erase": False, "radius": 1, "path": []}]),
        ("strokes", [{"erase": False, "radius": 1, "path": [[1, float("inf")]]}]),
        ("strokes", [{"erase": False, "radius": 1, "path": [[1, 1]] * 20_001}]),
        ("strokes", [{"erase": False, "radius": 200, "path": [[1, 1]] * 20_000}]),
        ("strokes", [{"erase": False, "radius": None, "path": [[1, 1], [9, 1]]}]),
        ("strokes", [{"erase": None, "radius": None, "path": [[1, 1], [9, 1], [9, 9]]}]),
        ("strokes", [{"erase": False, "radius": None, "path": [[1, 1], [9, 1], [9, float("nan")]]}]),
        ("strokes", [{"erase": False, "path": [[1, 1], [9, 1], [9, 9]]}]),
        ("start", {"size": [50, 100], "counts": "0"}),
        ("start", {"size": [500, 1000], "counts": encode_rle(np.zeros((500, 1000), dtype=bool))["counts"]}),
        ("start", {"size": [50, 100], "counts": "\x00\xff"}),
        ("start", {"size": [50, 100], "counts": "o" * 100}),
        ("start", {"size": [50, 100]}),
    ],
)
def test_what_is_not_a_state_is_refused(field: str, value: object) -> None:
    entry = copy.deepcopy(ENTRY)
    entry[field] = value
    with pytest.raises(EditError, match=r"^Object 2 of the canvas cannot be read: .{8}.* reload the page"):
        read_objects([ENTRY, entry], SIZE)


def test_a_client_names_only_what_there_is_and_may_send_back_what_it_was_told() -> None:
    points = [{"x": 30, "y": 40, "label": 1}]
    answered = {"box": None, "points": points, "mask": dict(encode_rle(START)), "confidence": 0.5}
    sparse, boxed, same = read_objects([{"points": points}, {"box": [1, 2, 3, 4]}, answered], SIZE)
    assert sparse == same
    assert sparse.prompt == ObjectPrompt(None, (Point(30, 40, 1),), None)
    assert (boxed.prompt.box, boxed.prompt.points, boxed.strokes, boxed.start) == (Box(1, 2, 3, 4), (), (), None)
    with pytest.raises(EditError, match=r"Object 1 .* neither a box nor points"):
        read_objects([{"boxes": [1, 2, 3, 4]}], SIZE)


@pytest.mark.parametrize("value", [None, {}, "[]", 3, [None], [[]], [{}], [ENTRY] * 65])
def test_what_is_not_a_list_of_objects_is_refused(value: object) -> None:
    with pytest.raises(EditError):
        read_objects(value, SIZE)


@given(st.text(max_size=40), st.integers(1, 8), st.integers(1, 8))
def test_no_text_of_run_lengths_reaches_beyond_its_mask(counts: str, height: int, width: int) -> None:
    entry = {**ENTRY, "start": {"size": [height, width], "counts": counts}}
    try:
        (edited,) = read_objects([entry], SIZE)
    except EditError:
        return
    start = edited.start_mask()
    assert start is not None
    assert start.shape == (height, width)


def test_run_lengths_of_real_masks_are_taken() -> None:
    rng = np.random.default_rng(0)
    for share in (0, 0.001, 0.5, 1):
        mask = rng.random((90, 130)) < share
        (edited,) = read_objects([{**ENTRY, "start": dict(encode_rle(mask))}], SIZE)
        start = edited.start_mask()
        assert start is not None
        assert np.array_equal(start, mask)


def test_the_last_stroke_over_a_pixel_decides() -> None:
    line = Stroke(False, 5, ((20, 50), (180, 50)))
    gap = Stroke(True, 8, ((100, 50),))
    dot = Stroke(False, 2, ((100, 50),))
    painted, erased = layers([line, gap, dot], SIZE, SIZE)
    assert painted is not None
    assert erased is not None
    assert not (painted & erased).any()
    assert painted[50, 100]
    assert erased[50, 104]
    assert painted[50, 150]
    assert not painted[60, 150]
    assert layers([], SIZE, SIZE) == (None, None)
    assert layers([line], SIZE, SIZE)[1] is None


def test_an_added_area_is_kept_by_cleaning_however_small_and_a_cut_one_stays_cut() -> None:
    mask = np.zeros((SIZE.height, SIZE.width), dtype=bool)
    mask[10:90, 60:190] = True
    speck = {"erase": False, "radius": None, "path": [[10, 10], [16, 10], [16, 16], [10, 16]]}
    hole = {"erase": True, "radius": None, "path": [[100, 40], [106, 40], [106, 46], [100, 46]]}
    (edited,) = read_objects([{"box": [60, 10, 190, 90], "points": [], "strokes": [speck, hole], "clean": True}], SIZE)
    finish = edited.finish(mask, SIZE)
    final = compose_layers(mask, finish.painted, finish.erased)
    assert final[10:16, 10:16].all()
    assert not final[40:46, 100:106].any()
    assert final.sum() == mask.sum()


def test_strokes_go_on_top_of_what_an_earlier_revision_painted() -> None:
    painted, erased = np.zeros((2, SIZE[1], SIZE[0]), dtype=bool)
    painted[:40], erased[40:80] = True, True
    value = {**ENTRY, "painted": dict(encode_rle(painted)), "erased": dict(encode_rle(erased))}
    (same,) = read_objects([value], SIZE)
    assert [np.array_equal(*pair) for pair in zip(same.layers(SIZE, SIZE), (painted, erased), strict=True)] == [
        True
    ] * 2
    stroke = {"erase": True, "radius": 4, "path": [[50, 20]]}
    (edited,) = read_objects([{**value, "strokes": [stroke, {**stroke, "erase": False, "path": [[50, 60]]}]}], SIZE)
    added, taken = edited.layers(SIZE, SIZE)
    assert added is not None
    assert taken is not None
    assert (added[20, 50], taken[20, 50], added[20, 60]) == (False, True, True)
    assert (added[60, 50], taken[60, 50], taken[60, 60]) == (True, False, True)
    half = ImageSize(SIZE[0] // 2, SIZE[1] // 2)
    assert [layer is not None and layer.shape for layer in edited.layers(half, SIZE)] == [(half[1], half[0])] * 2
    assert edited.brushed
    assert not edited.blank
    with pytest.raises(EditError):
        read_objects([{**ENTRY, "painted": {"size": [10, 10], "counts": "1"}}], SIZE)


RING = [[60, 30], [100, 30], [100, 70], [60, 70], [60, 30]]


def test_cleaning_follows_the_paint_and_keeps_what_somebody_said() -> None:
    segmented = np.zeros((SIZE[1], SIZE[0]), dtype=bool)
    segmented[20:90, 120:190], segmented[5, 5], segmented[40, 150], segmented[60, 150] = True, True, False, False
    segmented[5, 195] = True
    said = [{"x": 150.5, "y": 60.5, "label": 0}, {"x": 195.5, "y": 5.5, "label": 1}, {"x": 5.5, "y": 5.5, "label": 0}]
    value = {**ENTRY, "points": said, "clean": True, "strokes": [{"erase": False, "radius": 15, "path": RING}]}
    (edited,) = read_objects([value], SIZE)
    finish = edited.finish(segmented, SIZE)
    assert finish.cleaned
    assert finish.removed is not None
    assert finish.filled is not None
    assert np.argwhere(finish.removed).tolist() == [[5, 5]]
    assert finish.filled[50, 80]
    assert finish.filled[40, 150]
    final = compose_layers(segmented, finish.painted, finish.erased)
    assert (final[50, 80], final[40, 150], final[5, 195]) == (True, True, True)
    assert (final[60, 150], final[5, 5]) == (False, False)
    (rough,) = read_objects([{**value, "clean": False}], SIZE)
    left = rough.finish(segmented, SIZE)
    assert not left.cleaned
    assert np.array_equal(compose_layers(segmented, left.painted, left.erased), final ^ finish.removed ^ finish.filled)


def test_what_cleaning_removes_of_the_paint_is_no_longer_painted() -> None:
    painted, erased = np.zeros((2, SIZE[1], SIZE[0]), dtype=bool)
    painted[10, 10] = erased[50, 50] = True
    layers = {"painted": dict(encode_rle(painted)), "erased": dict(encode_rle(erased))}
    (edited,) = read_objects([{**ENTRY, "points": [], "strokes": [], **layers, "clean": True}], SIZE)
    segmented = np.zeros((SIZE[1], SIZE[0]), dtype=bool)
    segmented[20:90, 20:90] = True
    finish = edited.finish(segmented, SIZE)
    assert np.array_equal(compose_layers(segmented, finish.painted, finish.erased), segmented)
    assert finish.painted is not None
    assert np.argwhere(finish.painted).tolist() == [[50, 50]]


@pytest.mark.parametrize("clean", [1, "yes", None, []])
def test_cleaning_is_on_or_off(clean: object) -> None:
    with pytest.raises(EditError, match='"clean" is true or false'):
        read_objects([{**ENTRY, "clean": clean}], SIZE)


def test_a_huge_picture_takes_fewer_objects() -> None:
    blank = {"box": None, "points": [], "name": "", "strokes": [], "start": None}
    assert len(read_objects([blank] * 16, ImageSize(8000, 8000))) == 16
    with pytest.raises(EditError, match="8000 x 8000 pixels can have at most 16 objects"):
        read_objects([blank] * 17, ImageSize(8000, 8000))


def test_a_final_mask_is_segmented_less_erased_plus_painted() -> None:
    segmented, painted, erased = np.zeros((3, 1, 3), dtype=bool)
    segmented[0, :2] = erased[0, 0] = painted[0, 2] = True
    assert compose_layers(segmented, painted, erased).tolist() == [[False, True, True]]
    assert segmented.tolist() == [[True, True, False]]
    assert compose_layers(segmented, None, None) is segmented


def test_browser_and_server_paint_the_same(node: str) -> None:
    """The stored mask equals the displayed one in every pixel, also at the smaller size of the canvas."""
    path = [[30, 40], [90.5, 60.25], [150, 20]]
    stroke = Stroke(False, 12.3, tuple((x, y) for x, y in path))
    sizes = [(200, 100), (100, 50), (67, 33)]
    code = (
        "import { painted } from './segr1_app/ui/static/canvas/paint.js';"
        "import { encodeRle } from './segr1_app/ui/static/shared/rle.js';"
        f"const strokes = [{{ erase: false, radius: 12.3, path: {json.dumps(path)} }}];"
        f"console.log(JSON.stringify({json.dumps(sizes)}.map(([width, height]) =>"
        " encodeRle(painted(new Uint8Array(width * height), [width, height], strokes, [200, 100]), width, height))));"
    )
    done = subprocess.run(
        [node, "--input-type=module", "-"],
        cwd=Path(__file__).parents[2],
        input=code,
        capture_output=True,
        text=True,
        check=True,
    )
    for size, shown in zip(sizes, json.loads(done.stdout), strict=True):
        made, _ = layers([stroke], ImageSize(*size), SIZE)
        assert made is not None
        assert np.array_equal(made, decode_rle(shown))
