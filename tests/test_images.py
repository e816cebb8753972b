"""Import of pictures: every mode becomes upright RGB, everything hostile becomes a sentence."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segr1_app.domain import DatasetError, PictureError
from segr1_app.images import load_mask, load_picture, picture_from_array, picture_from_pil

RED, WHITE = (200, 30, 40), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_bomb(width: int, height: int) -> bytes:
    """A tiny PNG that claims a huge size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_once(orientation: int) -> None:
    upright = np.zeros((20, 40, 3), np.uint8)
    upright[:10, :20] = RED
    # What a camera stores so that the orientation tag turns it upright again: each operation's inverse.
    turns = {1: (), 2: (0,), 3: (3,), 4: (1,), 5: (5,), 6: (2,), 7: (6,), 8: (4,)}
    stored = Image.fromarray(upright)
    for turn in turns[orientation]:
        stored = stored.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = load_picture(encoded(stored, "PNG", exif=exif))
    assert picture.size == (40, 20)
    assert np.array_equal(picture.pixels, upright)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    grey = Image.fromarray(np.full((4, 6), 255, np.uint8))
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 6), 65535, np.uint16))
    elif mode in {"I", "F"}:
        image = grey.convert(mode)
    else:
        image = grey.convert("RGB").convert(mode)
    picture = picture_from_pil(image)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape == (4, 6, 3)
    assert (picture.pixels >= 250).all()


def test_sixteen_bits_keep_their_shades() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(3, axis=0)
    picture = load_picture(encoded(Image.fromarray(ramp)))
    assert np.abs(picture.pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_transparent_parts_turn_white() -> None:
    image = Image.new("RGBA", (2, 1), (*RED, 255))
    image.putpixel((1, 0), (*RED, 0))
    picture = load_picture(encoded(image))
    assert tuple(picture.pixels[0, 0]) == RED
    assert tuple(picture.pixels[0, 1]) == WHITE
    palette = Image.new("P", (1, 1))
    palette.info["transparency"] = 0
    assert tuple(load_picture(encoded(palette, transparency=0)).pixels[0, 0]) == WHITE


def test_the_same_picture_has_the_same_hash_whatever_file_it_came_in() -> None:
    image = Image.new("RGB", (5, 7), RED)
    first, second = load_picture(encoded(image)), load_picture(encoded(image, "BMP"))
    assert first.sha256 == second.sha256
    assert first.sha256 != load_picture(encoded(Image.new("RGB", (7, 5), RED))).sha256


def test_pixels_cannot_be_changed_behind_the_hash() -> None:
    source = np.zeros((2, 2, 3), np.uint8)
    picture = picture_from_array(source)
    source[:] = 9
    assert not picture.pixels.any()
    with pytest.raises(ValueError, match="read-only"):
        picture.pixels[0, 0] = 1


@pytest.mark.parametrize("size", [(8001, 8001), (30_000, 30_000), (2**31 - 1, 2**31 - 1)], ids=str)
def test_huge_pictures_are_refused_before_they_are_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match="64 megapixels"):
        load_picture(png_bomb(*size))
    with pytest.raises(DatasetError, match=r"64 megapixels|mask cannot be read"):
        load_mask(png_bomb(*size))


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0"], ids=repr)
def test_what_is_no_picture_is_said_to_be_none(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(content)
    with pytest.raises(PictureError, match=r"photo\.png"):
        load_picture(file)
    with pytest.raises(DatasetError, match=r"photo\.png"):
        load_mask(file)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_truncated_pictures_are_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    with pytest.raises(PictureError, match="damaged"):
        load_picture(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="cannot be read"):
        load_mask(whole[: len(whole) // 2])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"absent\.png"):
        load_picture(tmp_path / "absent.png")


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2), np.uint8), np.zeros((0, 2, 3), np.uint8), np.zeros((2, 2, 3), np.float32)]
)
def test_arrays_that_are_no_pictures_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(PictureError, match="uint8"):
        picture_from_array(pixels)
