"""Masks as polygons along the pixels' edges, without loss: holes are joined to their outline by a keyhole.

Corners are (x, y) in pixels, whole numbers unless said otherwise: the pixel (row, column) is the square from
(column, row) to (column + 1, row + 1).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from pycocotools import mask as coco

from segr1_app.domain import Mask
from segr1_app.metrics import iou

Corner: TypeAlias = tuple[float, float]
Corners: TypeAlias = list[Corner]
"""The corners of a closed outline, in order; the last is joined to the first."""

_Whole: TypeAlias = list[tuple[int, int]]
"""A ring whose corners are corners of pixels, uncut and unsimplified."""
# The four directions of an edge, each a right turn of the one before: right, down, left, up.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
# Where the pixel to the right of an edge lies, seen from the corner where the edge starts, as (row, column).
_INSIDE = ((0, 0), (0, -1), (-1, -1), (-1, 0))


def mask_polygons(mask: Mask, simplify: float = 0.0) -> list[Corners]:
    """One polygon per connected part of a bool (height, width) mask.

    Components that touch only at a corner are separate. A hole is connected to the outline on its left by a cut of zero
    width, which is traversed twice; so one polygon, without an even-odd rule, represents a component with all its
    holes.

    Args:
        mask: bool (height, width).
        simplify: how many pixels a corner that is left out may be off the line that takes its place (Douglas and
            Peucker, *Algorithms for the reduction of the number of points*, 1973); 0 keeps all of them. Outlines that
            would become a line stay as they are, holes are closed then.
    """
    # Only around the object: the arrays below take some ten times the memory of the mask.
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    object_mask = mask[top : top + height, left : left + width]
    _, labels = cv2.connectedComponents(object_mask.astype(np.uint8), connectivity=4)
    outlines: dict[int, _Whole] = {}
    holes: dict[int, list[_Whole]] = defaultdict(list)
    for found, (row, column) in _rings(object_mask):
        part, ring = int(labels[row, column]), [(x + left, y + top) for x, y in found]
        if _area(ring) > 0:
            outlines[part] = ring
        else:
            holes[part].append(ring)
    if simplify:
        return [_simple_with_holes(outlines[part], holes[part], simplify) for part in sorted(outlines)]
    return [_with_holes([outlines[part], *holes[part]]) for part in sorted(outlines)]


def polygons_iou(rings: Sequence[Corners], mask: Mask) -> float:
    """IoU of polygons, as drawn by pycocotools, with the bool (height, width) mask from which they were made."""
    height, width = mask.shape
    drawn = coco.decode(coco.merge(coco.frPyObjects([flat_corners(ring) for ring in rings], height, width)))
    return iou(drawn.astype(np.bool_), mask)


def flat_corners(ring: Corners) -> list[float]:
    """A polygon as x1, y1, x2, y2 and so on."""
    return [value for corner in ring for value in corner]


def within_pixels(ring: Corners) -> Corners:
    """A polygon of `mask_polygons`, not simplified, for programs that cut coordinates to whole pixels and draw edges.

    So do Pillow and OpenCV, which thereby draw a column and a row too many. Right and lower edges are moved inwards by
    a hundredth of a pixel: cut to whole numbers they lie on the last pixel of the mask, and for programs that measure
    exactly hardly anything changes.
    """
    moved: Corners = []
    for number, (x, y) in enumerate(ring):
        edges = ((ring[number - 1], (x, y)), ((x, y), ring[(number + 1) % len(ring)]))
        # Outlines run clockwise: right edges are passed downwards, and lower edges to the left.
        right = any(start[0] == end[0] and start[1] < end[1] for start, end in edges)
        lower = any(start[1] == end[1] and start[0] > end[0] for start, end in edges)
        moved.append((x - 0.01 if right else x, y - 0.01 if lower else y))
    return moved


def _simple_with_holes(outline: _Whole, holes: Sequence[_Whole], tolerance: float) -> Corners:
    """A simplified outline with its simplified holes, each joined by the shortest line between two corners."""
    joined: Corners = [*(_simplified(outline, tolerance) or outline)]
    waiting = [ring for ring in (_simplified(hole, tolerance) for hole in holes) if ring]
    while waiting:
        # Whichever hole is the nearest, so that no other one lies between.
        ways = [_shortest(joined, hole) for hole in waiting]
        _, here, there = nearest = min(ways)
        hole = waiting.pop(ways.index(nearest))
        joined = [*joined[: here + 1], *hole[there:], *hole[: there + 1], *joined[here:]]
    return joined


def _simplified(ring: _Whole, tolerance: float) -> _Whole | None:
    corners = cv2.approxPolyDP(np.array(ring, np.int32), tolerance, closed=True).reshape(-1, 2)
    return [(int(x), int(y)) for x, y in corners] if len(corners) > 2 else None


def _shortest(ring: Sequence[Corner], hole: Sequence[Corner]) -> tuple[float, int, int]:
    """The squared distance of the nearest two corners, and their numbers."""
    apart = np.square(np.array(ring)[:, None] - np.array(hole)[None]).sum(axis=2)
    here, there = divmod(int(apart.argmin()), len(hole))
    return float(apart[here, there]), here, there


def join_parts(rings: list[Corners]) -> Corners:
    """Several polygons as one, for formats that allow one per object: joined by lines of zero width, passed twice."""
    joined: Corners = []
    for ring in rings:
        joined += [*ring, ring[0]]
    # Back the same way, so that every joining line is traversed in both directions.
    return [*joined, *(ring[0] for ring in reversed(rings[:-1]))] if len(rings) > 1 else joined[:-1]


def _rings(mask: Mask) -> Iterator[tuple[_Whole, tuple[int, int]]]:
    """Every outline, clockwise around parts and counter-clockwise around holes, and a pixel just inside it."""
    padded = np.pad(mask, 1)
    here, left = padded[1:, 1:], padded[1:, :-1]
    above, above_left = padded[:-1, 1:], padded[:-1, :-1]
    starts = (here & ~above, left & ~here, above_left & ~left, above & ~above_left)
    edges = {
        (direction, int(x), int(y))
        for direction, found in enumerate(starts)
        for y, x in zip(*np.nonzero(found), strict=True)
    }
    # Every outline has edges to the right, and the leftmost of them starts at a corner.
    for first in sorted(edge for edge in edges if edge[0] == 0):
        if first not in edges:
            continue
        ring: _Whole = []
        direction, x, y = first
        row, column = y + _INSIDE[direction][0], x + _INSIDE[direction][1]
        before = None
        while (direction, x, y) in edges:
            edges.remove((direction, x, y))
            if direction != before:
                ring.append((x, y))
            before = direction
            x, y = x + _STEPS[direction][0], y + _STEPS[direction][1]
            # A right turn first: it keeps to the same pixel where two pixels touch at a corner.
            for turn in (1, 0, 3):
                following = (direction + turn) % 4
                if (following, x, y) in edges:
                    direction = following
                    break
        yield ring, (row, column)


@dataclass(frozen=True, slots=True)
class _Cut:
    """A way from ``foot``, on the edge of another ring, straight to the right to the corner ``start`` of a hole."""

    foot: tuple[int, int]
    hole: int
    start: int


def _with_holes(rings: list[_Whole]) -> Corners:
    """The first ring with the others, its holes, each joined to whatever lies to the left of its leftmost corner."""
    upright: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    if len(rings) > 1:
        for number, ring in enumerate(rings):
            for edge, ((x1, y1), (x2, y2)) in enumerate(zip(ring, [*ring[1:], ring[0]], strict=True)):
                if x1 == x2:
                    for y in range(min(y1, y2), max(y1, y2) + 1):
                        upright[y].append((x1, number, edge))
    for found in upright.values():
        found.sort()
    cuts: dict[tuple[int, int], list[_Cut]] = defaultdict(list)
    for number, hole in enumerate(rings[1:], start=1):
        x, y = min(hole)
        # The target begins further to the left than this hole does, so no two holes wait for each other.
        met, ring_met, edge_met = upright[y][bisect_left(upright[y], (x,)) - 1]
        cuts[ring_met, edge_met].append(_Cut((met, y), number, hole.index((x, y))))
    joined: Corners = []
    # A stack instead of recursion, because a chain of holes may exceed Python's recursion limit.
    walks = [_walk(rings, cuts, None)]
    while walks:
        step = next(walks[-1], None)
        if step is None:
            walks.pop()
        elif isinstance(step, _Cut):
            walks.append(_walk(rings, cuts, step))
        else:
            joined.append(step)
    return joined


def _walk(
    rings: list[_Whole], cuts: Mapping[tuple[int, int], list[_Cut]], way: _Cut | None
) -> Iterator[tuple[int, int] | _Cut]:
    """Once around a hole, from the foot of the way to it and back there, or around the first ring, by its corners.

    A cut is given where it begins: whoever walks goes there and comes back.
    """
    number, start = (way.hole, way.start) if way else (0, 0)
    ring = rings[number]
    if way:
        yield way.foot
    for edge in [*range(start, len(ring)), *range(start)]:
        corner = ring[edge]
        yield corner
        yield from sorted(cuts.get((number, edge), ()), key=lambda cut: abs(cut.foot[1] - corner[1]))
    if way:
        yield ring[start]
        yield way.foot


def _area(ring: _Whole) -> int:
    """Twice the signed area: positive for clockwise rings, y pointing downwards."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True))
