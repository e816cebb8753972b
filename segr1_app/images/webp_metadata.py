"""Remove the metadata of a WebP file without touching its compressed pixels (RFC 9649)."""

from __future__ import annotations

from typing import Final

from segr1_app.images.jpeg_metadata import exif_of

_HEADER: Final = len(b"RIFF....WEBP")
_KEPT: Final = frozenset({b"ICCP", b"VP8 ", b"VP8L"})
"""Chunks of the colour profile and of opaque pixels."""
_HAS_EXIF, _HAS_XMP = 0b1000, 0b0100
"""Flags in the first byte of the chunk VP8X (RFC 9649, 2.7.1)."""


def strip_webp(content: bytes, orientation: int) -> bytes | None:
    """A WebP file with its EXIF orientation as the only metadata, and nothing after its picture.

    Args:
        content: all of the file.
        orientation: the value of its tag, 1 to 8.

    Returns:
        None for a file that is not built as the standard says, or is not a single picture.
    """
    if content[:4] != b"RIFF" or content[8:_HEADER] != b"WEBP":
        return None
    end = min(len(content), 8 + int.from_bytes(content[4:8], "little"))
    kept = []
    place = _HEADER
    while place + 8 <= end:
        kind, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        payload = content[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
        if kind == b"VP8X" and len(payload) == 10:
            payload = bytes([payload[0] & ~_HAS_XMP | _HAS_EXIF]) + payload[1:]
        elif kind not in _KEPT:
            continue
        kept.append(_chunk(kind, payload))
    if not kept or kept[0][:4] != b"VP8X":
        return None
    kept.append(_chunk(b"EXIF", exif_of(orientation)))
    body = b"".join((b"WEBP", *kept))
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "little") + payload + bytes(len(payload) % 2)
