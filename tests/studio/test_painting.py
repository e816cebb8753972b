"""Strokes as pixels: the same as testing every pixel, in a time that does not grow with their boxes."""

from __future__ import annotations

import math
import threading
import time
from itertools import pairwise

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

from segr1_app.domain import ImageSize, Mask
from segr1_app.studio.callers import DepartedError, Turns, is_gone
from segr1_app.studio.edits import MAX_PLACES, EditError, read_objects
from segr1_app.studio.painting import Stroke, first_in_rows, layers, rows_of


def measured(stroke: Stroke, size: ImageSize, image_wh: ImageSize) -> Mask:
    """Test every pixel, as ``paint.js`` does."""
    assert stroke.radius is not None
    covered = np.zeros((size.height, size.width), dtype=bool)
    x: npt.NDArray[np.float64] = (np.arange(size.width) + 0.5) * (image_wh.width / size.width)
    y = (np.arange(size.height)[:, None] + 0.5) * (image_wh.height / size.height)
    for (ax, ay), (bx, by) in pairwise((stroke.path[0], *stroke.path)):
        dx, dy = bx - ax, by - ay
        length = dx * dx + dy * dy
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / length, 0, 1) if length else 0.0
        covered |= ((x - ax) - along * dx) ** 2 + ((y - ay) - along * dy) ** 2 <= stroke.radius**2
    return covered


PLACE = st.one_of(
    st.floats(-40, 160),
    st.integers(-40, 160).map(float),
    st.integers(-80, 320).map(lambda half: half / 2),
)


