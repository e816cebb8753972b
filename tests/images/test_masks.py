"""Mask files of every kind: what they mark, and that no ambiguous one is guessed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from segr1_app.domain import DatasetError, ImageSize, Mask
from segr1_app.images.frames import turn_pixels
from segr1_app.images.masks import VOID, SeveralLabelsError, load_mask, load_mask_of, read_labels
from segr1_app.images.pictures import UPRIGHT, load_picture

SIZE = (90, 60)
OBJECT = np.zeros(SIZE[::-1], dtype=bool)
OBJECT[20:45, 10:50] = True
RIM = cv2.dilate(OBJECT.astype(np.uint8), np.ones((5, 5))).astype(bool) & ~OBJECT


def painted(*layers: tuple[Mask, int], ground: int = 0, dtype: type = np.uint8) -> np.ndarray:
    values = np.full(OBJECT.shape, ground, dtype=dtype)
    for mask, value in layers:
        values[mask] = value
    return values


def palette(indices: np.ndarray, colours: Sequence[int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.putpalette(list(colours))
    return image


def saved(tmp_path: Path, image: Image.Image | np.ndarray, suffix: str = ".png", **how: object) -> Path:
    path = tmp_path / f"m{suffix}"
    shown = image if isinstance(image, Image.Image) else Image.fromarray(image)
    shown.save(path, **how)
    return path


SECOND = np.zeros_like(OBJECT)
SECOND[5:15, 60:85] = True
WHITE_BLACK, BLACK_WHITE = [255, 255, 255, 0, 0, 0], [0, 0, 0, 255, 255, 255]
VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0]


@pytest.mark.parametrize("suffix", [".png", ".gif", ".tif"])
@pytest.mark.parametrize(("colours", "marked"), [(WHITE_BLACK, 0), (BLACK_WHITE, 1)])
def test_two_colour_palettes_are_read_by_colour(tmp_path: Path, suffix: str, colours: list[int], marked: int) -> None:
    indices = np.where(OBJECT, marked, 1 - marked)
    assert np.array_equal(load_mask(saved(tmp_path, palette(indices, colours), suffix)), OBJECT)


@pytest.mark.parametrize("index", [1, 7, 20])
@pytest.mark.parametrize("form", ["palette", "grey", "small"])
def test_index_255_above_a_small_one_is_void(tmp_path: Path, index: int, form: str) -> None:
    shape = OBJECT
    if form == "small":
        shape = np.zeros_like(OBJECT)
        shape[20:22, 10:12] = True
    rim = cv2.dilate(shape.astype(np.uint8), np.ones((5, 5))).astype(bool) & ~shape
    values = painted((shape, index), (rim, 255))
    image = palette(values, [*VOC, *[9, 200, 9] * 253]) if form == "palette" else values
    assert np.array_equal(load_mask(saved(tmp_path, image)), shape)


@pytest.mark.parametrize(
    "values",
    [
        painted((OBJECT, 1), (SECOND, 3)),
        painted((OBJECT, 1), (SECOND, 2), (RIM, 255)),
        painted((OBJECT, 100), (SECOND, 200)),
        painted((OBJECT, 128), (RIM, 255)),
        painted((OBJECT, 1000), (SECOND, 26001), dtype=np.uint16),
        painted((OBJECT, 1), (SECOND, 2), ground=3),
    ],
)
def test_several_classes_are_asked_about(tmp_path: Path, values: np.ndarray) -> None:
    path = saved(tmp_path, values)
    with pytest.raises(SeveralLabelsError, match=rf"{path.name}.*--class"):
        load_mask(path)
    label = str(int(values[OBJECT][0]))
    assert np.array_equal(load_mask(path, label), OBJECT)
    assert np.array_equal(load_mask(path, "all") & OBJECT, OBJECT)


@pytest.mark.parametrize("value", [1, 255, 256, 4660, 65535])
def test_16_bit_ids_of_one_object(tmp_path: Path, value: int) -> None:
    assert np.array_equal(load_mask(saved(tmp_path, painted((OBJECT, value), dtype=np.uint16))), OBJECT)


@pytest.mark.parametrize("colour", [255, 0, 90])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_one_colour_with_alpha_is_marked_by_the_alpha(tmp_path: Path, colour: int, mode: str) -> None:
    layers = np.dstack([np.full(OBJECT.shape, colour, np.uint8)] * (3 if mode == "RGBA" else 1))
    both = np.dstack([layers, OBJECT.astype(np.uint8) * 255])
    assert np.array_equal(load_mask(saved(tmp_path, both)), OBJECT)
    webp = Image.fromarray(both).convert("RGBA")
    assert np.array_equal(load_mask(saved(tmp_path, webp, ".webp", lossless=True, exact=True)), OBJECT)


def test_black_and_white_behind_alpha_are_read_where_they_show(tmp_path: Path) -> None:
    grey = OBJECT.astype(np.uint8) * 255
    alpha = np.where(np.arange(SIZE[0]) < 40, 255, 0)[None].repeat(SIZE[1], 0).astype(np.uint8)
    shown = load_mask(saved(tmp_path, np.dstack([grey, grey, grey, alpha])))
    assert np.array_equal(shown, OBJECT & (alpha > 0))


def test_a_transparent_palette_entry_is_background(tmp_path: Path) -> None:
    image = palette(OBJECT.astype(np.uint8), [255, 255, 255, 255, 0, 0])
    assert np.array_equal(load_mask(saved(tmp_path, image, transparency=0)), OBJECT)


@pytest.mark.parametrize("colour", [(255, 0, 0), (1, 2, 3), (128, 64, 128)])
def test_one_colour_on_black_is_the_object(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    values = np.zeros((*OBJECT.shape, 3), np.uint8)
    values[OBJECT] = colour
    values[RIM] = (224, 224, 192)
    path = saved(tmp_path, values)
    assert np.array_equal(load_mask(path), OBJECT), "the colour of void is left out"
    values[SECOND] = (0, 0, 200)
    path = saved(tmp_path, values)
    with pytest.raises(SeveralLabelsError, match="#0000c8"):
        load_mask(path)
    assert np.array_equal(load_mask(path, "#0000C8"), SECOND)


@pytest.mark.parametrize("blur", [3, 9, 31])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_soft_edges_stay_one_object(tmp_path: Path, blur: int, suffix: str) -> None:
    soft = cv2.GaussianBlur(OBJECT.astype(np.uint8) * 255, (blur, blur), 0)
    found = load_mask(saved(tmp_path, soft, suffix))
    wanted = soft > soft.max() / 2
    assert (found != wanted).mean() < 0.01


@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
def test_a_lossy_file_is_not_one_of_labels(tmp_path: Path, suffix: str) -> None:
    """Compression adds levels between black and white, which are not classes; real classes become indistinguishable."""
    white = np.dstack([OBJECT.astype(np.uint8) * 255] * 3)
    assert (load_mask(saved(tmp_path, white, suffix, quality=60)) != OBJECT).mean() < 0.005
    colours = np.where(OBJECT[..., None], (200, 0, 0), (0, 0, 0)).astype(np.uint8)
    assert (load_mask(saved(tmp_path, colours, suffix, quality=90)) != OBJECT).mean() < 0.01
    for second in ((0, 200, 0), (90, 90, 90)):
        colours[SECOND] = second
        with pytest.raises(DatasetError, match=r"several colours or grey levels.*save it as PNG"):
            load_mask(saved(tmp_path, colours, suffix, quality=90))


def test_a_lossy_tiff_is_not_one_of_labels(tmp_path: Path) -> None:
    white = np.dstack([OBJECT.astype(np.uint8) * 255] * 3)
    path = saved(tmp_path, white, ".tif", compression="jpeg", quality=60)
    assert (load_mask(path) != OBJECT).mean() < 0.005


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize(
    "colours", [((0, 0, 0), (255, 255, 255)), ((255, 255, 255), (0, 0, 0)), ((0, 0, 0), (9, 9, 200))]
)
def test_a_bitmap_of_two_colours_is_read_at_any_depth(
    tmp_path: Path, bits: int, colours: tuple[tuple[int, int, int], ...]
) -> None:
    """Pillow takes any palette of black and white for one of 1 bit."""
    marked = 0 if colours[0] == (255, 255, 255) else 1
    path = tmp_path / "m.bmp"
    path.write_bytes(bitmap(np.where(OBJECT, marked, 1 - marked).astype(np.uint8), bits, colours))
    assert np.array_equal(load_mask(path), OBJECT)
    assert (load_picture(path).pixels[OBJECT] == colours[marked]).all()


def test_a_grey_ramp_of_4_bit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.bmp"
    path.write_bytes(bitmap(OBJECT.astype(np.uint8) * 15, 4, tuple((level, level, level) for level in range(16))))
    assert np.array_equal(load_mask(path), OBJECT)


def bitmap(indices: np.ndarray, bits: int, colours: Sequence[tuple[int, int, int]]) -> bytes:
    """A BMP file of palette indices, which Pillow does not write at 4 bit."""
    height, width = indices.shape
    as_bits = np.unpackbits(indices[..., None], axis=2)[..., 8 - bits :].reshape(height, -1)
    rows = np.packbits(np.pad(as_bits, ((0, 0), (0, -as_bits.shape[1] % 32))), axis=1)[::-1].tobytes()
    palette = b"".join(struct.pack("<4B", *reversed(colour), 0) for colour in colours)
    offset = 54 + len(palette)
    sizes = (40, width, height, 1, bits, 0, len(rows), 2835, 2835, len(colours), 0)
    return (
        b"BM" + struct.pack("<I2HI", offset + len(rows), 0, 0, offset) + struct.pack("<3I2H6I", *sizes) + palette + rows
    )


def test_what_could_be_two_things_is_refused(tmp_path: Path) -> None:
    photograph = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    grey = cv2.GaussianBlur(photograph[..., 0], (5, 5), 0)
    red_and_black = palette(OBJECT.astype(np.uint8), [255, 0, 0, 0, 0, 0])
    for image in (photograph, grey, red_and_black):
        with pytest.raises(DatasetError, match=r"m\.png"):
            load_mask(saved(tmp_path, image))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_turned_as_its_own_tag_says(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.fromarray(OBJECT.astype(np.uint8) * 255)
    path = saved(tmp_path, image, exif=exif)
    seen = image.transpose(UPRIGHT[orientation]) if orientation > 1 else image
    found = load_mask(path)
    assert np.array_equal(found, np.asarray(seen) > 0)
    assert np.array_equal(found, turn_pixels(OBJECT, orientation))
    size = ImageSize(*seen.size)
    assert np.array_equal(load_mask_of(path, size, orientation), found), "its picture has the same tag"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_without_a_tag_is_fitted_by_its_size(tmp_path: Path, orientation: int) -> None:
    path = saved(tmp_path, OBJECT)
    seen = turn_pixels(OBJECT, orientation)
    size = ImageSize(seen.shape[1], seen.shape[0])
    if orientation in {2, 3, 4}:
        with pytest.raises(DatasetError, match="--orientation raw"):
            load_mask_of(path, size, orientation)
    else:
        assert np.array_equal(load_mask_of(path, size, orientation), seen)
    with pytest.raises(DatasetError, match="must be of one size"):
        load_mask_of(path, ImageSize(61, 91), orientation)


def test_labels_say_their_names_and_colours(tmp_path: Path) -> None:
    labels = read_labels(saved(tmp_path, palette(painted((OBJECT, 1), (SECOND, 2)), VOC)))
    assert labels.names == {1: "1", 2: "2"}
    assert labels.colours == {1: "#800000", 2: "#008000"}


def test_a_palette_that_was_never_filled_is_read_by_its_indices(tmp_path: Path) -> None:
    assert np.array_equal(load_mask(saved(tmp_path, palette(painted((OBJECT, 1)), [0, 0, 0, 0, 0, 0]))), OBJECT)


@pytest.mark.parametrize("values", [(1, 255), (2, 255), (1, 65535)])
def test_two_values_without_a_background_are_not_guessed_at(tmp_path: Path, values: tuple[int, int]) -> None:
    ground, value = values
    kind = np.uint16 if value > VOID else np.uint8
    path = saved(tmp_path, painted((OBJECT, value), ground=ground, dtype=kind))
    with pytest.raises(DatasetError, match=f"only has the values {ground} and {value}"):
        load_mask(path)


def test_indices_do_not_survive_lossy_compression(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="it has indices, which its lossy compression does not keep apart"):
        load_mask(saved(tmp_path, painted((OBJECT, 2)), ".jpg", quality=60))
