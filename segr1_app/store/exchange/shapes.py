"""The shapes of annotations: polygons, run lengths, mask files, boxes and points, in the coordinates of their file.

Every shape is checked before it is drawn: polygons without area, run lengths that do not add up and boxes outside of
the picture are refused with a message, because an unintended empty mask is the worst kind of label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from pycocotools import mask as coco

from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt, Point
from segr1_app.geometry import check_rle, decode_rle
from segr1_app.images.frames import TURNS_NOTHING, Frame, Reading, find_frame, fit_pixels
from segr1_app.images.masks import Labels
from segr1_app.images.pictures import MAX_PIXELS
from segr1_app.store.exchange.clipping import clip_far
from segr1_app.store.exchange.coordinates import Ring, whole

_FAR: Final = 0.05
"""Fraction of a side by which outlines may overhang a picture that may be another than the annotated one."""
_ROUGHER: Final = 3
"""A mask whose edges are this many times as long as in the other order has its run lengths in the wrong order."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """The picture that shapes are drawn on.

    Attributes:
        size: of the upright picture.
        orientation: EXIF orientation of its file.
        declared: its size according to the annotations; None if they give none.
        reading: see `find_frame`.
    """

    size: ImageSize
    orientation: int = TURNS_NOTHING
    declared: ImageSize | None = None
    reading: Reading | None = None

    def frame(self) -> Frame:
        """The frame of coordinates.

        Raises:
            DatasetError: as `find_frame`.
        """
        return find_frame(self.size, self.orientation, self.declared, self.reading)

    def check_reach(self, points: Ring) -> None:
        """Refuse coordinates of a larger picture, where the annotations do not say of which size theirs was.

        Raises:
            ValueError: for points of the upright picture that lie far outside of it.
        """
        if self.declared is None and len(points):
            beyond = np.maximum(-points, points - self.size) / self.size
            if float(beyond.max()) > _FAR:
                raise ValueError(
                    f"it reaches {beyond.max():.0%} of a side beyond the picture, as if drawn on a larger one, and no "
                    "size is given with it: give the picture that was annotated"
                )

    def frame_of(self, own: ImageSize) -> Frame:
        """The frame of a mask with a size of its own, which must agree with that of the record."""
        if self.declared is not None and tuple(own) != tuple(self.declared):
            raise ValueError(
                f"its mask is {own.width} x {own.height}, its picture is said to be {self.declared.width} x "
                f"{self.declared.height}"
            )
        return find_frame(self.size, self.orientation, own, self.reading)


class Area(Protocol):
    """A shape that marks pixels."""

    def mask(self, canvas: Canvas) -> Mask:
        """The marked pixels; raises `ValueError` or `DatasetError` if there are none or they cannot be determined."""


@dataclass(frozen=True, slots=True, eq=False)
class Polygons:
    """The union of closed outlines.

    Attributes:
        rings: the outlines.
        normalised: whether coordinates are fractions of width and height instead of pixels.
    """

    rings: Sequence[Ring]
    normalised: bool = False

    def mask(self, canvas: Canvas) -> Mask:
        """Drawn as pycocotools draws them.

        Raises:
            ValueError: for an outline without area, or wholly outside of the picture.
            DatasetError: when the frame is not known.
        """
        frame = canvas.frame()
        scale = frame.declared if self.normalised else (1, 1)
        width, height = canvas.size
        drawn = []
        for number, ring in enumerate(self.rings, start=1):
            which = f"polygon {number} " if len(self.rings) > 1 else "its polygon "
            check_ring(ring, which)
            upright = frame.points(ring * scale)
            (left, top), (right, bottom) = upright.min(axis=0), upright.max(axis=0)
            if right <= 0 or bottom <= 0 or left >= width or top >= height:
                raise ValueError(f"{which}lies outside of the picture")
            if not self.normalised:
                canvas.check_reach(upright)
            drawn.append(clip_far(upright, canvas.size).ravel().tolist())
        if not drawn:
            raise ValueError("it has no polygon")
        mask: Mask = coco.decode(coco.merge(coco.frPyObjects(drawn, height, width))).astype(bool)
        return _not_empty(mask)


@dataclass(frozen=True, slots=True)
class Runs:
    """COCO's run lengths, compressed or not.

    Attributes:
        size: [height, width] as the file has it.
        counts: a compressed text or a list of numbers.
        empty: whether it may mark nothing.
        by_rows: whether the lengths go along the rows of the picture, against the format.
    """

    size: Any
    counts: Any
    empty: bool = False
    by_rows: bool = False

    def mask(self, canvas: Canvas) -> Mask:
        """Decoded.

        Raises:
            ValueError: for invalid run lengths, those that do not add up to their size, or those that seem to be
                row by row.
            DatasetError: when the frame is not known.
        """
        if not isinstance(self.size, list | tuple) or len(self.size) != 2:
            raise ValueError("its run lengths come without a size [height, width]")
        height, width = (whole(side, "its size") for side in self.size)
        frame = canvas.frame_of(ImageSize(width, height))
        decoded = self._decoded(height, width)
        if self.by_rows:
            decoded = _along_rows(decoded)
        elif _ROUGHER * _roughness(_along_rows(decoded)) < _roughness(decoded):
            raise ValueError("its run lengths go along the rows, but COCO's go down the columns: write them again")
        mask = frame.pixels(decoded)
        return mask if self.empty else _not_empty(mask)

    def _decoded(self, height: int, width: int) -> Mask:
        if min(height, width) < 1 or height * width > MAX_PIXELS:
            raise ValueError(f"its size of {width} x {height} pixels is not a picture's")
        if isinstance(self.counts, str):
            check_rle({"size": [height, width], "counts": self.counts})
            return decode_rle({"size": [height, width], "counts": self.counts})
        if not isinstance(self.counts, list):
            raise ValueError("it has no run lengths")
        lengths = [whole(run, "a run length") for run in self.counts]
        # Added up as Python's integers: a 64-bit sum could overflow to the right one.
        if min(lengths, default=0) < 0 or sum(lengths) != width * height:
            raise ValueError(f"its run lengths do not add up to {width} x {height} pixels")
        runs = np.array(lengths, dtype=np.int64)
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        mask: Mask = np.ascontiguousarray(flat.reshape((height, width), order="F"))
        return mask


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A mask of a part of the picture, its upper left pixel at (``left``, ``top``) of the declared frame."""

    pixels: Mask
    left: int = 0
    top: int = 0

    def mask(self, canvas: Canvas) -> Mask:
        """The mask within the picture.

        Raises:
            ValueError: when it marks nothing, or nothing in the picture.
            DatasetError: when the frame is not known.
        """
        frame = canvas.frame()
        whole_mask = np.zeros((frame.declared.height, frame.declared.width), dtype=bool)
        top, left = max(self.top, 0), max(self.left, 0)
        inside = self.pixels[top - self.top :, left - self.left :]
        target = whole_mask[top : top + inside.shape[0], left : left + inside.shape[1]]
        target |= inside[: target.shape[0], : target.shape[1]]
        return _not_empty(frame.pixels(whole_mask))


