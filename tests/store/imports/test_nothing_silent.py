"""What a file says is imported or reported: cut-off files, names and marks that match nothing, other encodings."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segr1_app.store import AnnotationStore
from tests.store.imports.files import (
    CAT,
    DEFAULT,
    HEIGHT,
    MASK,
    PLACE,
    WIDTH,
    annotation,
    bring,
    coco,
    corners,
    draw,
    image,
    instructions,
    prompts,
    truth,
    truths,
    write_json,
)
from tests.store.imports.test_pairing import draw_mask

DOG = "Identify and segment the dog."
ROW = f"0 {PLACE[0] / WIDTH} {PLACE[1] / HEIGHT} {PLACE[2] / WIDTH} {PLACE[1] / HEIGHT} "
ROW += f"{PLACE[2] / WIDTH} {PLACE[3] / HEIGHT} {PLACE[0] / WIDTH} {PLACE[3] / HEIGHT}\n"


def said(store: AnnotationStore, folder: Path) -> str:
    report = bring(store, folder)
    return " ".join([*report.notices, *report.left_out])


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def indexed(path: Path, colours: list[int], *values: int) -> None:
    """A mask with an area of each value, and a palette."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, value in enumerate(values):
        drawn[6:30, 8 + 16 * number : 24 + 16 * number] = value
    mask = Image.fromarray(drawn, mode="P")
    mask.putpalette(colours)
    path.parent.mkdir(parents=True, exist_ok=True)
    mask.save(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_texts_in_utf_16_are_read(store: AnnotationStore, tmp_path: Path, encoding: str) -> None:
    picture = draw(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.txt", ROW, encoding)
    write(tmp_path / "classes.txt", "cat\ndog\n", encoding)
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture), MASK)


@pytest.mark.parametrize("name", ["labels/a.txt", "classes.txt"])
def test_a_text_with_null_characters_is_none(store: AnnotationStore, tmp_path: Path, name: str) -> None:
    draw(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.txt", ROW)
    write(tmp_path / "classes.txt", "cat\ndog\n")
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:4] + b"\0" + content[4:])
    assert "null characters" in said(store, tmp_path)
    assert not truths(store)


@pytest.mark.parametrize("first", ["inf .5 .5 .1 .1", "nan .5 .5 .1 .1", "x"])
def test_labels_that_are_no_numbers_are_reported(store: AnnotationStore, tmp_path: Path, first: str) -> None:
    draw(tmp_path / "a.png")
    write(tmp_path / "a.txt", f"{first}\n{ROW}")
    write(tmp_path / "classes.txt", "cat\n")
    assert "a.txt" in said(store, tmp_path)
    assert not truths(store)


def test_labels_are_found_in_any_case_and_after_blank_lines(store: AnnotationStore, tmp_path: Path) -> None:
    picture = draw(tmp_path / "images" / "IMG_1.PNG")
    write(tmp_path / "labels" / "img_1.TXT", f"\n{ROW}")
    write(tmp_path / "classes.txt", "cat\n")
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture), MASK)


@pytest.mark.parametrize("name", ["no", "true", "NaN", "null", "1_000", "2026-01-01", "0x10"])
def test_a_class_of_yolo_is_called_as_it_is_written(store: AnnotationStore, tmp_path: Path, name: str) -> None:
    picture = draw(tmp_path / "a.png")
    write(tmp_path / "a.txt", ROW)
    write(tmp_path / "data.yaml", f"names: [{name}]\n")
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture, f"Identify and segment the {name}."), MASK)


@pytest.mark.parametrize("content", ["", "file_name,mask_file_name,instruction\n"])
def test_a_table_without_rows_is_reported(store: AnnotationStore, tmp_path: Path, content: str) -> None:
    draw(tmp_path / "a.png")
    write(tmp_path / "metadata.csv", content)
    assert "metadata.csv' has no rows" in said(store, tmp_path)


@pytest.mark.parametrize("cell", ["/data/masks/a.png", "masks/a.png"])
def test_a_picture_is_not_its_own_mask(store: AnnotationStore, tmp_path: Path, cell: str) -> None:
    draw_mask(tmp_path / "a.png")
    write(tmp_path / "metadata.csv", f"file_name,mask_file_name,instruction\na.png,{cell},the cat\n")
    assert "only the picture itself has the name of its mask" in said(store, tmp_path)
    assert not truths(store)


