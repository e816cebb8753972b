"""Rasterise strokes of brush and eraser, and areas drawn with the lasso.

A stroke covers every pixel whose centre is within its radius of its path, as ``static/canvas/paint.js`` draws it.
Between two positions of the path that is a capsule, which is convex and thus covers one run of pixels in each row. The
two ends of each run are computed, and the pixels there are tested with the browser's formula, so that both agree on
every pixel. That takes time in proportion to the rows that a stroke crosses, not to the area of its box.

An area covers every pixel whose centre its closed path winds around. Browser and server compute where an edge crosses a
row in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from segr1_app.domain import ImageSize, Mask
from segr1_app.studio.callers import Turns, stop_if_nobody_waits

Floats = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

NOWHERE: Final = 2**40
"""Beyond any column: the start of a run that covers no pixel, whose end lies before it."""
FLAT: Final = 1e-7
"""Slope below which the ends of runs cannot be computed reliably; such a line is tested pixel by pixel."""
AT_A_TIME: Final = 2
"""Number of people whose strokes are drawn at the same time: more would only share the CPU cores."""
TURNS: Final = Turns(AT_A_TIME)
CHUNK: Final = 200_000
"""Number of rows processed at once: some 40 MB."""
PIXELS_PER_ROW: Final = 300
"""Pixels of an area's box that take as long to fill as a row that a line crosses."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """One stroke of brush or eraser, or an area that is added or cut.

    Attributes:
        erase: whether it takes away.
        radius: radius of the disc drawn along the path, in pixels; None for the area that the path encloses.
        path: the positions (x, y) along it, at least one, or three corners of an area; it may leave the picture.
    """

    erase: bool
    radius: float | None
    path: tuple[tuple[float, float], ...]


def layers(
    strokes: Sequence[Stroke],
    size: ImageSize,
    image_wh: ImageSize,
    *,
    painted: Mask | None = None,
    erased: Mask | None = None,
) -> tuple[Mask | None, Mask | None]:
    """The pixels that strokes add to a mask and those they remove; the last stroke over a pixel decides.

    Args:
        strokes: in pixels of the frame ``image_wh``.
        size: size of the masks, which may be smaller than the picture.
        image_wh: the picture's size.
        painted, erased: the layers on which they are drawn, bool (height, width) of ``size``.

    Returns:
        (painted, erased), each bool (height, width) of ``size``, or None if it is empty.

    Raises:
        DepartedError: when the client has disconnected.
    """
    if not strokes and painted is None and erased is None:
        return None, None
    state = np.zeros((size.height, size.width), dtype=np.uint8)
    if erased is not None:
        state[erased] = 2
    if painted is not None:
        state[painted] = 1
    if strokes:
        with TURNS:
            for stroke in strokes:
                stop_if_nobody_waits()
                _draw(state, stroke, image_wh, 2 if stroke.erase else 1)
    added, taken = state == 1, state == 2
    return (added if added.any() else None), (taken if taken.any() else None)


def rows_of(stroke: Stroke, image_wh: ImageSize) -> float:
    """The cost of drawing a stroke at the picture's own size: the rows crossed, summed over its lines.

    A line that is nearly but not exactly horizontal is drawn pixel by pixel, so its pixels are counted. An area costs
    the pixels of its box, too.
    """
    if stroke.radius is None:
        edges = _edges(stroke.path)
        rows = np.minimum(np.abs(edges[:, 3] - edges[:, 1]) + 1, image_wh.height).sum()
        box = [min(side, most) for side, most in zip(np.ptp(edges[:, :2], axis=0), image_wh, strict=True)]
        return float(rows + math.prod(box) / PIXELS_PER_ROW)
    ends = np.asarray((stroke.path[0], *stroke.path), dtype=np.float64)
    dx, dy = np.abs(np.diff(ends, axis=0)).T
    rows = np.minimum(2 * stroke.radius + dy + 2, image_wh.height)
    pixels = rows * np.minimum(2 * stroke.radius + dx + 2, image_wh.width)
    return float(np.where(_is_flat(dx, dy), pixels, rows).sum())


def first_in_rows(stroke: Stroke, size: ImageSize, image_wh: ImageSize) -> Int64Array:
    """The first pixel of an area in each row that it covers, as (column, row), in a mask of ``size``."""
    state = np.zeros((size.height, size.width), dtype=np.uint8)
    _fill(state, stroke.path, (image_wh.width / size.width, image_wh.height / size.height), 1)
    rows = np.flatnonzero(state.any(axis=1))
    return np.stack([state[rows].argmax(axis=1), rows], axis=1)


def _edges(path: tuple[tuple[float, float], ...]) -> Floats:
    """The edges (ax, ay, bx, by) of a closed path."""
    corners = np.asarray(path, dtype=np.float64)
    return np.hstack([corners, np.roll(corners, -1, axis=0)])


def _fill(
    state: npt.NDArray[np.uint8], path: tuple[tuple[float, float], ...], scale: tuple[float, float], value: int
) -> None:
    """Set the pixels whose centres a closed path winds around, term by term as the browser finds them.

    An edge changes the winding number from the first pixel to the right of where it crosses a row.
    """
    edges = _edges(path)
    left, right = _reach(edges[:, 0].min(), edges[:, 0].max(), 0.0, scale[0], state.shape[1])
    bounds = np.sort(edges[:, [1, 3]], axis=1)
    first, after = np.clip(np.ceil(bounds / scale[1] - 0.5), 0, state.shape[0]).astype(np.int64).T
    counts = after - first
    top, bottom = int(first.min()), int(after.max())
    if left >= right or top >= bottom:
        return
    turns = np.zeros((bottom - top, right - left + 1), dtype=np.int32)
    parts = np.cumsum(counts) // CHUNK
    for part in np.unique(parts):
        stop_if_nobody_waits()
        each = parts == part
        number, start = counts[each], first[each]
        rows = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number - start, number)
        ax, ay, bx, by = np.repeat(edges[each], number, axis=0).T
        crossing = ax + (((rows + 0.5) * scale[1] - ay) * (bx - ax)) / (by - ay)
        column = np.clip(np.ceil(crossing / scale[0] - 0.5), left, right).astype(np.int64)
        np.add.at(turns, (rows - top, column - left), np.where(by > ay, 1, -1))
    np.cumsum(turns, axis=1, out=turns)
    state[top:bottom, left:right][turns[:, :-1] != 0] = value


def _draw(state: npt.NDArray[np.uint8], stroke: Stroke, image_wh: ImageSize, value: int) -> None:
    scale = (image_wh.width / state.shape[1], image_wh.height / state.shape[0])
    if stroke.radius is None:
        _fill(state, stroke.path, scale, value)
        return
    ends = np.asarray((stroke.path[0], *stroke.path), dtype=np.float64)
    left, right = _reach(ends[:, 0].min(), ends[:, 0].max(), stroke.radius, scale[0], state.shape[1])
    top, bottom = _reach(ends[:, 1].min(), ends[:, 1].max(), stroke.radius, scale[1], state.shape[0])
    if left >= right or top >= bottom:
        return
    region = _Region(left, right, top, bottom, scale, stroke.radius)
    lines = np.hstack([ends[:-1], ends[1:]])
    flat = _is_flat(np.abs(lines[:, 2] - lines[:, 0]), np.abs(lines[:, 3] - lines[:, 1]))
    # Starts and ends of runs, one column wider than the region; their cumulative sum is the number of runs over a
    # pixel.
    edges = np.zeros((bottom - top, right - left + 1), dtype=np.int32)
    for part in region.chunks(lines[~flat]):
        stop_if_nobody_waits()
        region.add_runs(edges, part)
    covered = np.cumsum(edges, axis=1, out=edges)[:, :-1] > 0
    for line in lines[flat]:
        stop_if_nobody_waits()
        region.measure(covered, line)
    state[top:bottom, left:right][covered] = value


@dataclass(frozen=True, slots=True)
class _Region:
    """The pixels that a stroke can touch, and its radius; ``scale`` is picture pixels per pixel along x and y."""

    left: int
    right: int
    top: int
    bottom: int
    scale: tuple[float, float]
    radius: float

    def rows(self, lines: Floats) -> tuple[Int64Array, Int64Array]:
        """First row, and the row after the last, that each line can touch."""
        low = np.minimum(lines[:, 1], lines[:, 3]) - self.radius
        high = np.maximum(lines[:, 1], lines[:, 3]) + self.radius
        first = np.clip(np.floor(low / self.scale[1]), self.top, self.bottom).astype(np.int64)
        return first, np.clip(np.ceil(high / self.scale[1]) + 1, first, self.bottom).astype(np.int64)

    def chunks(self, lines: Floats) -> list[Floats]:
        """The lines in chunks whose rows fit into memory together."""
        first, after = self.rows(lines)
        parts = np.cumsum(after - first) // CHUNK
        return [lines[parts == part] for part in np.unique(parts)]

    def add_runs(self, edges: npt.NDArray[np.int32], lines: Floats) -> None:
        """Enter the runs of lines that are not flat."""
        first, after = self.rows(lines)
        counts = after - first
        which = np.repeat(np.arange(len(lines)), counts)
        rows = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        ax, ay, bx, by = lines[which].T
        y = (rows + 0.5) * self.scale[1] - ay
        low, high = _run(y, bx - ax, by - ay, self.radius)
        kept = low <= high
        rows, y, ax, dx, dy = rows[kept], y[kept], ax[kept], (bx - ax)[kept], (by - ay)[kept]
        start = self._first_within(low[kept], y, ax, dx, dy, +1)
        end = self._first_within(high[kept], y, ax, dx, dy, -1)
        found = start <= end
        row = rows[found] - self.top
        np.add.at(edges, (row, np.clip(start[found], self.left, self.right) - self.left), 1)
        np.add.at(edges, (row, np.clip(end[found] + 1, self.left, self.right) - self.left), -1)

    def _first_within(self, edge: Floats, y: Floats, ax: Floats, dx: Floats, dy: Floats, step: int) -> Int64Array:  # noqa: PLR0917
        """The first column, coming from outside in steps of ``step``, whose centre is within the radius.

        It is the nearest to the computed end or the one after it; if it is neither, the run lies between two centres,
        and the returned column is beyond its other end.
        """
        near = np.rint((edge + ax) / self.scale[0] - 0.5).astype(np.int64)
        outer = _within(near, y, ax, dx, dy, self.scale[0], self.radius)
        unsure = ~outer
        near[unsure] += step
        inner = _within(near[unsure], y[unsure], ax[unsure], dx[unsure], dy[unsure], self.scale[0], self.radius)
        near[unsure] += np.where(inner, 0, NOWHERE * step)
        return near

    def measure(self, covered: Mask, line: Floats) -> None:
        """Mark the pixels of one line, testing each."""
        ax, ay, bx, by = line[:, None, None]
        low, high = line.reshape(2, 2).min(axis=0), line.reshape(2, 2).max(axis=0)
        left, right = _reach(low[0], high[0], self.radius, self.scale[0], self.right)
        top, bottom = _reach(low[1], high[1], self.radius, self.scale[1], self.bottom)
        rows = np.arange(top, bottom, dtype=np.float64)[:, None]
        within = _within(
            np.arange(left, right), (rows + 0.5) * self.scale[1] - ay, ax, bx - ax, by - ay, self.scale[0], self.radius
        )
        covered[top - self.top : bottom - self.top, left - self.left : right - self.left] |= within


def _run(y: Floats, dx: Floats, dy: Floats, radius: float) -> tuple[Floats, Floats]:
    """Left and right end of a capsule in row ``y``, relative to its first position; left > right if it does not
    cross the row.
    """
    length = np.sqrt(dx * dx + dy * dy)
    with np.errstate(invalid="ignore", divide="ignore"):
        around_first = np.sqrt(radius * radius - y * y)
        around_second = np.sqrt(radius * radius - (y - dy) * (y - dy))
        ends = [-around_first, around_first, dx - around_second, dx + around_second]
        for side in (-radius, radius):
            # The long edges: the line, offset to one side by the radius.
            along = (y - side * dx / length) / dy
            ends.append(np.where((along >= 0) & (along <= 1), -side * dy / length + along * dx, np.nan))
    low, high = ends[0], ends[0]
    for end in ends[1:]:
        # NaN values are ignored.
        low, high = np.fmin(low, end), np.fmax(high, end)
    return low, high


def _within(  # noqa: PLR0917 - the terms of one formula
    columns: Int64Array, y: Floats, ax: Floats, dx: Floats, dy: Floats, scale: float, radius: float
) -> Mask:
    """Whether pixel centres are within the radius of a line, term by term as the browser computes it."""
    x = (columns + 0.5) * scale - ax
    length = dx * dx + dy * dy
    along = np.clip((x * dx + y * dy) / np.where(length > 0, length, 1), 0, 1)
    near: Mask = (x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius**2
    return near


def _is_flat(dx: Floats, dy: Floats) -> Mask:
    """Whether lines are nearly horizontal; for exactly horizontal ones, the ends are exact."""
    flat: Mask = (dy > 0) & (dy < FLAT * dx)
    return flat


def _reach(a: float, b: float, radius: float, scale: float, limit: int) -> tuple[int, int]:
    """The range of pixels along one axis that a line from ``a`` to ``b`` with a radius can touch."""
    first, last = math.floor((a - radius) / scale), math.ceil((b + radius) / scale)
    return min(max(first, 0), limit), min(max(last + 1, 0), limit)
