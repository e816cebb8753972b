"""Files that no camera writes: pictures with false or malformed metadata."""

from __future__ import annotations

import io
import struct

from PIL import ExifTags, Image, TiffTags


def exif_block(orientation: int, text_tag: int) -> bytes:
    """EXIF with an orientation and one more tag, whose value is text whatever its type should be."""
    tag = ExifTags.Base.Orientation
    entries = sorted(
        [
            struct.pack(">HHIHH", tag, TiffTags.SHORT, 1, orientation, 0),
            struct.pack(">HHI4s", text_tag, TiffTags.ASCII, 4, b"abc\0"),
        ]
    )
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries)) + b"".join(entries) + bytes(4)


def tiff_with_a_fraction() -> bytes:
    """A TIFF whose pixel offset is a fraction: Pillow opens it but fails to decode it."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(buffer, "TIFF")
    whole, fraction = (
        struct.pack("<HH", ExifTags.Base.StripOffsets, kind) for kind in (TiffTags.LONG, TiffTags.RATIONAL)
    )
    assert whole in buffer.getvalue()
    return buffer.getvalue().replace(whole, fraction, 1)
