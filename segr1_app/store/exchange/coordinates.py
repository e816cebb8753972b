"""Numbers, corners and sizes as annotation files write them, some of them as texts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from segr1_app.domain import DatasetError, ImageSize

_LONGEST_NUMBER: Final = 40
LARGEST: Final = 1e18
"""Largest absolute value of a coordinate or length."""
OVER: Final = 0.01
"""How far a fraction may lie outside of the picture; Ultralytics allows as much."""
Ring: TypeAlias = npt.NDArray[np.float64]
"""Corners of a polygon, float64 (N, 2) as x, y."""


def ring_of(values: Iterable[Any]) -> Ring:
    """Corners from x, y, x, y, ...; or from pairs.

    Raises:
        ValueError: when they are not pairs of numbers.
    """
    listed = list(values)
    if listed and isinstance(listed[0], list | tuple):
        listed = [value for pair in listed for value in _pair(pair)]
    if len(listed) % 2:
        raise ValueError("a polygon has an odd number of coordinates")
    # Plain numbers all at once: there are millions of them in a file.
    plain = set(map(type, listed)) <= {int, float} and max(map(abs, listed), default=0) <= LARGEST
    numbers = listed if plain else [number(value, "a corner") for value in listed]
    corners: Ring = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(corners).all():
        raise ValueError("a corner is not a finite number: NaN")
    return corners


def number(value: Any, what: str) -> float:
    """A finite number, also one written as a text.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{what} is not a number: {str(value)[:_LONGEST_NUMBER]!r}")
    try:
        read = float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{what} is not a number: {str(value)[:_LONGEST_NUMBER]!r}") from error
    if not math.isfinite(read):
        spelled = value if isinstance(value, str) else json.dumps(value)
        raise ValueError(f"{what} is not a finite number: {spelled[:_LONGEST_NUMBER]}")
    if abs(read) > LARGEST:
        raise ValueError(f"{what} is larger than any picture: {str(value)[:_LONGEST_NUMBER]}")
    return read


def whole(value: Any, what: str) -> int:
    """A whole number, also one written as a text or as a float.

    Raises:
        ValueError: for anything else.
    """
    read = number(value, what)
    if read != int(read):
        raise ValueError(f"{what} is not a whole number: {value}")
    return int(read)


def check_fractions(values: Sequence[float]) -> None:
    """Refuse coordinates in pixels where fractions of a side are due.

    Raises:
        ValueError: for a coordinate outside of the picture.
    """
    far = [value for value in values if not -OVER <= value <= 1 + OVER]
    if far:
        raise ValueError(f"its coordinate {far[0]:g} is not a fraction of a side, from 0 to 1")


def size_of(width: Any, height: Any) -> ImageSize | None:
    """A size that a file declares; None where a side is missing, null or 0.

    Raises:
        DatasetError: when it is not a size.
    """
    if not width or not height:
        return None
    try:
        size = ImageSize(whole(width, "its width"), whole(height, "its height"))
    except ValueError as error:
        raise DatasetError(f"{error}.") from error
    if 0 in size:
        return None
    if min(size) < 1:
        raise DatasetError(f"its size is given as {size.width} x {size.height}, which no picture has.")
    return size


def _pair(values: Any) -> tuple[Any, Any]:
    if not isinstance(values, list | tuple) or len(values) < 2:
        raise ValueError("a corner has two coordinates")
    return values[0], values[1]
