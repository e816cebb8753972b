"""Unusual forms that tools write: each was once read wrongly or dropped silently."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from segr1_app.domain import DatasetError, Mask
from segr1_app.images.masks import load_mask
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.outcomes import ImportReport
from tests.store.imports.files import (
    CAT,
    DEFAULT,
    HEIGHT,
    MASK,
    PLACE,
    WIDTH,
    bring,
    coco,
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
PAIRS = [[8, 6], [40, 6], [40, 30], [8, 30]]


def ellipse(x: float, y: float, rx: float, ry: float, degrees: float) -> Mask:
    """An ellipse turned clockwise about its centre, by the equation of an ellipse at the pixels' centres."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    angle = np.radians(degrees)
    along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    return (along / rx) ** 2 + (across / ry) ** 2 <= 1


def iou(one: Mask | None, other: Mask) -> float:
    assert one is not None
    return float((one & other).sum() / (one | other).sum())


def label_studio(folder: Path, *results: dict[str, Any]) -> Path:
    sides = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    content = [{"data": {"image": "a.png"}, "annotations": [{"result": [{**sides, **each} for each in results]}]}]
    write_json(folder / "tasks.json", content)
    return draw(folder / "a.png")


def test_ellipses_of_label_studio_are_turned(store: AnnotationStore, tmp_path: Path) -> None:
    value = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 10, "rotation": 40, "ellipselabels": ["cat"]}
    picture = label_studio(tmp_path, {"type": "ellipselabels", "value": value})
    bring(store, tmp_path)
    assert iou(truth(store, picture), ellipse(32, 24, 16, 4.8, 40)) > 0.95


def test_ellipses_of_cvat_are_turned(store: AnnotationStore, tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text(
        f'<annotations><image name="a.png" width="{WIDTH}" height="{HEIGHT}">'
        '<ellipse label="cat" cx="32" cy="24" rx="16" ry="5" rotation="40"/></image></annotations>'
    )
    picture = draw(tmp_path / "a.png")
    bring(store, tmp_path)
    assert iou(truth(store, picture), ellipse(32, 24, 16, 5, 40)) > 0.95


def test_names_that_label_studio_writes_apart_belong_to_their_regions(store: AnnotationStore, tmp_path: Path) -> None:
    percent = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in PAIRS]
    picture = label_studio(
        tmp_path,
        {"id": "r", "type": "polygon", "value": {"points": percent}},
        {"id": "r", "type": "labels", "value": {"points": percent, "labels": ["cat"]}},
        {"id": "s", "type": "choices", "value": {"choices": ["good"]}},
    )
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture), MASK)
    assert instructions(store) == [("a.png", CAT)]


def test_bitmasks_of_label_studio_are_read(store: AnnotationStore, tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(MASK).save(content, "PNG")
    url = "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
    value = {"imageDataURL": url, "bitmasklabels": ["cat"]}
    picture = label_studio(tmp_path, {"type": "bitmasklabels", "value": value})
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture), MASK)


@pytest.mark.parametrize(
    ("more", "reported"),
    [
        ({"type": "vectorlabels", "value": {"vertices": [], "vectorlabels": ["cat"]}}, "a vector marks no area"),
        (
            {"type": "polygonlabels", "image_rotation": 90, "value": {"points": PAIRS, "polygonlabels": ["cat"]}},
            "rotated",
        ),
    ],
)
def test_regions_of_label_studio_that_are_not_read_are_reported(
    store: AnnotationStore, tmp_path: Path, more: dict[str, Any], reported: str
) -> None:
    picture = label_studio(
        tmp_path, {"type": "polygonlabels", "value": {"points": PAIRS, "polygonlabels": ["cat"]}}, more
    )
    assert reported in bring(store, tmp_path).left_out[0]
    assert truth(store, picture) is None


def yolo(folder: Path, names: str, number: int = 0) -> Path:
    (folder / "labels").mkdir(parents=True)
    (folder / "labels" / "a.txt").write_text("0 .125 .125 .625 .125 .625 .625 .125 .625\n")
    (folder / "data.yaml").write_text(names, encoding="utf-8")
    return draw(folder / "images" / "a.png", seed=number)


def test_each_yolo_data_set_has_its_own_names(store: AnnotationStore, tmp_path: Path) -> None:
    one, two = yolo(tmp_path / "one", "names: [cat]"), yolo(tmp_path / "two", "names: {0: dog}", 1)
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, one, CAT), MASK)
    assert np.array_equal(truth(store, two, DOG), MASK)


def test_names_of_yolo_that_disagree_are_reported(store: AnnotationStore, tmp_path: Path) -> None:
    yolo(tmp_path, "names: [cat]")
    (tmp_path / "labels" / "classes.txt").write_text("dog\n")
    reported = bring(store, tmp_path).left_out
    assert "different names" in reported[0]
    assert not truths(store)