def test_masks_that_a_table_names_are_no_pictures(store: AnnotationStore, tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.png")
    draw_mask(tmp_path / "m" / "a.png")
    line = '{"file_name": "/data/a.png", "mask_file_name": "m/a.png", "instruction": "the cat"}'
    write(tmp_path / "Metadata.JSONL", line)
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture, "the cat"), MASK)


VOC_COLOURS = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]


def test_a_colour_that_the_labelmap_lacks_has_no_name(store: AnnotationStore, tmp_path: Path) -> None:
    picture = draw(tmp_path / "JPEGImages" / "a.png")
    indexed(tmp_path / "SegmentationClass" / "a.png", VOC_COLOURS, 1, 2)
    write(tmp_path / "labelmap.txt", "background:0,0,0::\ndog:0,128,0::\n")
    # The line of index 1 is missing: the dog is the second colour, not the second line.
    assert "marks 1, which the labelmap does not name" in said(store, tmp_path)
    assert [words for _, words in truths(store)] == [DOG]
    dog = truth(store, picture, DOG)
    assert dog is not None
    assert not dog[:, :24].any()


@pytest.mark.parametrize("labelmap", ["background\ncat\ndog\n", "0: background\n1: cat\n2: dog\n"])
def test_a_list_without_colours_names_indices_of_any_palette(
    store: AnnotationStore, tmp_path: Path, labelmap: str
) -> None:
    draw(tmp_path / "images" / "a.png")
    indexed(tmp_path / "masks" / "a.png", [0, 0, 0, 9, 200, 40, 77, 3, 3], 1, 2)
    write(tmp_path / "labelmap.txt", labelmap)
    assert not bring(store, tmp_path).left_out
    assert sorted(words for _, words in truths(store)) == [CAT, DOG]


def test_a_label_without_a_name_is_not_the_background(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "JPEGImages" / "a.png")
    indexed(tmp_path / "SegmentationClass" / "a.png", VOC_COLOURS, 1, 2)
    write(tmp_path / "labelmap.txt", "background:0,0,0::\n:128,0,0::\ndog:0,128,0::\n")
    assert "marks 1, which the labelmap does not name" in said(store, tmp_path)


@pytest.mark.parametrize(("name", "content"), [("labelmap.txt", ""), ("classes.txt", "cat\ndog\n")])
def test_names_that_cannot_be_assigned_are_reported(
    store: AnnotationStore, tmp_path: Path, name: str, content: str
) -> None:
    draw(tmp_path / "images" / "a.png")
    draw_mask(tmp_path / "masks" / "a.png", value=1)
    write(tmp_path / name, content)
    assert f"{name}: no names of classes can be read in it" in said(store, tmp_path)


def voc_xml(*objects: str) -> str:
    return f"<annotation><filename>a.png</filename>{''.join(objects)}</annotation>"


def voc_box(name: str, left: int, top: int, right: int, bottom: int) -> str:
    edges = f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
    return f"<object><name>{name}</name><bndbox>{edges}</bndbox></object>"


def test_the_only_class_beside_a_mask_is_its_class(store: AnnotationStore, tmp_path: Path) -> None:
    picture = draw(tmp_path / "JPEGImages" / "a.png")
    draw_mask(tmp_path / "SegmentationClass" / "a.png", value=1)
    write(tmp_path / "Annotations" / "a.xml", voc_xml(voc_box("cat", 9, 7, 40, 30)))
    assert "the boxes of 1 pictures are not used, for there are masks" in said(store, tmp_path)
    assert instructions(store) == [("a.png", CAT)]
    assert np.array_equal(truth(store, picture), MASK)


