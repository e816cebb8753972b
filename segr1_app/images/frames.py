"""Frames of a picture: the size it was annotated at, its pixels as stored, and its pixels as displayed.

Cameras store pixels sideways, with an EXIF tag that says so. Some tools rotate the picture before it is annotated and
some do not; others annotate a scaled copy. A frame is recognised by its size; where two frames fit, none is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from segr1_app.domain import DatasetError, ImageSize, Mask
from segr1_app.geometry import resize_nearest


class Reading(StrEnum):
    """Whether annotations of rotated pictures refer to the pixels as stored or as displayed."""

    RAW = "raw"
    UPRIGHT = "upright"


_SWAPPED: Final = frozenset({5, 6, 7, 8})
"""Orientations that swap width and height."""
TURNS_NOTHING: Final = 1


@dataclass(frozen=True, slots=True)
class Frame:
    """The conversion from an annotation's coordinates to those of the picture as displayed.

    Attributes:
        size: size of the upright picture.
        declared: the size to which the annotation refers.
        orientation: EXIF orientation to apply to it, after scaling; 1 for none.
    """

    size: ImageSize
    declared: ImageSize
    orientation: int = TURNS_NOTHING

    @property
    def same(self) -> bool:
        """Whether both frames are the same, so that no conversion is needed."""
        return self.orientation == TURNS_NOTHING and tuple(self.declared) == tuple(self.size)

    def points(self, xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Convert points, float64 (N, 2) as x, y, from the declared frame to pixels of the upright picture."""
        stored = stored_size(self.size, self.orientation)
        scaled = xy * (stored.width / self.declared.width, stored.height / self.declared.height)
        x, y = scaled[:, 0], scaled[:, 1]
        width, height = stored
        turned = {
            1: (x, y),
            2: (width - x, y),
            3: (width - x, height - y),
            4: (x, height - y),
            5: (y, x),
            6: (height - y, x),
            7: (height - y, width - x),
            8: (y, width - x),
        }[self.orientation]
        return np.stack(turned, axis=1)

    def pixels(self, mask: Mask) -> Mask:
        """Convert a mask from the declared frame to that of the upright picture."""
        turned = turn_pixels(mask, self.orientation)
        return turned if turned.shape == (self.size.height, self.size.width) else resize_nearest(turned, self.size)


def stored_size(size: ImageSize, orientation: int) -> ImageSize:
    """The size of the pixels as stored, for a picture whose upright size is ``size``."""
    return ImageSize(size.height, size.width) if orientation in _SWAPPED else ImageSize(*size)


def turn_pixels(mask: Mask, orientation: int) -> Mask:
    """Rotate a mask of the stored pixels upright (Exif 2.32, 4.6.4)."""
    turned = {
        1: mask,
        2: mask[:, ::-1],
        3: mask[::-1, ::-1],
        4: mask[::-1],
        5: mask.T,
        6: mask[::-1].T,
        7: mask[::-1, ::-1].T,
        8: mask.T[::-1],
    }[orientation]
    return np.ascontiguousarray(turned)


def find_frame(size: ImageSize, orientation: int, declared: ImageSize | None, reading: Reading | None = None) -> Frame:
    """Find the frame of an annotation.

    Args:
        size: size of the upright picture.
        orientation: EXIF orientation of the picture's file.
        declared: the picture's size according to the annotation; None when it gives none.
        reading: which pixels were annotated, for cases that the sizes do not decide; None when unknown.

    Raises:
        DatasetError: when no reading fits, or two do.
    """
    stored = stored_size(size, orientation)
    if orientation == TURNS_NOTHING:
        if declared is None or _fits(declared, size):
            return Frame(size, declared or size)
        raise DatasetError(_no_fit(declared, size, stored))
    if declared is None:
        fitting = [Reading.RAW, Reading.UPRIGHT]
    else:
        same = [(Reading.RAW, tuple(declared) == tuple(stored)), (Reading.UPRIGHT, tuple(declared) == tuple(size))]
        scaled = [(Reading.RAW, _fits(declared, stored)), (Reading.UPRIGHT, _fits(declared, size))]
        fitting = [way for way, fits in same if fits] or [way for way, fits in scaled if fits]
        if not fitting:
            raise DatasetError(_no_fit(declared, size, stored))
    if reading in fitting:
        fitting = [reading]
    if len(fitting) > 1:
        raise DatasetError(
            f"its file has EXIF orientation {orientation}, and its annotations may be of the picture as stored or as "
            "displayed: choose with --orientation raw or --orientation upright."
        )
    if fitting == [Reading.UPRIGHT]:
        return Frame(size, declared or size)
    return Frame(size, declared or stored, orientation)


def fit_pixels(mask: Mask, size: ImageSize, orientation: int, reading: Reading | None = None) -> Mask:
    """Convert a mask file's pixels to the frame of its picture as displayed.

    Args:
        mask: bool (height, width), of the picture as stored or as displayed.
        size, orientation, reading: see `find_frame`.

    Raises:
        DatasetError: when it is of another size, or could be either.
    """
    of_mask = ImageSize(mask.shape[1], mask.shape[0])
    if tuple(of_mask) not in {tuple(size), tuple(stored_size(size, orientation))}:
        raise DatasetError(
            f"it is {of_mask.width} x {of_mask.height} pixels and its picture {size.width} x {size.height}: they must "
            "be of one size."
        )
    return find_frame(size, orientation, of_mask, reading).pixels(mask)


def _fits(declared: ImageSize, size: ImageSize) -> bool:
    """Whether one size can be a scaled copy of the other; rounding may change a side by one pixel."""
    if min(declared) < 1:
        return False
    wide = declared.width * size.height - declared.height * size.width
    return abs(wide) <= max(*declared, *size)


def _no_fit(declared: ImageSize, size: ImageSize, stored: ImageSize) -> str:
    also = "" if tuple(stored) == tuple(size) else f" ({stored.width} x {stored.height} as it is stored)"
    return (
        f"the annotation is of a picture of {declared.width} x {declared.height} pixels, but the file has "
        f"{size.width} x {size.height}{also}: neither it nor a scaled copy of it. Give the picture that was annotated."
    )