@pytest.mark.parametrize("names", ["names: [{name: cat}]", 'names: {"0": cat}', "names:\n- cat", "\ufeffnames: [cat]"])
def test_names_of_yolo_in_every_form(store: AnnotationStore, tmp_path: Path, names: str) -> None:
    picture = yolo(tmp_path, names)
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture), MASK)


def test_a_yolo_class_whose_name_is_not_a_text_is_reported(store: AnnotationStore, tmp_path: Path) -> None:
    yolo(tmp_path, "names: [[cat, dog]]")
    assert bring(store, tmp_path).left_out
    assert not truths(store)


def voc(folder: Path, labels: str, number: int = 0) -> Path:
    draw_mask(folder / "SegmentationClass" / "a.png", value=1)
    (folder / "labelmap.txt").write_text(labels)
    return draw(folder / "JPEGImages" / "a.png", seed=number)


def test_each_folder_of_masks_has_its_own_labelmap(store: AnnotationStore, tmp_path: Path) -> None:
    one = voc(tmp_path / "one", "background:0,0,0::\ncat:128,0,0::\n")
    two = voc(tmp_path / "two", "background:0,0,0::\ndog:128,0,0::\n", 1)
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, one, CAT), MASK)
    assert np.array_equal(truth(store, two, DOG), MASK)


def test_labelmaps_of_other_folders_that_disagree_are_reported(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "images" / "a.png")
    draw_mask(tmp_path / "masks" / "a.png", value=1)
    for name, word in (("one", "cat"), ("two", "dog")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labelmap.txt").write_text(f"background:0,0,0::\n{word}:128,0,0::\n")
    assert "put the names into a folder above it" in bring(store, tmp_path).left_out[0]
    assert not truths(store)


@pytest.mark.parametrize("kind", ["segments_info", "caption"])
def test_a_kind_of_coco_is_known_after_thousands_of_images(store: AnnotationStore, tmp_path: Path, kind: str) -> None:
    """COCO's own files of panoptic segments and captions list 5,000 images before the first annotation."""
    picture = draw(tmp_path / "val2017" / "0.png")
    more = {"license": 1, "coco_url": "http://x", "date_captured": "2013", "flickr_url": "http://y"}
    images = [image(number, f"{number}.png", **more) for number in range(3000)]
    if kind == "caption":
        annotations: list[Any] = [{"image_id": 0, "id": 1, "caption": "A cat."}]
    else:
        colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        colours[MASK] = (7, 0, 0)
        (tmp_path / "panoptic_val2017").mkdir()
        Image.fromarray(colours).save(tmp_path / "panoptic_val2017" / "0.png")
        annotations = [{"image_id": 0, "file_name": "0.png", "segments_info": [{"id": 7, "category_id": 1}]}]
    write_json(tmp_path / "panoptic_val2017.json", coco(images, annotations))
    reported = bring(store, tmp_path).left_out
    if kind == "caption":
        assert "captions are left out" in reported[0]
    else:
        assert not reported
        assert np.array_equal(truth(store, picture), MASK)


def test_columns_of_a_table_that_are_not_used_are_reported(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    row = {"file_name": "a.png", "objects": {"bbox": [[1, 2, 3, 4]], "categories": [0]}}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))
    report = bring(store, tmp_path)
    assert "columns objects are not used" in report.notices[0]
    assert not report.left_out


def test_polygons_of_roboflows_voc_are_read(store: AnnotationStore, tmp_path: Path) -> None:
    flat = "".join(f"<x{n}>{x}.0</x{n}><y{n}>{y}</y{n}>" for n, (x, y) in enumerate(PAIRS, start=1))
    text = (
        f"<annotation><filename>a.png</filename><size><width>{WIDTH}</width><height>{HEIGHT}</height></size><object>"
        f"<name>cat</name><bndbox><xmin>9.0</xmin><ymin>7</ymin><xmax>40</xmax><ymax>30</ymax></bndbox>"
        f"<polygon>{flat}</polygon></object></annotation>"
    )
    (tmp_path / "a.xml").write_text(text)
    picture = draw(tmp_path / "a.png")
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture), MASK)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_xml_with_a_mark_of_its_encoding(store: AnnotationStore, tmp_path: Path, encoding: str) -> None:
    points = ";".join(f"{x},{y}" for x, y in PAIRS)
    text = (
        f'<?xml version="1.0"?><annotations><image name="ä.png" width="{WIDTH}" height="{HEIGHT}">'
        f'<polygon label="cat" points="{points}"/></image></annotations>'
    )
    (tmp_path / "annotations.xml").write_bytes(text.encode(encoding))
    picture = draw(tmp_path / "ä.png")
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture), MASK)


