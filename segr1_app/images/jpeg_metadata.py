"""Remove the metadata of a JPEG file without touching its compressed pixels."""

from __future__ import annotations

import re
import struct
from typing import Final

_START, _SCAN, _END = 0xD8, 0xDA, 0xD9
_COMMENT: Final = 0xFE
_APPLICATIONS: Final = range(0xE0, 0xF0)
_NO_METADATA: Final = ((0xE0, b"JFIF\0"), (0xE2, b"ICC_PROFILE\0"), (0xEE, b"Adobe\0"))
"""Application segments that say how the pixels are decoded, and how each begins."""
_AFTER_SCAN: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""A marker that ends compressed pixels: neither a stuffed byte nor a restart (ITU T.81, B.1.1.5 and B.2.1)."""


def strip_jpeg(content: bytes, orientation: int) -> bytes | None:
    """A JPEG file with its EXIF orientation as the only metadata, and nothing after its first picture.

    Comments, EXIF with its GPS position and thumbnail, XMP, IPTC and makers' segments are left out; the colour profile
    and what a decoder needs stay. Such a file is returned unchanged.

    Args:
        content: all of the file.
        orientation: the value of its tag, 1 to 8.

    Returns:
        None for a file that is not built as the standard says.
    """
    if content[:2] != bytes((0xFF, _START)):
        return None
    kept = [content[:2]]
    place = 2
    while place + 2 <= len(content) and content[place] == 0xFF:
        kind = content[place + 1]
        if kind == 0xFF:  # filling before a marker
            place += 1
            continue
        if kind == _END:
            # JFIF wants to be the first segment.
            first = 2 if len(kept) > 1 and kept[1][:2] == b"\xff\xe0" else 1
            return b"".join((*kept[:first], _exif(orientation), *kept[first:], content[place : place + 2]))
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if kind == _SCAN:
            after = _AFTER_SCAN.search(content, end)
            if after is None:
                return None
            end = after.start()
        if not _is_metadata(kind, content[place + 4 : end]):
            kept.append(content[place:end])
        place = end
    return None


def _is_metadata(kind: int, payload: bytes) -> bool:
    if kind == _COMMENT:
        return True
    return kind in _APPLICATIONS and not any(
        kind == own and payload.startswith(beginning) for own, beginning in _NO_METADATA
    )


def exif_of(orientation: int) -> bytes:
    """EXIF data with this one tag (Exif 2.32, 4.5.4 and 4.6.4)."""
    tag, short, count = 0x0112, 3, 1
    directory = struct.pack(">HHHIHHI", 1, tag, short, count, orientation, 0, 0)
    return struct.pack(">2sHI", b"MM", 42, 8) + directory


def _exif(orientation: int) -> bytes:
    """An application segment with this one tag."""
    payload = b"Exif\0\0" + exif_of(orientation)
    return struct.pack(">BBH", 0xFF, 0xE1, len(payload) + 2) + payload