def test_a_box_that_ends_before_it_begins_is_refused(store: AnnotationStore, tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.png")
    write(tmp_path / "a.xml", voc_xml(voc_box("cat", 40, 7, 9, 30)))
    assert "its box ends before it begins" in said(store, tmp_path)
    assert prompts(store, picture) == []


def test_an_unknown_shape_of_cvat_is_reported(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    inner = '<cloud label="cat" points="1,1;9,1;9,9"/>'
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    write(tmp_path / "a.xml", f'<annotations><image id="0" name="a.png" {size}>{inner}</image></annotations>')
    assert "a cloud marks no area" in said(store, tmp_path)


def open_images(folder: Path, *rows: str, boxes: str = "") -> Path:
    write(folder / "masks.csv", "\n".join(["MaskPath,ImageID,LabelName", *rows, ""]))
    if boxes:
        write(folder / "boxes.csv", f"ImageID,LabelName,XMin,XMax,YMin,YMax\n{boxes}\n")
    for name in ("a_1.png", "a_2.png"):
        draw_mask(folder / "masks" / name)
    return draw(folder / "images" / "a.png")


def test_a_mask_that_no_row_names_is_reported(store: AnnotationStore, tmp_path: Path) -> None:
    open_images(tmp_path, "a_1.png,a,cat")
    assert "1 masks (a_2.png) are left out: no annotations name them" in said(store, tmp_path)


def test_boxes_of_open_images_are_fractions(store: AnnotationStore, tmp_path: Path) -> None:
    open_images(tmp_path, "a_1.png,a,cat", "a_2.png,a,cat", boxes="a,dog,8,40,6,30")
    assert "its coordinate 8 is not a fraction of a side" in said(store, tmp_path)


def of_coco(folder: Path, size: dict[str, int], place: tuple[int, ...]) -> None:
    write_json(folder / "a.json", coco([{"id": 1, "file_name": "a.png", **size}], [annotation([corners(*place)])]))


def of_via(folder: Path, _: dict[str, int], place: tuple[int, ...]) -> None:
    ring = corners(*place)
    shape = {"name": "polygon", "all_points_x": ring[::2], "all_points_y": ring[1::2]}
    region = {"shape_attributes": shape, "region_attributes": {"class": "cat"}}
    write_json(folder / "via.json", {"a.png1": {"filename": "a.png", "size": 1, "regions": [region]}})


@pytest.mark.parametrize("form", [of_coco, of_via])
def test_an_outline_of_a_larger_picture_is_refused_though_no_size_is_given(
    store: AnnotationStore, tmp_path: Path, form: Any
) -> None:
    picture = draw(tmp_path / "a.png")
    form(tmp_path, {}, (16, 12, 80, 60))
    assert "as if drawn on a larger one" in said(store, tmp_path)
    assert truth(store, picture) is None


@pytest.mark.parametrize("form", [of_coco, of_via])
def test_an_outline_may_overhang_its_picture_a_little(store: AnnotationStore, tmp_path: Path, form: Any) -> None:
    picture = draw(tmp_path / "a.png")
    form(tmp_path, {}, (16, 12, WIDTH + 2, HEIGHT + 1))
    assert not bring(store, tmp_path).left_out
    mask = truth(store, picture)
    assert mask is not None
    assert mask[12:, 16:].all()


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"fruit": "apple", "ripe": "yes"}, "none of its attributes fruit, ripe is called class or label"),
        ({"class": {"cat": True, "dog": True}}, "it has several classes: cat, dog"),
    ],
)
def test_a_class_of_via_is_not_guessed(
    store: AnnotationStore, tmp_path: Path, attributes: dict[str, Any], reason: str
) -> None:
    draw(tmp_path / "a.png")
    shape = {"name": "rect", "x": 8, "y": 6, "width": 9, "height": 9}
    region = {"shape_attributes": shape, "region_attributes": attributes}
    write_json(tmp_path / "via.json", {"a.png1": {"filename": "a.png", "size": 1, "regions": [region]}})
    assert reason in said(store, tmp_path)


def flags_of_labelme(folder: Path) -> None:
    content = {"version": "5", "flags": {"blurred": True, "dark": False}, "shapes": [], "imagePath": "a.png"}
    write_json(folder / "a.json", {**content, "imageHeight": HEIGHT, "imageWidth": WIDTH})


def label_of_datumaro(folder: Path) -> None:
    item = {"id": "a", "annotations": [{"type": "label", "label_id": 0}], "image": {"path": "a.png"}}
    labels = {"label": {"labels": [{"name": "blurred"}]}}
    write_json(folder / "a.json", {"info": {}, "categories": labels, "items": [item]})


def choice_of_label_studio(folder: Path) -> None:
    result = {"type": "choices", "from_name": "quality", "value": {"choices": ["blurred"]}}
    write_json(folder / "a.json", [{"data": {"image": "a.png"}, "annotations": [{"result": [result]}]}])


@pytest.mark.parametrize("write_it", [flags_of_labelme, label_of_datumaro, choice_of_label_studio])
def test_what_is_said_of_the_whole_picture_is_reported(store: AnnotationStore, tmp_path: Path, write_it: Any) -> None:
    draw(tmp_path / "a.png")
    write_it(tmp_path)
    report = bring(store, tmp_path)
    assert "not used" in " ".join(report.notices)
    assert not report.left_out
    assert instructions(store) == [("a.png", DEFAULT)]