def test_reasonseg_in_the_encoding_of_windows(store: AnnotationStore, tmp_path: Path) -> None:
    """Some of the published files are in it."""
    content = {"text": ["the cat’s ball"], "is_sentence": True, "shapes": [{"label": "target", "points": PAIRS}]}
    (tmp_path / "a.json").write_bytes(json.dumps(content, ensure_ascii=False).encode("cp1252"))
    picture = draw(tmp_path / "a.jpg")
    assert not bring(store, tmp_path).left_out
    assert truth(store, picture, "the cat’s ball") is not None


def via_table(folder: Path) -> ImportReport | None:
    shape = {"name": "polygon", "all_points_x": [x for x, _ in PAIRS], "all_points_y": [y for _, y in PAIRS]}
    with (folder / "via.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            [
                "filename",
                "file_size",
                "file_attributes",
                "region_count",
                "region_id",
                "region_shape_attributes",
                "region_attributes",
            ]
        )
        rows.writerow(["a.png", 1, "{}", 1, 0, json.dumps(shape), '{"class": "cat"}'])
        rows.writerow(["b.png", 1, "{}", 0, 0, "{}", "{}"])
    return None


def via_3(folder: Path) -> None:
    flat = [value for pair in PAIRS for value in pair]
    write_json(
        folder / "via.json",
        {
            "project": {"pid": "p"},
            "config": {},
            "attribute": {"1": {"aname": "class", "type": 4, "options": {"0": "cat", "1": "dog"}}},
            "file": {
                str(number): {"fid": str(number), "fname": f"{name}.png", "type": 2}
                for number, name in enumerate("ab", start=1)
            },
            "metadata": {"1_x": {"vid": "1", "flg": 0, "z": [], "xy": [7, *flat], "av": {"1": "0"}}},
            "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}},
        },
    )


@pytest.mark.parametrize("write", [via_table, via_3])
def test_other_forms_of_via(store: AnnotationStore, tmp_path: Path, write: Any) -> None:
    picture = draw(tmp_path / "a.png")
    draw(tmp_path / "b.png", seed=1)
    write(tmp_path)
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture), MASK)
    assert instructions(store) == [("a.png", CAT), ("b.png", DEFAULT)]


@pytest.mark.parametrize("wide", [1, 2, 4])
def test_the_unknown_zone_of_a_trimap_is_not_a_soft_edge(tmp_path: Path, wide: int) -> None:
    values = Image.new("L", (WIDTH, HEIGHT))
    pen = ImageDraw.Draw(values)
    x1, y1, x2, y2 = PLACE
    pen.rectangle((x1 - wide, y1 - wide, x2 - 1 + wide, y2 - 1 + wide), fill=128)
    pen.rectangle((x1, y1, x2 - 1, y2 - 1), fill=255)
    values.save(tmp_path / "mask.png")
    if wide == 1:
        found: npt.NDArray[np.bool_] = load_mask(tmp_path / "mask.png")
        assert found.sum() == (x2 - x1 + 2) * (y2 - y1 + 2)
    else:
        with pytest.raises(DatasetError, match="128"):
            load_mask(tmp_path / "mask.png")


def labelme(folder: Path, *shapes: dict[str, Any]) -> Path:
    more = {"imagePath": "a.png", "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
    write_json(folder / "a.json", {"version": "5.5.0", "flags": {}, "shapes": shapes, **more})
    return draw(folder / "a.png")


def test_one_shape_of_labelme_that_is_no_number_is_named(store: AnnotationStore, tmp_path: Path) -> None:
    broken = {"label": "dog", "points": [[float("nan"), 1], [2, 2], [3, 1]], "shape_type": "polygon"}
    picture = labelme(tmp_path, broken, {"label": "cat", "points": PAIRS, "shape_type": "polygon"})
    assert "shape 1 (dog) is left out: a corner is not a finite number" in bring(store, tmp_path).left_out[0]
    assert np.array_equal(truth(store, picture), MASK)


def test_a_mask_of_labelme_of_another_size_than_its_corners_is_refused(store: AnnotationStore, tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(np.ones((24, 32), bool)).save(content, "PNG")
    shape = {"label": "cat", "shape_type": "mask", "mask": base64.b64encode(content.getvalue()).decode()}
    picture = labelme(tmp_path, {**shape, "points": [[8, 6], [39, 29]]})
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture), MASK)
    labelme(tmp_path, {**shape, "label": "dog", "points": [[8, 6], [60, 40]]})
    assert "has 32 x 24 pixels, and its corners say 53 x 35" in bring(store, tmp_path).left_out[0]


