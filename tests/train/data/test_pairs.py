"""Pairs are found by stem, never mispaired, and masks of any depth are read for what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segr1_app.domain import DatasetError
from segr1_app.images.masks import load_mask
from train.data.pairs import dataset_pairs, find_pairs, pack_pairs

LEFT_HALF = np.zeros((6, 8), bool)
LEFT_HALF[:, :4] = True


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    images, masks = tmp_path / "set" / "images", tmp_path / "set" / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    return images, masks


def write(path: Path, values: np.ndarray, mode: str | None = None) -> Path:
    picture = Image.fromarray(values)
    (picture.convert(mode) if mode else picture).save(path)
    return path


def picture(path: Path, width: int = 8, height: int = 6, grey: int = 90) -> Path:
    return write(path, np.full((height, width, 3), grey, np.uint8))


def mask(path: Path, values: np.ndarray = LEFT_HALF, brightest: int = 255) -> Path:
    return write(path, values.astype(np.uint8) * np.uint8(brightest))


def test_pairs_go_by_stem_in_order_whatever_the_extension(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    for name in ("b.JPG", "a.webp", "c.d.png", "only.jpeg"):
        picture(images / name)
    for name in ("c.d.bmp", "a.PNG", "b.png", "other.png"):
        mask(masks / name)
    (images / "notes.txt").write_text("no picture")
    (masks / "b.json").write_text("{}")
    (images / "a").mkdir()
    found = find_pairs(images, masks)
    assert [(p.stem, p.image.name, p.mask.name) for p in found.pairs] == [
        ("a", "a.webp", "a.PNG"),
        ("b", "b.JPG", "b.png"),
        ("c.d", "c.d.png", "c.d.bmp"),
    ]
    assert found.unpaired_images == (images / "only.jpeg",)
    assert found.unpaired_masks == (masks / "other.png",)
    assert dataset_pairs([images.parent]) == list(found.pairs)


def test_a_picture_pairs_by_any_ending_that_pictures_have(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    for name in ("a.jfif", "b.jpe", "c.avif", "d.MPO", "e.tif", "f.heic"):
        picture(images / "x.jpg").rename(images / name)
        mask(masks / f"{Path(name).stem}.png")
    found = find_pairs(images, masks)
    assert [pair.image.name for pair in found.pairs] == ["a.jfif", "b.jpe", "c.avif", "d.MPO", "e.tif", "f.heic"]
    assert found.describe_unpaired() == []


def test_everything_unpaired_is_reported_by_name(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    lonely, widowed = [f"lonely, {i}.jpg" for i in range(9)], [f"widowed{i}.png" for i in range(12)]
    for name in lonely:
        picture(images / name)
    for name in widowed:
        mask(masks / name)
    with pytest.raises(DatasetError, match="nothing to do") as refused:
        find_pairs(images, masks)
    picture(images / "a.jpg")
    mask(masks / "a.png")
    described = find_pairs(images, masks).describe_unpaired()
    assert [text.splitlines() for text in described] == [
        ["Images without a mask of the same name (9):", *(f"  {name}" for name in lonely)],
        ["Masks without an image of the same name (12):", *(f"  {name}" for name in sorted(widowed))],
    ]
    assert str(refused.value).split("\n", 1)[1] == "\n".join(described)


def test_a_stem_that_stands_twice_is_refused_by_name(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    picture(images / "cat.jpg")
    picture(images / "cat.png")
    mask(masks / "cat.png")
    with pytest.raises(DatasetError, match=r"cat\.png.*cat\.jpg"):
        find_pairs(images, masks)


def test_nothing_to_pair_and_missing_folders_are_errors(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    picture(images / "a.jpg")
    mask(masks / "b.png")
    with pytest.raises(DatasetError, match="nothing to do"):
        find_pairs(images, masks)
    with pytest.raises(DatasetError, match="no folder"):
        find_pairs(tmp_path / "absent", masks)
    with pytest.raises(DatasetError, match="no folder"):
        find_pairs(images, images / "a.jpg")


@pytest.mark.parametrize("brightest", [1, 38, 128, 255])
def test_a_mask_of_any_brightness_is_not_empty(tmp_path: Path, brightest: int) -> None:
    assert np.array_equal(load_mask(mask(tmp_path / "m.png", brightest=brightest)), LEFT_HALF)


@pytest.mark.parametrize("brightest", [1, 255, 65535])
def test_a_16_bit_mask(tmp_path: Path, brightest: int) -> None:
    path = write(tmp_path / "m.png", LEFT_HALF.astype(np.uint16) * np.uint16(brightest))
    assert np.array_equal(load_mask(path), LEFT_HALF)


@pytest.mark.parametrize("mode", ["1", "RGB", "RGBA", "LA"])
def test_a_mask_in_another_colour_mode(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path / "m.png", LEFT_HALF.astype(np.uint8) * 255, mode)
    assert np.array_equal(load_mask(path), LEFT_HALF)


def test_a_palette_mask_is_read_by_its_labels(tmp_path: Path) -> None:
    indexed = Image.fromarray(LEFT_HALF.astype(np.uint8)).convert("P")
    indexed.putpalette([200, 0, 0, 10, 10, 10])  # label 1 is the darker colour
    indexed.save(tmp_path / "m.png")
    assert np.array_equal(load_mask(tmp_path / "m.png"), LEFT_HALF)


def test_soft_edges_are_cut_at_one_half_and_black_is_empty(tmp_path: Path) -> None:
    soft = write(tmp_path / "soft.png", np.array([[0, 100, 127, 128, 255]], np.uint8))
    assert load_mask(soft).tolist() == [[False, False, False, True, True]]
    assert not load_mask(mask(tmp_path / "black.png", np.zeros((3, 3)))).any()


def test_a_file_that_is_not_a_mask_is_named(tmp_path: Path) -> None:
    whole = mask(tmp_path / "m.png", np.random.default_rng(0).random((64, 64)) > 0.5)
    torn = tmp_path / "torn.png"
    torn.write_bytes(whole.read_bytes()[:200])
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    for path in (torn, text):
        with pytest.raises(DatasetError, match=path.name):
            load_mask(path)


def test_packed_pairs_keep_picture_and_mask_together(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    for i, grey in enumerate((40, 80, 120)):
        picture(images / f"{i}.png", width=8 + i, grey=grey)
        mask(masks / f"{i}.png", np.arange(8 + i)[None].repeat(6, 0) < 2 + i)
    packed = pack_pairs([images.parent], 64, tmp_path / "cache")
    assert len(packed) == 3
    assert packed.images.shape == (3, 64, 64, 3)
    assert packed.stems.tolist() == ["0", "1", "2"]
    assert packed.datasets.tolist() == ["set"] * 3
    assert packed.sizes.tolist() == [[8, 6], [9, 6], [10, 6]]
    for i, grey in enumerate((40, 80, 120)):
        assert set(packed.images[i].flat) == {grey}
        assert (packed.masks[i] > 127).mean() == pytest.approx((2 + i) / (8 + i), abs=0.02)


def test_the_cache_is_used_again_until_a_file_changes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    picture(images / "a.png")
    mask(masks / "a.png")
    cache = tmp_path / "cache"
    pack_pairs([images.parent], 64, cache)
    (first,) = cache.iterdir()
    written = (first / "images.npy").stat().st_mtime_ns
    pack_pairs([images.parent], 64, cache)
    assert (first / "images.npy").stat().st_mtime_ns == written
    mask(masks / "a.png", ~LEFT_HALF | (np.arange(48).reshape(6, 8) % 5 == 0))
    changed = pack_pairs([images.parent], 64, cache)
    assert changed.masks[0][32, 60] == 255
    assert len(list(cache.iterdir())) == 2


def test_a_mask_of_another_size_is_refused_and_leaves_no_cache(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    picture(images / "a.png", width=9)
    mask(masks / "a.png")
    with pytest.raises(DatasetError, match=r"a\.png.*8 x 6 .*9 x 6"):
        pack_pairs([images.parent], 64, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