@dataclass(frozen=True, slots=True, eq=False)
class MaskPicture:
    """A mask file, or one label of it; read when it is drawn.

    Attributes:
        read: reads the file.
        label: which label; None for the only one.
    """

    read: Callable[[], Labels]
    label: str | None = None

    def mask(self, canvas: Canvas) -> Mask:
        """The marked pixels; an all-black file is an empty mask.

        Raises:
            DatasetError: as `masks.load_mask_of`.
        """
        labels = self.read()
        turn = TURNS_NOTHING if labels.turned else canvas.orientation
        return fit_pixels(labels.mask(self.label), canvas.size, turn, canvas.reading)


@dataclass(frozen=True, slots=True)
class BoxShape:
    """A box as a prompt: left, top, right and bottom edge."""

    edges: tuple[float, float, float, float]
    normalised: bool = False

    def prompt(self, canvas: Canvas, name: str | None) -> ObjectPrompt:
        """In pixels of the upright picture, cut off at its edges.

        Raises:
            ValueError: when it has no area, or none in the picture.
            DatasetError: when the frame is not known.
        """
        corners = np.array(self.edges, dtype=np.float64).reshape(2, 2)
        if not np.isfinite(corners).all():
            raise ValueError("its box has coordinates that are not numbers")
        if (corners[0] > corners[1]).any():
            raise ValueError("its box ends before it begins")
        upright = _placed(corners, canvas, normalised=self.normalised)
        (x1, y1), (x2, y2) = upright.min(axis=0).clip(0), np.minimum(upright.max(axis=0), canvas.size)
        if x1 >= x2 or y1 >= y2:
            raise ValueError("its box has no area in the picture")
        return ObjectPrompt(Box(float(x1), float(y1), float(x2), float(y2)), (), name)


