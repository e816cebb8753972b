"""Mask files of data sets as they are laid out: which picture each belongs to, and that none becomes a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.import_options import ImportOptions
from tests.store.imports.files import (
    DEFAULT,
    HEIGHT,
    MASK,
    WIDTH,
    box_mask,
    bring,
    draw,
    instructions,
    truths,
    write_json,
)

OTHER = box_mask(44, 32, 60, 46)


def draw_mask(path: Path, value: int = 255, other: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(MASK.shape, np.uint16 if max(value, other) > 255 else np.uint8)
    values[MASK], values[OTHER] = value, other
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("ISIC2018_Task1-2_Training_Input/ISIC_1.png", "ISIC2018_Task1_Training_GroundTruth/ISIC_1_segmentation.png"),
        ("DUTS-TR/DUTS-TR-Image/a.png", "DUTS-TR/DUTS-TR-Mask/a.png"),
        ("train/car_01.png", "train_masks/car_01_mask.gif"),
        ("training/images/21_training.tif", "training/1st_manual/21_manual1.gif"),
        ("bottle/test/broken/000.png", "bottle/ground_truth/broken/000_mask.png"),
        ("ds/img/a.png", "ds/masks_machine/a.png.png"),
        ("images/a.png", "masks/a.png.png"),
        ("images/train2017/a.png", "stuffthingmaps/train2017/a.png"),
        ("training/images/a.png", "training/v2.0/labels/a.png"),
        ("Train/Urban/images_png/1.png", "Train/Urban/masks_png/1.png"),
        ("JPEGImages/a.png", "SegmentationClassAug/a.png"),
        ("data/a.png", "labels/a.png"),
        ("my images/a.png", "my masks/a.png"),
        ("Images/A.PNG", "Masks/a.png"),
        ("CAMO/Images/Test/a.png", "CAMO/GT/a.png"),
        ("a.png", "a_MASK.PNG"),
        ("a.png", "mask_a.png"),
        ("104_sat.png", "104_mask.png"),
        ("MSRA/a.webp", "MSRA/a.png"),
    ],
)
def test_a_mask_finds_its_picture(store: AnnotationStore, tmp_path: Path, picture: str, mask: str) -> None:
    folder = tmp_path / "in"
    draw(folder / picture)
    draw_mask(folder / mask)
    account = bring(store, folder)
    assert account.left_out == []
    ((name, words), found), *more = truths(store).items()
    assert (name, words) == (Path(picture).name, DEFAULT)
    assert np.array_equal(found, MASK)
    assert not more
    assert account.pictures == 1


@pytest.mark.parametrize(
    ("pictures", "mask", "said"),
    [
        (["val/images/a.png"], "train/masks/a.png", "there is no picture called a."),
        (["dogs/images/1.png"], "cats/masks/1.png", "there is no picture called 1."),
        (["one/a.png", "two/a.png"], "masks/a.png", "it may be the mask of any of one/a.png, two/a.png"),
    ],
)
def test_a_mask_of_another_place_is_not_a_pictures_mask(
    store: AnnotationStore, tmp_path: Path, pictures: list[str], mask: str, said: str
) -> None:
    folder = tmp_path / "in"
    for seed, picture in enumerate(pictures):
        draw(folder / picture, seed)
    path = draw_mask(folder / mask)
    account = bring(store, folder)
    assert truths(store) == {}
    assert account.left_out[0].startswith(f"{path}: {said}")
    assert account.pictures == 0, "without any of the masks, none of the pictures is taken either"
    draw(folder / "three" / "images" / "z.png", 9)
    draw_mask(folder / "three" / "masks" / "z.png")
    account = bring(store, folder)
    assert [words for words in account.left_out if words.startswith(f"{path}: {said}")]
    assert [name for name, _ in truths(store)] == ["z.png"]
    assert account.pictures == len(pictures) + 1


@pytest.mark.parametrize("name", ["task-1-annotation-1-by-1-tag-cat-0.png", "x/segmentation_7.png", "depth/a.png"])
def test_masks_without_a_picture_keep_everything_out(store: AnnotationStore, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    draw(folder / "images" / "a.png")
    path = draw_mask(folder / name)
    account = bring(store, folder)
    assert list(store.tasks()) == []
    assert account.left_out[0].startswith(f"{path}: looks like masks, and nothing says of which pictures")
    assert bring(store, folder, options=ImportOptions(pictures_only=True)).pictures == 2


def test_a_folder_called_like_masks_may_hold_pictures(store: AnnotationStore, tmp_path: Path) -> None:
    """Pictures of people who wear masks are often in such folders."""
    folder = tmp_path / "in"
    for seed, place in enumerate(("with_mask", "without_mask")):
        draw(folder / place / f"{seed}.png", seed)
    assert bring(store, folder).left_out == []
    assert len(list(store.tasks())) == 2


def cityscapes(folder: Path, kind: str, value: int, other: int) -> None:
    draw(folder / "leftImg8bit" / "train" / "bonn" / "bonn_0_leftImg8bit.png")
    draw_mask(folder / "gtFine" / "train" / "bonn" / f"bonn_0_gtFine_{kind}.png", value, other)
    outlines = folder / "gtFine" / "train" / "bonn" / "bonn_0_gtFine_polygons.json"
    outlines.write_text('{"imgHeight": 48, "imgWidth": 64, "objects": []}')


@pytest.mark.parametrize(
    ("kind", "value", "other"), [("labelIds", 26, 24), ("labelTrainIds", 13, 11), ("instanceIds", 26003, 24)]
)
def test_any_mask_of_cityscapes_names_its_classes(
    store: AnnotationStore, tmp_path: Path, kind: str, value: int, other: int
) -> None:
    folder = tmp_path / "in"
    cityscapes(folder, kind, value, other)
    assert bring(store, folder).left_out == []
    found = {words: mask for (_, words), mask in truths(store).items()}
    assert np.array_equal(found["Identify and segment the car."], MASK)
    assert np.array_equal(found["Identify and segment the person."], OTHER)


ADE = "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t11664\t1172\t1\twall\n13\t0.02\t1\t1\t0\tperson, someone\n"


@pytest.mark.parametrize(
    ("file_name", "content"),
    [
        ("objectInfo150.txt", ADE),
        ("objectInfo150.csv", ADE.replace("\t", ",")),
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, wall\n13, person\n"),
        ("label_map.txt", "1: wall\n13: person\n"),
        ("classes.txt", "\n".join(["background", "wall", *(f"c{index}" for index in range(2, 13)), "person"])),
        ("id2label.json", '{"1": "wall", "13": "person"}'),
    ],
)
def test_classes_are_named_by_the_file_beside_the_masks(
    store: AnnotationStore, tmp_path: Path, file_name: str, content: str
) -> None:
    folder = tmp_path / "in"
    draw(folder / "images" / "a.png")
    draw_mask(folder / "annotations" / "a.png", 13, 1)
    (folder / file_name).write_text(content)
    assert bring(store, folder).left_out == []
    assert {words for _, words in truths(store)} == {
        "Identify and segment the person.",
        "Identify and segment the wall.",
    }


def test_instances_of_ade20k_are_of_the_class_that_is_their_red(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    draw(folder / "images" / "a.png")
    values = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    values[MASK], values[OTHER] = (2, 1, 0), (2, 2, 0)
    (folder / "annotations_instance").mkdir()
    Image.fromarray(values).save(folder / "annotations_instance" / "a.png")
    (folder / "categoryMapping.txt").write_text("1 8 bed\n2 9 windowpane; window\n")
    assert bring(store, folder).left_out == []
    (((_, words), mask),) = truths(store).items()
    assert words == "Identify and segment the windowpane."
    assert np.array_equal(mask, MASK | OTHER)


def test_a_class_that_no_mask_has_is_reported(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    draw(folder / "images" / "a.png")
    draw_mask(folder / "masks" / "a.png", 13, 1)
    account = bring(store, folder, options=ImportOptions(label="9"))
    assert account.left_out == ["No mask marks a class '9', only 1, 13."]


def test_a_mask_that_cannot_be_read_leaves_its_picture(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    draw(folder / "images" / "a.png")
    (folder / "masks").mkdir()
    values = np.zeros((HEIGHT, WIDTH), np.float32)
    values[0, 0] = np.nan
    Image.fromarray(values).save(folder / "masks" / "a.tif")
    (reported,) = bring(store, folder).left_out
    assert reported == (
        f"{folder}/images/a.png: its mask masks/a.tif is left out: Some of its values are infinite or not a number: "
        "replace them, or save it in 8 bit."
    )
    assert instructions(store) == [("a.png", DEFAULT)]


def test_instructions_are_for_the_pictures_of_their_folder(store: AnnotationStore, tmp_path: Path) -> None:
    for number, name in enumerate(("a.png", "sub/a.png", "sub/b.png")):
        draw(tmp_path / "images" / name, seed=number)
        draw_mask(tmp_path / "masks" / name)
    asked = {"sub/a.png": "Segment one.", "sub\\b": "Segment two.", "sub/c.png": "Segment three."}
    write_json(tmp_path / "instructions.json", asked)
    reported = bring(store, tmp_path).left_out
    assert sorted(instructions(store)) == [("a.png", "Segment one."), ("a.png", DEFAULT), ("b.png", "Segment two.")]
    assert len(reported) == 1
    assert "sub/c" in reported[0]