def test_predictions_that_an_annotation_replaces_are_reported(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    value = {"x": 10, "y": 10, "width": 50, "height": 50, "rectanglelabels": ["cat"]}
    result = {"type": "rectanglelabels", "original_width": WIDTH, "original_height": HEIGHT, "value": value}
    both = {"annotations": [{"result": [result]}], "predictions": [{"result": [result], "score": 0.9}]}
    write_json(tmp_path / "tasks.json", [{"data": {"image": "a.png"}, **both}])
    assert "its predictions are not used, because somebody has annotated it" in said(store, tmp_path)


@pytest.mark.parametrize("sentences", [None, [], "the cat"])
def test_a_reference_without_expressions_is_reported(store: AnnotationStore, tmp_path: Path, sentences: Any) -> None:
    draw(tmp_path / "a.png")
    write_json(tmp_path / "instances.json", coco([image()], [annotation([corners(*PLACE)])]))
    write_json(tmp_path / "refs.json", [{"ref_id": 3, "ann_id": 1, "image_id": 1, "sentences": sentences}])
    assert "reference 3 is left out: it has no expressions" in said(store, tmp_path)


def test_one_text_of_reasonseg_that_is_none_is_reported(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    ring = [[8, 6], [40, 6], [40, 30], [8, 30]]
    shapes = [{"label": "target", "points": ring}]
    write_json(tmp_path / "a.json", {"text": ["the cat", 7], "is_sentence": False, "shapes": shapes})
    assert "one of its texts is not a text" in said(store, tmp_path)
    assert [words for _, words in truths(store)] == ["the cat"]


@pytest.mark.parametrize("mask", ["x_gtFine_labelIds.png", "x_alpha.png"])
def test_masks_in_the_folder_of_the_pictures_are_no_pictures(store: AnnotationStore, tmp_path: Path, mask: str) -> None:
    draw(tmp_path / "x_leftImg8bit.png")
    draw_mask(tmp_path / mask, value=26)
    bring(store, tmp_path)
    assert mask not in [name for name, _ in instructions(store)]


def renamed_in_voc(folder: Path) -> None:
    write(folder / "a.xml", voc_xml(voc_box("cat", 9, 7, 40, 30)).replace("a.png", "photos\\b.png"))


def renamed_in_labelme(folder: Path) -> None:
    shape = {"label": "cat", "points": [[8, 6], [40, 6], [40, 30]], "shape_type": "polygon"}
    content = {"version": "5", "flags": {}, "shapes": [shape], "imagePath": "b.png", "imageData": None}
    write_json(folder / "a.json", {**content, "imageHeight": HEIGHT, "imageWidth": WIDTH})


@pytest.mark.parametrize("write_it", [renamed_in_voc, renamed_in_labelme])
def test_a_picture_that_was_renamed_with_its_annotations_is_reported(
    store: AnnotationStore, tmp_path: Path, write_it: Any
) -> None:
    draw(tmp_path / "a.png")
    write_it(tmp_path)
    report = bring(store, tmp_path)
    assert "b.png is not there, so it is read as that of a.png" in " ".join(report.notices)
    assert not report.left_out
    assert [words for _, words in instructions(store)] == [CAT]


def test_an_index_of_other_columns_is_reported(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    write(tmp_path / "index.csv", "file,label\na,cat\n")
    assert "looks like a table (file,label)" in said(store, tmp_path)


@pytest.mark.parametrize("name", ["boxes.csv", "metadata.tsv"])
def test_an_empty_table_is_reported(store: AnnotationStore, tmp_path: Path, name: str) -> None:
    draw(tmp_path / "a.png")
    write(tmp_path / name, "\n")
    assert "looks like an empty table" in said(store, tmp_path)


def test_a_row_without_an_instruction_is_reported(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    draw_mask(tmp_path / "masks" / "a.png")
    write(tmp_path / "metadata.csv", "file_name,mask_file_name,instruction\na.png,masks/a.png,\n")
    assert "row 1 has no instruction of its own" in said(store, tmp_path)
    assert [words for _, words in truths(store)] == [DEFAULT]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_entries_of_an_archive_that_replace_others_are_reported(
    store: AnnotationStore, tmp_path: Path, kind: str
) -> None:
    entries = [
        ("classes.txt", b"cat"),
        ("a.txt", ROW.encode()),
        ("classes.txt", b"dog"),
        ("._a.txt", b""),
        ("._a.txt", b""),
    ]
    entries.append(("a.png", draw(tmp_path / "a.png").read_bytes()))
    path = tmp_path / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries:
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w") as tar:
            for name, content in entries:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    report = bring(store, path)
    assert f"{path}: it has several entries called classes.txt: the last of each is read." in report.notices
    assert [words for _, words in truths(store)] == [DOG]