@pytest.mark.parametrize("size", ["0", "0.0", ""])
def test_a_size_of_nothing_says_nothing(store: AnnotationStore, tmp_path: Path, size: str) -> None:
    (tmp_path / "a.xml").write_text(
        f"<annotation><filename>a.png</filename><size><width>{size}</width><height>{size}</height></size><object>"
        "<name>cat</name><bndbox><xmin>9</xmin><ymin>7</ymin><xmax>40</xmax><ymax>30</ymax></bndbox></object></annotation>"
    )
    draw(tmp_path / "a.png")
    report = bring(store, tmp_path)
    assert not report.left_out
    assert report.boxes == 1


@pytest.mark.parametrize("form", ["CVAT", "Label Studio", "X-AnyLabeling"])
def test_a_rotated_box_is_a_box_and_not_a_mask(store: AnnotationStore, tmp_path: Path, form: str) -> None:
    picture = draw(tmp_path / "a.png")
    if form == "CVAT":
        (tmp_path / "annotations.xml").write_text(
            f'<annotations><image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}"><box label="cat" xtl="12" '
            'ytl="14" xbr="32" ybr="24" rotation="90"/></image></annotations>'
        )
    elif form == "Label Studio":
        share = {"x": 2700 / WIDTH, "y": 900 / HEIGHT, "width": 2000 / WIDTH, "height": 1000 / HEIGHT, "rotation": 90}
        label_studio(tmp_path, {"type": "rectanglelabels", "value": {**share, "rectanglelabels": ["cat"]}})
    else:
        shape = {"label": "cat", "shape_type": "rotation", "points": [[22, 9], [27, 19], [22, 29], [17, 19]]}
        write_json(
            tmp_path / "a.json",
            {"imagePath": "a.png", "imageWidth": WIDTH, "imageHeight": HEIGHT, "version": "5", "shapes": [shape]},
        )
    assert not bring(store, tmp_path).left_out
    assert not truths(store)
    (box,) = prompts(store, picture)
    assert box == pytest.approx((17, 9, 27, 29))


def test_a_mask_of_several_pages_is_refused(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "images" / "a.png")
    one, other = (Image.fromarray(np.roll(MASK, shift, 1)) for shift in (0, 20))
    (tmp_path / "masks").mkdir()
    one.save(tmp_path / "masks" / "a.tif", save_all=True, append_images=[other])
    assert "2 pages" in " ".join(bring(store, tmp_path).left_out)
    assert not truths(store)


def test_a_polygon_with_x_and_y_exchanged_is_known_by_its_box_though_they_overlap(
    store: AnnotationStore, tmp_path: Path
) -> None:
    draw(tmp_path / "a.png")
    swapped = [[10, 20, 10, 40, 40, 40, 40, 20]]
    made = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": swapped, "bbox": [20, 10, 20, 30]}
    write_json(tmp_path / "a.json", coco([image()], [made]))
    assert "y comes before x" in " ".join(bring(store, tmp_path).left_out)
    assert not truths(store)


def test_tags_of_cvat_are_reported(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "annotations.xml").write_text(
        f'<annotations><image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}"><tag label="blurred"/></image>'
        "</annotations>"
    )
    report = bring(store, tmp_path)
    assert "blurred" in " ".join(report.notices)
    assert not report.left_out


def test_a_cancelled_annotation_of_label_studio_is_reported(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    content = [{"data": {"image": "a.png"}, "annotations": [{"was_cancelled": True, "result": []}]}]
    write_json(tmp_path / "tasks.json", content)
    assert "cancelled" in " ".join(bring(store, tmp_path).notices)


def test_a_label_of_labelme_is_a_text(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    shape = {"label": ["cat", "dog"], "shape_type": "polygon", "points": PAIRS}
    sides = {"imageWidth": WIDTH, "imageHeight": HEIGHT}
    write_json(tmp_path / "a.json", {"imagePath": "a.png", "version": "5", **sides, "shapes": [shape]})
    assert "label is not a text" in " ".join(bring(store, tmp_path).left_out)
    assert not truths(store)


def test_a_project_of_label_studio_with_its_configuration(store: AnnotationStore, tmp_path: Path) -> None:
    draw(tmp_path / "images" / "a b.png")
    task = {"data": {"image": "/data/local-files/?d=images/a%20b.png"}, "annotations": [{"result": []}]}
    write_json(tmp_path / "tasks.json", [task])
    (tmp_path / "config.xml").write_text('<View><Image name="image" value="$image"/></View>')
    assert not bring(store, tmp_path).left_out
    assert [name for name, _ in instructions(store)] == ["a b.png"]
