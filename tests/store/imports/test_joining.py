"""Data sets in several folders and archives: annotations in one, their pictures or masks in another."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from segr1_app.store import AnnotationStore
from tests.store.imports.files import (
    CAT,
    DEFAULT,
    MASK,
    PLACE,
    annotation,
    bring,
    coco,
    corners,
    draw,
    image,
    instructions,
    truth,
    truths,
    write_json,
)
from tests.store.imports.test_pairing import draw_mask

COCO = coco([image()], [annotation([corners(*PLACE)])])


def pack(folder: Path, kind: str) -> Path:
    return Path(shutil.make_archive(str(folder), kind, folder)) if kind else folder


@pytest.mark.parametrize("kinds", [("zip", "zip"), ("gztar", "zip"), ("", "zip"), ("zip", ""), ("", "")])
def test_annotations_and_pictures_come_as_two(store: AnnotationStore, tmp_path: Path, kinds: tuple[str, str]) -> None:
    pictures, annotations = tmp_path / "val2017", tmp_path / "annotations_trainval2017"
    picture = draw(pictures / "val2017" / "a.png")
    write_json(annotations / "annotations" / "instances_val2017.json", COCO)
    account = bring(store, pack(pictures, kinds[0]), pack(annotations, kinds[1]))
    assert not account.left_out
    assert np.array_equal(truth(store, picture), MASK)
    assert instructions(store) == [("a.png", CAT)]


@pytest.mark.parametrize("kind", ["zip", ""])
def test_a_folder_of_masks_beside_one_of_pictures(store: AnnotationStore, tmp_path: Path, kind: str) -> None:
    picture = draw(tmp_path / "DUTS-TR-Image" / "a.jpg")
    draw_mask(tmp_path / "DUTS-TR-Mask" / "a.png")
    folders = [tmp_path / "DUTS-TR-Image", tmp_path / "DUTS-TR-Mask"]
    assert not bring(store, *(pack(folder, kind) for folder in folders)).left_out
    assert np.array_equal(truth(store, picture, DEFAULT), MASK)
    assert len(instructions(store)) == 1


def test_folders_of_one_split_each(store: AnnotationStore, tmp_path: Path) -> None:
    picture = draw(tmp_path / "images" / "train" / "a.jpg")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 .125 .125 .625 .125 .625 .625 .125 .625\n")
    (tmp_path / "labels" / "train" / "classes.txt").write_text("cat\n")
    assert not bring(store, tmp_path / "labels" / "train", tmp_path / "images" / "train").left_out
    assert np.array_equal(truth(store, picture), MASK)


def test_an_annotation_file_with_pictures_elsewhere(store: AnnotationStore, tmp_path: Path) -> None:
    picture = draw(tmp_path / "pictures" / "deep" / "a.png")
    file = write_json(tmp_path / "here" / "coco.json", COCO)
    assert not bring(store, file, tmp_path / "pictures").left_out
    assert np.array_equal(truth(store, picture), MASK)


def test_data_sets_of_their_own_stay_apart(store: AnnotationStore, tmp_path: Path) -> None:
    """Both have a picture a.png and annotations of it."""
    for number, name in enumerate(("one", "two")):
        draw(tmp_path / name / "a.png", seed=number)
        place = tuple(edge + number for edge in PLACE)
        write_json(tmp_path / name / "coco.json", coco([image()], [annotation([corners(*place)])]))
    assert not bring(store, tmp_path / "one", tmp_path / "two").left_out
    for number, name in enumerate(("one", "two")):
        found = truth(store, tmp_path / name / "a.png")
        assert np.array_equal(found, np.roll(MASK, (number, number), (0, 1)))
    assert len(truths(store)) == 1


def test_a_broken_archive_beside_another_is_named(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "images" / "a.png")
    (tmp_path / "annotations.zip").write_bytes(b"PK")
    account = bring(store, tmp_path / "annotations.zip", tmp_path / "images")
    assert [line for line in account.left_out if "annotations.zip: this ZIP archive cannot be read" in line]
    assert account.pictures == 1