@hypothesis.given(
    st.lists(st.tuples(PLACE, PLACE), min_size=1, max_size=5),
    st.one_of(st.sampled_from([0.01, 0.5, 1.0, 1.5, 2.0, 13.25]), st.floats(0.05, 60)),
    st.tuples(st.integers(1, 100), st.integers(1, 100)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
@hypothesis.example([(0.0, 10.0), (90.0, 10.0 + 1e-9)], 5.0, (90, 40), (1, 1))
@hypothesis.example([(0.0, 10.0), (90.0, 10.0 + 1e-6)], 5.0, (90, 40), (1, 1))
@hypothesis.example([(20.0, 20.0), (60.0, 50.0)], 0.3, (90, 60), (1, 1))
@hypothesis.example([(3.5, 3.5)], 0.01, (9, 9), (1, 1))
def test_a_run_in_each_row_is_what_measuring_every_pixel_gives(
    path: list[tuple[float, float]], radius: float, shape: tuple[int, int], times: tuple[int, int]
) -> None:
    size = ImageSize(*shape)
    image_wh = ImageSize(size.width * times[0], size.height * times[1])
    stroke = Stroke(False, radius, tuple(path))
    painted, _ = layers([stroke], size, image_wh)
    expected = measured(stroke, size, image_wh)
    assert np.array_equal(expected, np.zeros_like(expected) if painted is None else painted)


def wound(area: Stroke, size: ImageSize, image_wh: ImageSize) -> Mask:
    """The winding number of every pixel's centre, as ``paint.js`` counts it."""
    turns = np.zeros((size.height, size.width), dtype=np.int64)
    x = (np.arange(size.width) + 0.5) * (image_wh.width / size.width)
    y = (np.arange(size.height) + 0.5) * (image_wh.height / size.height)
    for (ax, ay), (bx, by) in pairwise((*area.path, area.path[0])):
        for row, centre in enumerate(y):
            if min(ay, by) <= centre < max(ay, by):
                turns[row] += np.where(ax + ((centre - ay) * (bx - ax)) / (by - ay) <= x, 1 if by > ay else -1, 0)
    return turns != 0


GRID = st.integers(-160, 640).map(lambda quarter: quarter / 4)


@hypothesis.given(
    st.lists(st.tuples(GRID, GRID), min_size=3, max_size=9),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(0, 2).map(lambda power: 2**power),
)
@hypothesis.example([(0.5, 0.5), (8.5, 0.5), (8.5, 8.5), (0.5, 8.5)], (10, 10), 1)
def test_an_area_covers_the_pixels_that_its_path_winds_around(
    path: list[tuple[float, float]], shape: tuple[int, int], times: int
) -> None:
    size = ImageSize(*shape)
    image_wh = ImageSize(size.width * times, size.height * times)
    area = Stroke(False, None, tuple(path))
    added, _ = layers([area], size, image_wh)
    expected = wound(area, size, image_wh)
    assert np.array_equal(expected, np.zeros_like(expected) if added is None else added)
    rows = np.flatnonzero(expected.any(axis=1))
    assert [list(place) for place in first_in_rows(area, size, image_wh)] == [
        [expected[row].argmax(), row] for row in rows
    ]


def test_an_area_with_as_many_corners_as_allowed_is_bounded_by_the_rows_of_its_edges() -> None:
    size = ImageSize(4000, 3000)
    saw = [[float(place % 4000), 0.0 if place % 2 else 2999.0] for place in range(MAX_PLACES)]
    entry = {"box": None, "points": [], "strokes": [{"erase": False, "radius": None, "path": saw}]}
    with pytest.raises(EditError, match="too much paint on the canvas"):
        read_objects([entry], size)
    # Few corners, but each of the areas covers the picture.
    corners = [[-1e7, -1e7], [1e7, -1e7], [0, 1e7]]
    entry["strokes"] = [{"erase": False, "radius": None, "path": corners}] * 1000
    with pytest.raises(EditError, match="too much paint on the canvas"):
        read_objects([entry], size)
    entry["strokes"] = [{"erase": False, "radius": None, "path": corners}]
    (edited,) = read_objects([entry], size)
    added, _ = edited.layers(size, size)
    assert added is not None
    assert added[:1500].all()


def test_a_long_line_costs_its_rows_and_not_its_box() -> None:
    size = ImageSize(4000, 3000)
    across = Stroke(False, 1.0, ((0.0, 0.0), (4000.0, 3000.0)) * 20)
    assert rows_of(across, size) < 40 * 3010
    started = time.process_time()
    painted, _ = layers([across], size, size)
    # Measured pixel by pixel, this takes a minute and gigabytes.
    assert time.process_time() - started < 10
    assert painted is not None
    assert painted[1500, 2000]


def test_paint_is_bounded_over_all_objects_of_a_canvas() -> None:
    path = [[0, 0], [4000, 3000]] * 400
    entry = {"box": None, "points": [], "strokes": [{"erase": False, "radius": 1, "path": path}]}
    assert len(read_objects([entry], ImageSize(4000, 3000))) == 1
    with pytest.raises(EditError, match=r"too much paint on the canvas to draw at once \(object 3\): save the task"):
        read_objects([entry] * 4, ImageSize(4000, 3000))
    flat = [{"erase": False, "radius": 500, "path": [[0, i * 1e-5], [4000, i * 1e-5 + 1e-6]]} for i in range(20)]
    with pytest.raises(EditError, match="too much paint"):
        read_objects([{"box": None, "points": [], "strokes": flat}], ImageSize(4000, 3000))


def test_nobody_waits_for_a_turn_that_is_given_up() -> None:
    turns, gone = Turns(1), threading.Event()
    ends: list[type[BaseException]] = []

    def wait() -> None:
        is_gone.set(gone.is_set)
        with pytest.raises(DepartedError) as caught, turns:
            pass
        ends.append(caught.type)

    with turns:
        waiting = threading.Thread(target=wait)
        waiting.start()
        gone.set()
        waiting.join(timeout=10)
    assert ends == [DepartedError]


def test_strokes_that_nobody_waits_for_are_not_drawn() -> None:
    token = is_gone.set(lambda: True)
    try:
        with pytest.raises(DepartedError):
            layers([Stroke(False, 1.0, ((0.0, 0.0), (math.pi, 1.0)))], ImageSize(9, 9), ImageSize(9, 9))
    finally:
        is_gone.reset(token)
