"""Masks as polygons along the pixels' edges, so that nothing is lost: holes are joined to their outline by a keyhole.

Corners are (x, y) in pixels, whole numbers: the pixel (row, column) is the square from (column, row) to
(column + 1, row + 1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TypeAlias

import cv2
import numpy as np

from segr1_app.domain import Mask

Ring: TypeAlias = list[tuple[int, int]]
"""The corners of a closed outline, in order; the last is joined to the first."""

# The four directions of an edge, each a right turn of the one before: right, down, left, up.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
# Where the pixel to the right of an edge lies, seen from the corner where the edge starts, as (row, column).
_INSIDE = ((0, 0), (0, -1), (-1, -1), (-1, 0))


def mask_polygons(mask: Mask) -> list[Ring]:
    """One polygon per connected part of a bool (height, width) mask.

    Parts that touch at a corner only are apart. A hole is reached through a cut of no width from the outline at its
    left, which is passed twice; so one polygon, without an even-odd rule, holds a part with all its holes.
    """
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    outlines: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = defaultdict(list)
    for ring, (row, column) in _rings(mask):
        part = int(labels[row, column])
        if _area(ring) > 0:
            outlines[part] = ring
        else:
            holes[part].append(ring)
    for part, inner in holes.items():
        # From the left on: whatever the cut to the left of a hole meets is joined to the outline already.
        for hole in sorted(inner, key=min):
            outlines[part] = _joined(outlines[part], hole)
    return [outlines[part] for part in sorted(outlines)]


def join_parts(rings: list[Ring]) -> Ring:
    """Several polygons as one, for formats that take one per object: joined by lines of no width, passed twice."""
    joined: Ring = []
    for ring in rings:
        joined += [*ring, ring[0]]
    # Back the way it came, so that every joining line is passed in both directions.
    return [*joined, *(ring[0] for ring in reversed(rings[:-1]))] if len(rings) > 1 else joined[:-1]


def _rings(mask: Mask) -> Iterator[tuple[Ring, tuple[int, int]]]:
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
        ring: Ring = []
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


def _joined(outline: Ring, hole: Ring) -> Ring:
    """A polygon with a cut from the leftmost corner of ``hole`` straight to the left."""
    start = hole.index(min(hole))
    x, y = hole[start]
    ends = np.array(outline)
    following = np.roll(ends, -1, axis=0)
    upright = ends[:, 0] == following[:, 0]
    spans = (np.minimum(ends[:, 1], following[:, 1]) <= y) & (y <= np.maximum(ends[:, 1], following[:, 1]))
    met = np.flatnonzero(upright & spans & (ends[:, 0] < x))
    edge = int(met[ends[met, 0].argmax()])
    foot = (int(ends[edge, 0]), y)
    return [*outline[: edge + 1], foot, *hole[start:], *hole[: start + 1], foot, *outline[edge + 1 :]]


def _area(ring: Ring) -> int:
    """Twice the signed area: positive for clockwise rings, y pointing downwards."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True))
