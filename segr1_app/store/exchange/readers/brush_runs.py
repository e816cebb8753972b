"""The run lengths of Label Studio's brush: bytes of an RGBA picture, in a stream of bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from segr1_app.domain import ImageSize, Mask

_WORD, _CHOICE = 5, 2
"""Number of bits of a value's size, and of the choice among four sizes of run lengths."""


def decode_brush(runs: Any, size: ImageSize) -> Mask:
    """A brush's mask, bool (height, width): where its alpha is above one half.

    The stream is: 32 bits for the number of values, 5 for the bits of a value less one, four times 4 for the sizes of
    run lengths less one, and then runs: a bit that tells whether one value is repeated, 2 for the size of the length,
    the length less one, and the value, or as many values.

    Raises:
        ValueError: when they are none, or do not fill the picture.
    """
    if not isinstance(runs, list):
        raise ValueError("its brush is not a list of numbers")
    try:
        bits = _Bits(np.unpackbits(np.array(runs, dtype=np.uint8)))
        count = bits.take(32)
        if count != size.width * size.height * 4:
            raise ValueError(f"its brush has {count} values, and its picture needs {size.width * size.height * 4}")
        word = bits.take(_WORD) + 1
        sizes = [bits.take(4) + 1 for _ in range(4)]
        values = np.zeros(count, dtype=np.uint8)
        place = 0
        while place < count:
            repeated = bits.take(1)
            length = bits.take(sizes[bits.take(_CHOICE)]) + 1
            end = min(place + length, count)
            if repeated:
                values[place:end] = bits.take(word)
            else:
                values[place:end] = [bits.take(word) for _ in range(end - place)]
            place = end
    except (TypeError, OverflowError, IndexError) as error:
        raise ValueError("its brush is cut off or in an unsupported format") from error
    mask: Mask = values.reshape(size.height, size.width, 4)[..., 3] > 127
    return mask


class _Bits:
    """A stream of bits, read from its front."""

    def __init__(self, bits: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self._bits = bits
        self._place = 0

    def take(self, count: int) -> int:
        taken = self._bits[self._place : self._place + count]
        if len(taken) < count:
            raise IndexError("the stream ended")
        self._place += count
        return int("".join(map(str, taken)), 2)