def box_around(ring: Ring, *, normalised: bool = False) -> BoxShape:
    """The upright box around a rotated one: neither says which of its pixels are the object's.

    Raises:
        ValueError: for a box without corners.
    """
    if not len(ring):
        raise ValueError("its box has no corners")
    (left, top), (right, bottom) = ring.min(axis=0).tolist(), ring.max(axis=0).tolist()
    return BoxShape((left, top, right, bottom), normalised=normalised)


@dataclass(frozen=True, slots=True)
class Dots:
    """Points as prompts: (x, y, label), where label 1 is on the object and 0 is not."""

    points: tuple[tuple[float, float, int], ...]
    normalised: bool = False
    box: BoxShape | None = field(default=None)

    def prompt(self, canvas: Canvas, name: str | None) -> ObjectPrompt:
        """In pixels of the upright picture.

        Raises:
            ValueError: when one is outside of the picture.
            DatasetError: when the frame is not known.
        """
        places = np.array([point[:2] for point in self.points], dtype=np.float64).reshape(-1, 2)
        upright = _placed(places, canvas, normalised=self.normalised)
        if not len(places) or not np.isfinite(upright).all():
            raise ValueError("it has no points, or some that are not numbers")
        if (upright < 0).any() or (upright > canvas.size).any():
            raise ValueError("one of its points lies outside of the picture")
        dots = tuple(Point(float(x), float(y), label) for (x, y), (*_, label) in zip(upright, self.points, strict=True))
        return ObjectPrompt(self.box.prompt(canvas, name).box if self.box else None, dots, name)


@dataclass(frozen=True, slots=True, eq=False)
class Several:
    """The union of several areas."""

    areas: Sequence[Area]

    def mask(self, canvas: Canvas) -> Mask:
        """The union.

        Raises:
            ValueError, DatasetError: as any of them.
        """
        if not self.areas:
            raise ValueError("it marks nothing")
        masks = [area.mask(canvas) for area in self.areas]
        union: Mask = np.logical_or.reduce(masks)
        return union


Prompt: TypeAlias = BoxShape | Dots
Shape: TypeAlias = Area | Prompt


def _placed(points: Ring, canvas: Canvas, *, normalised: bool) -> Ring:
    frame = canvas.frame()
    placed = frame.points(points * (frame.declared if normalised else (1, 1)))
    if not normalised:
        canvas.check_reach(placed)
    return placed


def check_ring(ring: Ring, which: str) -> None:
    """Refuse an outline without area.

    Raises:
        ValueError: when it has no area.
    """
    if len(ring) < 3:
        raise ValueError(f"{which}has {len(ring)} corners, and an area needs at least three")
    if not np.isfinite(ring).all():
        raise ValueError(f"{which}has coordinates that are not numbers")
    from_first = ring - ring[0]
    furthest = from_first[np.argmax((from_first**2).sum(axis=1))]
    if not (from_first[:, 0] * furthest[1] - from_first[:, 1] * furthest[0]).any():
        raise ValueError(f"{which}has no area: all its corners lie on a line")


def _not_empty(mask: Mask) -> Mask:
    if not mask.any():
        raise ValueError("it marks no pixel of the picture")
    return mask


def _along_rows(mask: Mask) -> Mask:
    """The same pixels, in the order of columns, laid out in rows."""
    return np.ascontiguousarray(mask.ravel(order="F").reshape(mask.shape))


def _roughness(mask: Mask) -> int:
    """How many pairs of neighbouring pixels differ."""
    return int(np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1]))
