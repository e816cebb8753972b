"""Import of pictures: every mode becomes upright RGB, everything hostile becomes a sentence."""

from __future__ import annotations

import ast
import io
import random
import struct
import subprocess
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, GifImagePlugin, Image, ImageFile, features

from segr1_app.domain import DatasetError, PictureError
from segr1_app.images.budget import Budget
from segr1_app.images.masks import load_mask
from segr1_app.images.pictures import FORMATS, header_size, load_picture, opened, picture_from_array, picture_from_pil
from tests.constraints import ROOT
from tests.disks import bound_by_permissions
from tests.hostile.pictures import exif_block, tiff_with_a_fraction
from train.data.pairs import load_mask_values

HEADER = 8 + 25
"""Bytes of a PNG file's signature and header."""
RED, WHITE = (200, 30, 40), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_bomb(width: int, height: int) -> bytes:
    """A tiny PNG that claims a huge size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_once(orientation: int, kind: str, options: dict[str, bool]) -> None:
    upright = np.zeros((20, 40, 3), np.uint8)
    upright[:10, :20] = RED
    # What a camera stores so that the orientation tag turns it upright again: each operation's inverse.
    turns = {1: (), 2: (0,), 3: (3,), 4: (1,), 5: (5,), 6: (2,), 7: (6,), 8: (4,)}
    stored = Image.fromarray(upright)
    for turn in turns[orientation]:
        stored = stored.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = load_picture(encoded(stored, kind, exif=exif, **options))
    assert picture.size == (40, 20)
    assert np.array_equal(picture.pixels, upright)


@pytest.mark.parametrize("text_tag", [0x0100, 0x011A, 0x0128], ids=["width", "resolution", "unit"])
def test_nothing_in_exif_but_the_orientation_counts(text_tag: int) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:, :16] = RED
    stored = Image.fromarray(np.rot90(upright))
    picture = load_picture(encoded(stored, "JPEG", quality=100, subsampling=0, exif=exif_block(6, text_tag)))
    assert picture.size == (32, 16)
    assert np.abs(picture.pixels.astype(int) - upright).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    grey = Image.fromarray(np.full((4, 6), 255, np.uint8))
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 6), 65535, np.uint16))
    elif mode == "I":
        image = Image.fromarray(np.full((4, 6), 65535, np.int32))
    elif mode == "F":
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


@pytest.mark.parametrize(("value", "shade"), [(0, 0), (200, 1), (300, 1), (0x8080, 0x80), (65535, 255)])
@pytest.mark.parametrize(("dtype", "kind"), [(np.uint16, "PNG"), (np.uint16, "TIFF"), (np.int32, "TIFF")])
def test_the_shade_of_16_bits_is_that_of_the_value_alone(value: int, shade: int, dtype: type, kind: str) -> None:
    picture = load_picture(encoded(Image.fromarray(np.full((2, 3), value, dtype)), kind))
    assert (picture.pixels == shade).all()


@pytest.mark.parametrize(("brightest", "shade"), [(1, 128), (255, 128), (65535, 128), (1e9, 128)])
def test_floats_are_shades_of_the_least_white_that_holds_them(brightest: float, shade: int) -> None:
    values = np.array([[0, brightest / 2, brightest]], np.float32)
    assert load_picture(encoded(Image.fromarray(values), "TIFF")).pixels[0, :, 0].tolist() == [0, shade, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_numbers_are_refused(value: float) -> None:
    content = encoded(Image.fromarray(np.array([[0, value, 1]], np.float32)), "TIFF")
    with pytest.raises(PictureError, match="not a number"):
        load_picture(content)
    with pytest.raises(DatasetError, match="not a number"):
        load_mask(content)


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


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *(("TIFF", {"compression": "tiff_deflate"}), ("GIF", {}), ("BMP", {})),
        *(("JPEG", {}), ("WEBP", {"lossless": True, "method": 0}), ("AVIF", {"speed": 10})),
    ],
)
def test_size_is_limited_in_every_format(kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("L", (8001, 8000)).save(file, kind, **options)
    # Whatever reads the pixels comes too late.
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(PictureError, match="8001 x 8000 pixels exceeds the limit of 64 megapixels"):
        load_picture(file.getvalue())
    with pytest.raises(DatasetError, match="64 megapixels"):
        load_mask(file.getvalue())


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0"], ids=repr)
def test_what_is_not_a_picture_is_refused(content: bytes, tmp_path: Path) -> None:
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


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """A small PNG file with further chunks, given by kind and content, after its header."""
    plain = encoded(Image.new("RGB", (4, 4)))
    return plain[:HEADER] + b"".join(chunk(*each) for each in chunks) + plain[HEADER:]


@pytest.mark.parametrize("start", [b"zTXtk\0\0", b"iTXtk\0\1\0\0\0", b"iCCPk\0\0"])
def test_texts_and_profiles_that_unpack_to_a_lot_are_refused(start: bytes) -> None:
    assert load_picture(png_with((start[:4], start[4:] + zlib.compress(b"text")))).size == (4, 4)
    bomb = zlib.compress(bytes(64 * 2**20), 9)
    assert len(bomb) < 100_000
    with pytest.raises(PictureError, match="too large"):
        load_picture(png_with((start[:4], start[4:] + bomb)))


def test_many_texts_that_unpack_to_a_lot_are_refused() -> None:
    packed = zlib.compress(bytes(1_000_000), 9)
    with pytest.raises(PictureError, match="Too much memory used in text chunks"):
        load_picture(png_with(*((b"zTXt", b"%d\0\0" % number + packed) for number in range(80))))


def test_only_the_first_frame_of_an_animation_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = (Image.new("P", (50, 50), number % 2) for number in range(60))
    animation = encoded(first, "GIF", save_all=True, append_images=others)
    sought: list[int] = []
    monkeypatch.setattr(GifImagePlugin.GifImageFile, "seek", lambda _, frame: sought.append(frame))
    assert load_picture(animation).size == (50, 50)
    assert [frame for frame in sought if frame] == []


def test_hostile_pictures_are_refused_in_a_sentence() -> None:
    with pytest.raises(PictureError, match="damaged"):
        load_picture(tiff_with_a_fraction())
    with pytest.raises(DatasetError, match="damaged"):
        load_mask(tiff_with_a_fraction())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_whatever_is_written_into_a_header_nothing_but_our_own_errors_comes_out(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    chance = random.Random(0)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8))
    whole = encoded(picture, kind, exif=exif_block(6, 0x010F))
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 2, 4])):
            content[chance.randrange(min(len(content), 200))] = chance.choice([0, 1, 2, 5, 12, 127, 255])
        try:
            load_picture(bytes(content))
            load_mask(bytes(content))
        except (PictureError, DatasetError):
            refused += 1
    assert refused > 5


READERS: list[Callable[[Path], object]] = [
    load_picture,
    load_mask,
    load_mask_values,
    lambda file: header_size(file, "It"),
]


@pytest.mark.parametrize("read", READERS)
def test_no_other_program_is_started_for_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    ghostscript, started = tmp_path / "gs", tmp_path / "started"
    ghostscript.write_text(f"#!/bin/sh\ntouch '{started}'\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    file = tmp_path / "photo.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises((PictureError, DatasetError), match="is not a picture"):
        read(file)
    assert not started.exists()


@pytest.mark.parametrize("read", READERS)
def test_only_formats_that_are_meant_are_opened(tmp_path: Path, read: Callable[[Path], object]) -> None:
    Image.init()
    refused, file = set(), tmp_path / "photo.png"
    for kind in set(Image.SAVE) & set(Image.OPEN) - {*FORMATS, "MPO"}:
        try:
            file.write_bytes(encoded(Image.new("L", (16, 16), 255), kind))
            Image.open(file).close()
        except (OSError, ValueError):
            continue  # Pillow cannot write it here, or read what it wrote
        with pytest.raises((PictureError, DatasetError), match="is not a picture"):
            read(file)
        refused.add(kind)
    assert {"ICO", "PCX", "PPM", "SGI", "TGA"} <= refused


def test_every_file_is_opened_as_one_of_some_formats() -> None:
    for path in (*ROOT.glob("segr1_app/**/*.py"), *ROOT.glob("train/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                assert "formats" in {keyword.arg for keyword in node.keywords}, f"{path}:{node.lineno}"


def all_modes() -> dict[str, Image.Image]:
    """One picture in every mode, with values that differ everywhere."""
    values = np.random.default_rng(5).integers(0, 256, (9, 14, 4), np.uint8)
    deep = values.astype(np.uint16)[..., 0] * 200 + values[..., 1]
    colour, layered = Image.fromarray(values[..., :3].copy()), Image.fromarray(values)
    clear = colour.quantize(50)
    clear.info["transparency"] = 7
    made = {mode: colour.convert(mode) for mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV")}
    made |= {"RGBA": layered, "LA": layered.convert("LA"), "PA": clear.convert("PA"), "P, one clear": clear}
    return made | {"I;16": Image.fromarray(deep), "I": Image.fromarray(deep.astype(np.int32)),
                   "F": Image.fromarray(deep.astype(np.float32) / 9)}  # fmt: skip


@pytest.mark.parametrize("mode", all_modes())
def test_a_picture_does_not_depend_on_the_strips_in_which_it_is_converted(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = all_modes()[mode]
    whole = picture_from_pil(image)
    assert len(np.unique(whole.pixels)) > 1
    for pixels in (1, 30, 14 * 9):
        monkeypatch.setattr("segr1_app.images.pictures.STRIP_PIXELS", pixels)
        assert picture_from_pil(image).sha256 == whole.sha256


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "F"])
def test_converting_a_picture_takes_little_more_memory_than_it_has(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.images.pictures.STRIP_PIXELS", 2**14)
    image = Image.new(mode, (2000, 1000), 7)
    tracemalloc.start()
    try:
        picture = picture_from_pil(image)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1.4 * picture.pixels.nbytes


def test_large_pictures_are_decoded_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.images.pictures._DECODING", Budget(30))
    small, large = (encoded(Image.new("RGB", (side, 5))) for side in (2, 5))
    waiting, begun = threading.Event(), threading.Event()

    def decode() -> None:
        waiting.set()
        with opened(large, ""):
            begun.set()

    thread = threading.Thread(target=decode)
    with opened(large, ""):
        thread.start()
        waiting.wait(10)
        assert not begun.wait(0.2)
        assert header_size(large, "") == (5, 5)
        assert load_picture(encoded(Image.new("RGB", (1, 5)))).size == (1, 5)
    assert begun.wait(10)
    thread.join()
    with pytest.raises(PictureError), opened(small[:-30], "") as image:
        image.load()
    load_picture(large)


@pytest.mark.parametrize("kind", ["AVIF", "MPO"])
def test_less_usual_formats_are_read(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    picture = load_picture(encoded(Image.new("RGB", (16, 8), RED), kind))
    assert np.abs(picture.pixels.astype(int) - RED).max() <= 12


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "photo.png"
    folder.mkdir()
    with pytest.raises(PictureError, match=r"photo\.png' is a folder"):
        load_picture(folder)
    with pytest.raises(DatasetError, match=r"photo\.png' is a folder"):
        load_mask(folder)


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    Image.new("L", (2, 2)).save(file)
    file.chmod(0o000)
    code = (
        "from pathlib import Path\nfrom segr1_app.images.pictures import load_picture\n"
        f"load_picture(Path({str(file)!r}))"
    )
    done = subprocess.run([*bound_by_permissions(), "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith("photo.png' is not readable for this user: change its permissions.")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"absent\.png"):
        load_picture(tmp_path / "absent.png")


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2), np.uint8), np.zeros((0, 2, 3), np.uint8), np.zeros((2, 2, 3), np.float32)]
)
def test_arrays_that_are_not_pictures_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(PictureError, match="uint8"):
        picture_from_array(pixels)
