"""Read grey BMP files of which Pillow mistakes the depth."""

from __future__ import annotations

from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from segr1_app.domain import PictureError

_BITMAP_DEPTHS = {"1": 1, "L": 8}
"""Bits per pixel of BMP files by the mode that Pillow gives those without a palette of colours."""
_BITMAP_INFO_BYTES = 40
"""From this length on, the header of a BMP file is of the newer kind."""


def is_misread(image: Image.Image, content: BinaryIO) -> bool:
    """Whether Pillow reads the pixels of a BMP file at another depth than its own.

    It takes every palette of black and white for 1 bit, and every grey ramp for 8 bit, whatever the depth is.
    """
    if image.format != "BMP" or image.mode not in _BITMAP_DEPTHS:
        return False
    content.seek(14)
    header = content.read(16)
    newer = int.from_bytes(header[:4], "little") >= _BITMAP_INFO_BYTES
    return int.from_bytes(header[14:16] if newer else header[10:12], "little") != _BITMAP_DEPTHS[image.mode]


def grey_bitmap(content: BinaryIO) -> Image.Image:
    """Read such a file.

    Raises:
        PictureError: when it cannot be read.
    """
    content.seek(0)
    pixels = cv2.imdecode(np.frombuffer(content.read(), np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise PictureError("It is a BMP file that cannot be read: save it as PNG.")
    return Image.fromarray(pixels)
