"""Annotations of every kind that is read, in the forms that its tools write.

It is long because each format has its own files and cases.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segr1_app.domain import Mask, ObjectPrompt
from segr1_app.geometry import encode_rle
from segr1_app.images.pictures import load_picture
from segr1_app.store import AnnotatedObject, AnnotationStore, Correction, Verdict
from segr1_app.store.exchange.formats import FORMATS
from segr1_app.store.exchange.import_options import ImportOptions
from tests.store.imports.files import (
    CAT,
    DEFAULT,
    HEIGHT,
    MASK,
    PLACE,
    WIDTH,
    annotation,
    box_mask,
    bring,
    coco,
    corners,
    draw,
    image,
    instructions,
    prompts,
    truths,
    write_json,
)

OTHER = box_mask(44, 32, 60, 46)
PAIRS = [[8, 6], [40, 6], [40, 30], [8, 30]]


def labelme(folder: Path) -> None:
    shape = {"label": "cat", "points": PAIRS, "group_id": None, "shape_type": "polygon", "flags": {}}
    content = {
        "version": "5.4.1",
        "flags": {},
        "shapes": [shape],
        "imagePath": "..\\pictures\\a.png",
        "imageData": None,
    }
    write_json(folder / "json" / "a.json", {**content, "imageHeight": HEIGHT, "imageWidth": WIDTH})
    draw(folder / "pictures" / "a.png")


def labelme_mask(folder: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(np.ones((24, 32), bool)).save(content, "PNG")
    text = base64.b64encode(content.getvalue()).decode()
    shape = {"label": "cat", "points": [[8, 6], [39, 29]], "shape_type": "mask", "mask": text}
    embedded = base64.b64encode(draw(folder / "a.png").read_bytes()).decode()
    (folder / "a.png").unlink()
    write_json(
        folder / "a.json", {"shapes": [shape], "imagePath": "a.png", "imageData": embedded, "imageHeight": HEIGHT}
    )


def yolo(folder: Path) -> None:
    draw(folder / "images" / "train" / "a.png")
    numbers = " ".join(f"{value / (WIDTH, HEIGHT)[place % 2]:.8f}" for place, value in enumerate(corners(*PLACE)))
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "labels" / "train" / "a.txt").write_text(f"1 {numbers}\n")
    (folder / "data.yaml").write_text("path: .\ntrain: images/train\nnames:\n  0: dog\n  1: cat\n")


def yolo_beside(folder: Path) -> None:
    yolo(folder)
    (folder / "data.yaml").unlink()
    (folder / "labels" / "train" / "a.txt").rename(folder / "images" / "train" / "a.txt")
    (folder / "classes.txt").write_text("dog\ncat\n")


def cvat(folder: Path) -> None:
    draw(folder / "images" / "sub" / "a.png")
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in PAIRS)
    (folder / "annotations.xml").write_text(
        f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task/></meta>'
        f'<image id="0" name="sub/a.png" width="{WIDTH}" height="{HEIGHT}">'
        f'<polygon label="cat" source="manual" occluded="0" points="{points}" z_order="0"/></image></annotations>'
    )


def cvat_mask(folder: Path) -> None:
    cvat(folder)
    text = (folder / "annotations.xml").read_text()
    polygon = text[text.index("<polygon") : text.index("</image>")]
    mask = '<mask label="cat" rle="0, 768" left="8" top="6" width="32" height="24"/>'
    (folder / "annotations.xml").write_text(text.replace(polygon, mask))


def label_studio(folder: Path) -> None:
    draw(folder / "images" / "0f3a91bc-a.png")
    points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in PAIRS]
    value = {"points": points, "closed": True, "polygonlabels": ["cat"]}
    result = {"type": "polygonlabels", "original_width": WIDTH, "original_height": HEIGHT, "value": value}
    skipped = {"was_cancelled": True, "result": [{**result, "value": {**value, "polygonlabels": ["dog"]}}]}
    task = {"id": 7, "data": {"image": "/data/upload/3/0f3a91bc-a.png"}, "annotations": [{"result": [result]}, skipped]}
    write_json(folder / "project.json", [task])


def datumaro(folder: Path) -> None:
    draw(folder / "images" / "train" / "a.png")
    made = {"id": 0, "type": "polygon", "label_id": 1, "group": 0, "points": corners(*PLACE)}
    item = {"id": "a", "annotations": [made], "image": {"path": "a.png", "size": [HEIGHT, WIDTH]}}
    labels = [{"name": "dog", "parent": ""}, {"name": "cat", "parent": ""}]
    content = {"infos": {}, "categories": {"label": {"labels": labels}}, "items": [item]}
    write_json(folder / "annotations" / "train.json", content)


def via(folder: Path) -> None:
    draw(folder / "a.png")
    shape = {"name": "polygon", "all_points_x": [x for x, _ in PAIRS], "all_points_y": [y for _, y in PAIRS]}
    region = {"shape_attributes": shape, "region_attributes": {"label": "cat"}}
    write_json(folder / "via.json", {"a.png1234": {"filename": "a.png", "size": 1234, "regions": [region]}})


def via_project(folder: Path) -> None:
    via(folder)
    metadata = json.loads((folder / "via.json").read_text())
    (region,) = metadata["a.png1234"]["regions"]
    region["region_attributes"] = {"kind": {"cat": True, "dog": False}}
    metadata["a.png1234"]["regions"] = {"0": region}
    write_json(folder / "via.json", {"_via_settings": {}, "_via_img_metadata": metadata})


def panoptic(folder: Path) -> None:
    draw(folder / "val2017" / "a.png")
    numbers = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    numbers[MASK] = (5, 1, 2)
    (folder / "annotations" / "panoptic_val2017").mkdir(parents=True)
    Image.fromarray(numbers).save(folder / "annotations" / "panoptic_val2017" / "a.png")
    segment = {"id": 5 + 256 + 2 * 65536, "category_id": 1}
    made = {"image_id": 1, "file_name": "a.png", "segments_info": [segment]}
    write_json(folder / "annotations" / "panoptic_val2017.json", coco([image()], [made]))


def class_masks(folder: Path) -> None:
    draw(folder / "JPEGImages" / "a.png")
    values = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    values[MASK] = (128, 0, 0)
    values[OTHER] = (0, 128, 0)
    (folder / "SegmentationClass").mkdir()
    Image.fromarray(values).save(folder / "SegmentationClass" / "a.png")
    (folder / "SegmentationObject").mkdir()
    Image.fromarray(values).save(folder / "SegmentationObject" / "a.png")
    (folder / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n"
    )


def index_masks(folder: Path) -> None:
    draw(folder / "img" / "a.png")
    values = np.where(OTHER, 2, np.where(MASK, 1, 0)).astype(np.uint8)
    (folder / "mask").mkdir()
    Image.fromarray(values).save(folder / "mask" / "a.png")
    (folder / "class_names.txt").write_text("_background_\ncat\ndog\n")


def cityscapes(folder: Path) -> None:
    draw(folder / "leftImg8bit" / "val" / "bonn" / "bonn_000000_000019_leftImg8bit.png")
    target = folder / "gtFine" / "val" / "bonn"
    target.mkdir(parents=True)
    for ending, value in (("labelIds", 26), ("instanceIds", 26001)):
        values = np.where(MASK, value, 0).astype(np.uint16 if value > 255 else np.uint8)
        Image.fromarray(values).save(target / f"bonn_000000_000019_gtFine_{ending}.png")


def labelme_xml(folder: Path) -> None:
    draw(folder / "Images" / "set" / "a.png")
    (folder / "Masks" / "set").mkdir(parents=True)
    Image.fromarray(MASK.astype(np.uint8) * 255).save(folder / "Masks" / "set" / "a_mask_0.png")
    corner = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in PAIRS)
    (folder / "Annotations" / "set").mkdir(parents=True)
    (folder / "Annotations" / "set" / "a.xml").write_text(
        "<annotation><filename>a.png</filename><folder>set</folder>"
        f"<imagesize><nrows>{HEIGHT}</nrows><ncols>{WIDTH}</ncols></imagesize>"
        "<object><name>cat</name><deleted>0</deleted><segm><mask>a_mask_0.png</mask></segm></object>"
        f"<object><name>cat</name><deleted>0</deleted><type>bounding_box</type><polygon>{corner}</polygon></object>"
        f"<object><name>mouse</name><deleted>0</deleted><polygon>{corner}</polygon></object>"
        "<object><name>dog</name><deleted>1</deleted></object></annotation>"
    )


def open_images(folder: Path) -> None:
    """Masks are smaller than their pictures, and classes are codes."""
    draw(folder / "train" / "0a1b.png")
    (folder / "train-masks-0").mkdir()
    small = Image.fromarray(MASK[::2, ::2].astype(np.uint8) * 255)
    small.save(folder / "train-masks-0" / "0a1b_m01yrx_77.png")
    (folder / "class-descriptions-boxable.csv").write_text("/m/01yrx,Cat\n/m/0bt9lr,Dog\n".lower())
    (folder / "train-annotations-object-segmentation.csv").write_text(
        "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"
        "0a1b_m01yrx_77.png,0a1b,/m/01yrx,77,0.125,0.625,0.125,0.625,0.9,\n"
    )
    (folder / "train-annotations-bbox.csv").write_text(
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded\n"
        "0a1b,xclick,/m/01yrx,1,0.125,0.625,0.125,0.625,0\n0a1b,xclick,/m/0bt9lr,1,0.7,0.9,0.7,0.9,0\n"
    )
    (folder / "train-images-with-rotation.csv").write_text("ImageID,Subset,Rotation\n0a1b,train,0\n")


def label_studio_min(folder: Path) -> None:
    draw(folder / "a.png")
    points = [[x / WIDTH * 100, y / HEIGHT * 100] for x, y in PAIRS]
    region = {"points": points, "polygonlabels": ["cat"], "original_width": WIDTH, "original_height": HEIGHT}
    task = {"image": "/data/upload/1/12345678-a.png", "id": 1, "label": [region], "annotator": 1, "annotation_id": 2}
    write_json(folder / "export.json", [task])


def youtube_vos(folder: Path) -> None:
    draw(folder / "train" / "JPEGImages" / "v1" / "00000.png")
    target = folder / "train" / "Annotations" / "v1"
    target.mkdir(parents=True)
    Image.fromarray(np.where(OTHER, 2, np.where(MASK, 1, 0)).astype(np.uint8)).save(target / "00000.png")
    objects = {"1": {"category": "cat", "frames": ["00000"]}, "2": {"category": "dog", "frames": ["00000"]}}
    write_json(folder / "train" / "meta.json", {"videos": {"v1": {"objects": objects}}})


CAR = "Identify and segment the car."
FORMS: list[tuple[Callable[[Path], None], str, float]] = [
    (labelme, CAT, 1.0),
    (labelme_mask, CAT, 1.0),
    (yolo, CAT, 0.95),
    (yolo_beside, CAT, 0.95),
    (cvat, CAT, 1.0),
    (cvat_mask, CAT, 1.0),
    (label_studio, CAT, 0.99),
    (datumaro, CAT, 1.0),
    (via, CAT, 1.0),
    (via_project, CAT, 1.0),
    (panoptic, CAT, 1.0),
    (class_masks, CAT, 1.0),
    (index_masks, CAT, 1.0),
    (cityscapes, CAR, 1.0),
    (labelme_xml, CAT, 1.0),
    (open_images, CAT, 0.99),
    (label_studio_min, CAT, 0.99),
    (youtube_vos, CAT, 1.0),
]


@pytest.mark.parametrize(("form", "instruction", "least"), FORMS, ids=[form.__name__ for form, _, _ in FORMS])
@pytest.mark.parametrize("packed", ["folder", "zip", "tar.gz"])
def test_a_class_becomes_a_task_with_its_truth(  # noqa: PLR0917 - three of them are parameters
    store: AnnotationStore,
    tmp_path: Path,
    form: Callable[[Path], None],
    instruction: str,
    least: float,
    packed: str,
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    form(folder)
    account = bring(store, pack(folder, packed))
    assert account.left_out == []
    assert account.pictures == 1
    (mask,) = (found for (_, words), found in truths(store).items() if words == instruction)
    assert overlap(mask, MASK) >= least
    assert DEFAULT not in {words for _, words in instructions(store)}
    assert list(store.verify()) == []


def pack(folder: Path, how: str) -> Path:
    if how == "folder":
        return folder
    archive = folder.parent / f"in.{how}"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if how == "zip":
        with zipfile.ZipFile(archive, "w") as made:
            for path in files:
                made.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz") as made:
            made.add(folder, ".")
    return archive


def overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(
    ("annotations", "pictures"),
    [
        ("annotations/instances_val2017.json", "val2017/a.png"),
        ("annotations/instances_default.json", "images/default/a.png"),
        ("annotations/instances_train.json", "images/train/a.png"),
        ("labels.json", "data/a.png"),
        ("train/_annotations.coco.json", "train/a.png"),
        ("result.json", "images/a.png"),
        ("coco/deep/down.json", "elsewhere/A.PNG"),
    ],
)
@pytest.mark.parametrize(
    "called",
    [
        "a.png",
        "images\\a.png",
        "/home/ada/set/a.png",
        "C:\\set\\a.png",
        "https://host/set/a.png?size=2",
        "%61.png",
        "./a.png",
    ],
)
def test_a_picture_is_found_by_the_tail_of_its_name(
    store: AnnotationStore, tmp_path: Path, annotations: str, pictures: str, called: str
) -> None:
    folder = tmp_path / "in"
    draw(folder / pictures, suffix="PNG")
    write_json(folder / annotations, coco([image(1, called)], [annotation([corners(*PLACE)])]))
    account = bring(store, folder)
    assert account.left_out == []
    ((_, mask),) = truths(store).items()
    assert np.array_equal(mask, MASK)


def test_pictures_of_one_name_are_told_apart_or_refused(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for seed, name in enumerate(("x/0.png", "y/0.png", "train/1.png", "val/1.png")):
        draw(folder / name, seed)
    images = [image(1, "deep/x/0.png"), image(2, "z/0.png"), image(3, "1.png"), image(4, "y/0.png")]
    annotations = [annotation([corners(*PLACE)], number) for number in range(1, 5)]
    write_json(folder / "instances_val.json", coco(images, annotations))
    account = bring(store, folder, options=ImportOptions())
    assert {name for name, _ in truths(store)} == {"deep/x/0.png", "y/0.png", "1.png"}
    reported = "\n".join(account.left_out)
    assert "several pictures of the annotations are called 0.png" in reported
    assert "1 pictures (1.png) are left out: no annotations mention them" in reported, "the one in train"


def reasonseg(folder: Path) -> Path:
    target = {"label": "target", "points": PAIRS, "shape_type": "polygon"}
    ignored = {"label": "ignore", "points": [[10, 8], [14, 8], [14, 12], [10, 12]]}
    flag = {"label": "flag", "points": [[0, 0]]}
    content = {"text": ["Which one purrs?", "Who says meow?"], "is_sentence": True, "shapes": [target, ignored, flag]}
    write_json(folder / "val" / "a.json", content)
    return draw(folder / "val" / "a.jpg")


def test_reasonseg_asks_its_own_questions(store: AnnotationStore, tmp_path: Path) -> None:
    reasonseg(tmp_path / "in")
    account = bring(store, tmp_path / "in")
    assert account.left_out == []
    found = truths(store)
    assert [words for _, words in found] == ["Which one purrs?", "Who says meow?"]
    wanted = box_mask(8, 6, 41, 31) & ~box_mask(10, 8, 15, 13)
    assert all(np.array_equal(mask, wanted) for mask in found.values())


def references(folder: Path, content: Any, name: str = "refs(unc).p") -> None:
    draw(folder / "images" / "a.png")
    boxes = [annotation([corners(*PLACE)], id=11), annotation([corners(44, 32, 60, 46)], id=12)]
    write_json(folder / "instances.json", coco([image()], boxes))
    if name.endswith(".p"):
        (folder / name).write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    else:
        write_json(folder / name, content)


def sentences(*texts: str) -> list[dict[str, Any]]:
    return [{"raw": text, "sent": text.lower(), "tokens": text.split(), "sent_id": 1} for text in texts]


def test_expressions_for_objects_of_videos_are_asked(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    youtube_vos(folder)
    expressions = {"0": {"exp": "the animal that purrs", "obj_id": "1"}, "1": {"exp": "a barking one", "obj_id": "2"}}
    about = {"videos": {"v1": {"expressions": expressions, "frames": ["00000"]}}}
    write_json(folder / "meta_expressions" / "train" / "meta_expressions.json", about)
    assert bring(store, folder).left_out == []
    found = {words: mask for (_, words), mask in truths(store).items()}
    assert np.array_equal(found["the animal that purrs"], MASK)
    assert np.array_equal(found["a barking one"], OTHER)
    assert np.array_equal(found[CAT], MASK)


def test_objects_of_videos_that_nobody_names_are_counted(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    youtube_vos(folder)
    write_json(folder / "train" / "meta.json", {"videos": {"other": {"objects": {}}}})
    account = bring(store, folder)
    assert truths(store) == {}
    assert account.left_out[:2] == [
        f"1 masks of object {label} of the video v1 are left out: it has no name." for label in (1, 2)
    ]


def test_an_object_of_a_video_without_a_name_is_counted_beside_others(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    youtube_vos(folder)
    write_json(folder / "train" / "meta.json", {"videos": {"v1": {"objects": {"1": {"category": "cat"}}}}})
    account = bring(store, folder)
    assert [words for _, words in truths(store)] == [CAT]
    assert account.left_out == ["1 masks of object 2 of the video v1 are left out: it has no name."]


def test_refcoco_asks_its_expressions(store: AnnotationStore, tmp_path: Path) -> None:
    content = [
        {"ref_id": 1, "ann_id": 11, "image_id": 1, "split": "val", "sentences": sentences("left cat", "the big one")},
        {"ref_id": 2, "ann_id": 12, "image_id": 1, "split": "val", "sentences": sentences("right cat")},
        {"ref_id": 3, "ann_id": 99, "image_id": 1, "split": "val", "sentences": sentences("nobody")},
    ]
    references(tmp_path / "in", content)
    account = bring(store, tmp_path / "in")
    found = {words: mask for (_, words), mask in truths(store).items()}
    assert np.array_equal(found["left cat"], MASK)
    assert np.array_equal(found["the big one"], MASK)
    assert np.array_equal(found["right cat"], OTHER)
    (reported,) = account.left_out
    assert "reference 3 is left out: there is no annotation with its ann_id 99" in reported
    assert CAT not in found, "the categories are not asked for"


def test_grefcoco_asks_for_several_and_for_nothing(store: AnnotationStore, tmp_path: Path) -> None:
    content = [
        {"ref_id": 1, "ann_id": [11, 12], "image_id": 1, "sentences": sentences("both cats")},
        {"ref_id": 2, "ann_id": [-1], "image_id": 1, "no_target": True, "sentences": sentences("the dog")},
    ]
    references(tmp_path / "in", content, "grefs(unc).json")
    assert bring(store, tmp_path / "in").left_out == []
    found = {words: mask for (_, words), mask in truths(store).items()}
    assert np.array_equal(found["both cats"], MASK | OTHER)
    assert not found["the dog"].any(), "which the set says on purpose"


class _Harm:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_a_pickle_that_does_something_is_refused(store: AnnotationStore, tmp_path: Path) -> None:
    harmed = tmp_path / "harmed"
    for content in (pickle.dumps([_Harm(harmed)]), b"cos\nsystem\n(S'true'\ntR.", b"\x80\x04]", b"no pickle"):
        references(tmp_path / "in", content)
        account = bring(store, tmp_path / "in")
        assert "not a list of references" in account.left_out[0]
        assert list(store.tasks()) == []
    assert not harmed.exists()


def test_results_become_predictions_of_their_model(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    draw(folder / "a.png")
    write_json(folder / "instances.json", coco([image()], []))
    sure = {"image_id": 1, "category_id": 1, "segmentation": encode_rle(MASK), "score": 0.9}
    unsure = {**sure, "segmentation": encode_rle(OTHER), "score": 0.2}
    write_json(folder / "mask2former.json", [sure, unsure, {**sure, "image_id": 8}])
    account = bring(store, folder)
    (task,) = store.tasks()
    assert task.instruction == CAT
    assert task.prediction_id is not None
    stored = store.prediction(task.prediction_id).prediction
    assert stored.policy_id == "mask2former"
    assert np.array_equal(stored.mask, MASK)
    assert truths(store) == {}, "an answer is not a truth"
    assert account.notices == [f"{folder}/mask2former.json: 1 results with a score below 0.5 are not used."]
    assert account.records == 1, "a remark is not a record"
    lost = "1 results are left out: there is no image with their image_id."
    assert account.left_out == [f"{folder}/mask2former.json: {lost}"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.json", '{"frames": [], "meta": 1}', "JSON of another kind (frames, meta)"),
        ("x.xml", "<dataset><thing/></dataset>", "XML <dataset>"),
        ("x.csv", "ImageId,EncodedPixels\na.png,1 2 3\n", "a table (ImageId,EncodedPixels)"),
        ("x.mat", "MATLAB 5.0", "MATLAB data"),
        ("refs.p", "anything", "a Python pickle"),
        ("x.json", "// a comment\n{}", "JSON that cannot be read"),
        ("x.json", "", "JSON that cannot be read"),
        ("a.json", '{"item": {}, "annotations": [{"polygon": {}}]}', "V7 Darwin"),
        ("a.json", '{"videos": [], "annotations": [], "categories": []}', "YouTube-VIS"),
        ("gt.txt", "1,-1,30.0,20.0,50.0,40.0,1,2,1.0\n", "lists of numbers, as for boxes or polygons"),
        ("b.txt", "0 0.5 0.5 0.1 0.1\n", "lists of numbers, as for boxes or polygons"),
        ("bbx_gt.txt", "a.png\n1\n30 20 50 40\n", "lists of numbers, as for boxes or polygons"),
        ("a.txt", "cat 0.0 0 -1 30.0 20.0 80.0 60.0\n", "numbers for each picture"),
        ("boxes.csv", "cat,30,20,50,40,a.png,64,48\n", "lists of numbers, as for boxes or polygons"),
        ("train.tfrecord-00000-of-00001", "x", "TensorFlow records"),
    ],
)
def test_annotations_that_are_not_understood_keep_everything_out(
    store: AnnotationStore, tmp_path: Path, name: str, content: str, said: str
) -> None:
    folder = tmp_path / "in"
    draw(folder / "a.png")
    (folder / name).write_text(content)
    account = bring(store, folder)
    assert list(store.tasks()) == []
    assert f"{folder / name}: looks like {said}, which is not read." in account.left_out
    assert "--pictures-only" in account.left_out[-1]
    assert bring(store, folder, options=ImportOptions(pictures_only=True)).pictures == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("more.zip", "an archive inside an archive: import it separately."),
        ("more.7z", "archives of this kind are not opened: unpack it, or pack it as ZIP."),
        ("labels.json.gz", "packed files are not opened: unpack it."),
    ],
)
def test_an_archive_among_the_files_is_reported(store: AnnotationStore, tmp_path: Path, name: str, said: str) -> None:
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / name).write_bytes(b"x")
    assert bring(store, folder).left_out == [f"{folder}/a/{name}: {said}"]
    draw(folder / "a.png")
    assert bring(store, folder).left_out[0] == f"{folder}/a/{name}: {said}"
    assert list(store.tasks()) == []


def test_where_there_is_nothing_it_is_said(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    assert bring(store, folder).left_out == [
        f"There is nothing to import in {folder}: it has no files, or only hidden ones."
    ]
    (folder / "notes.md").write_text("x")
    assert bring(store, folder).left_out == [
        f"There is nothing to import: {folder}/notes.md is neither pictures nor annotations."
    ]


def test_several_kinds_in_one_folder_are_all_taken(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    labelme(folder / "one")
    cvat(folder / "two")
    draw(folder / "two" / "images" / "sub" / "a.png", 1)
    reasonseg(folder / "three")
    draw(folder / "three" / "val" / "a.jpg", 2)
    account = bring(store, folder)
    assert {words for _, words in instructions(store)} == {CAT, "Which one purrs?", "Who says meow?"}
    assert account.pictures == 3, account.left_out


def test_labelled_masks_without_names_ask_for_a_class(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    index_masks(folder)
    (folder / "class_names.txt").unlink()
    assert "--class" in bring(store, folder).left_out[0]
    assert truths(store) == {}
    assert bring(store, folder, options=ImportOptions(label="2")).left_out == []
    ((_, mask),) = truths(store).items()
    assert np.array_equal(mask, OTHER)


def test_yolo_boxes_without_names_are_not_guessed(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    yolo(folder)
    (folder / "data.yaml").unlink()
    account = bring(store, folder)
    assert "put data.yaml or classes.txt next to them" in "\n".join(account.left_out)
    assert truths(store) == {}


def test_boxes_of_other_tools_become_prompts(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for seed, kind in enumerate(("yolo", "voc", "labelme")):
        draw(folder / kind / f"{kind}.png", seed)
    (folder / "yolo" / "yolo.txt").write_text("0 0.375 0.375 0.5 0.5\n")
    (folder / "yolo" / "classes.txt").write_text("cat\n")
    box = "<xmin>9</xmin><ymin>7</ymin><xmax>40</xmax><ymax>30</ymax>"
    (folder / "voc" / "voc.xml").write_text(
        f"<annotation><filename>voc.png</filename><object><name>cat</name><bndbox>{box}</bndbox></object></annotation>"
    )
    shape = {"label": "cat", "points": [[40, 30], [8, 6]], "shape_type": "rectangle"}
    dot = {"label": "dog", "points": [[20, 20]], "shape_type": "point"}
    write_json(folder / "labelme" / "labelme.json", {"shapes": [shape, dot], "imagePath": "labelme.png"})
    account = bring(store, folder)
    assert (account.left_out, account.boxes, account.points) == ([], 3, 1)
    boxes = {}
    for task in store.tasks():
        assert task.prediction_id is not None
        (prompt,) = store.prediction(task.prediction_id).prediction.objects
        boxes[task.picture_name, prompt.name] = prompt.box.xyxy if prompt.box else None
    assert boxes == {
        ("yolo.png", "cat"): (8, 6, 40, 30),
        ("voc.png", "cat"): (8, 6, 40, 30),
        ("labelme.png", "cat"): (8, 6, 40, 30),
        ("labelme.png", "dog"): None,
    }


SHAPES = [None, 5, {"label": "cat", "points": "x"}, {"label": "cat", "points": [[1, 2]], "shape_type": "polygon"}]
REGIONS = [None, 5, {"shape_attributes": None}, {"shape_attributes": {"name": "polygon", "all_points_x": 1}}]
ITEMS = [None, {"id": "a", "annotations": [{"type": "mask", "rle": 5}, None, {"type": "polygon", "label_id": 7}]}]
RESULTS = [None, 5, {"type": "brushlabels", "value": {"rle": [1], "format": "rle"}, "original_width": 4}]


@pytest.mark.parametrize(
    "content",
    [
        {"shapes": SHAPES, "imagePath": "a.png"},
        {"_via_img_metadata": {"a": {"filename": "a.png", "regions": REGIONS}, "b": None}},
        {"items": ITEMS, "categories": {"label": {"labels": [{"name": "cat"}]}}},
        [{"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": RESULTS}]}, 7],
        {"image": {"file_name": "a.png"}, "annotations": [3, None, {"bbox": "q"}]},
        {"text": [3, None], "is_sentence": True, "shapes": [{"label": "target"}]},
        coco([image()], [{"image_id": 1, "file_name": 7, "segments_info": [3, {"id": None}]}, None]),
        {"shapes": [], "imagePath": 7, "imageData": "no base64"},
        {"shapes": None, "imagePath": "a.png"},
        {"_via_img_metadata": {"a": {"filename": "a.png", "regions": None}}},
        {"items": [{"id": "a", "annotations": None}], "categories": {"label": {"labels": [{"name": "cat"}]}}},
        {**coco([image()], []), "annotations": None},
        {**coco([image()], []), "annotations": {}},
        *({**coco([image()], []), "images": wrong} for wrong in (None, 7, "a.png")),
        [{"id": 1, "data": {"image": "a.png"}, "annotations": {}}],
        [{"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": None}]}],
        [{"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": ["polygonlabels"]}]}],
        [{"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": [{"type": "polygonlabels", "value": []}]}]}],
    ],
)
def test_records_of_another_make_are_named_and_never_a_traceback(
    store: AnnotationStore, tmp_path: Path, content: Any
) -> None:
    folder = tmp_path / "in"
    draw(folder / "a.png")
    write_json(folder / "x.json", content)
    account = bring(store, folder)
    assert account.left_out
    assert all(str(folder) in reported for reported in account.left_out)
    assert not any("Error" in reported or "object has no" in reported for reported in account.left_out)
    assert truths(store) == {}


def test_a_picture_in_labelmes_json_that_is_not_the_one_beside_it_is_reported(
    store: AnnotationStore, tmp_path: Path
) -> None:
    """Somebody replaced the picture after it was annotated, or two are called alike."""
    shape = {"label": "cat", "points": PAIRS, "shape_type": "polygon"}
    content = {"imagePath": "a.png", "imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": [shape]}
    for name, embedded in (("same", 0), ("compressed", 0), ("other", None)):
        beside = tmp_path / name / "a.png"
        beside.parent.mkdir()
        plain = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
        plain[: HEIGHT // 2] = 30
        Image.fromarray(plain).save(beside)
        buffer = io.BytesIO()
        form = "JPEG" if name == "compressed" else "PNG"
        Image.fromarray(plain if embedded == 0 else plain[::-1]).save(buffer, form)
        text = base64.b64encode(buffer.getvalue()).decode()
        write_json(beside.with_suffix(".json"), {**content, "imageData": text})
    for name in ("same", "compressed"):
        assert bring(store, tmp_path / name).left_out == []
    (reported,) = bring(store, tmp_path / "other").left_out
    assert "its embedded picture is another one than a.png" in reported
    assert len(truths(store)) == 1


def test_two_tasks_of_a_picture_come_back_from_label_studio(store: AnnotationStore, tmp_path: Path) -> None:
    picture = load_picture(draw(tmp_path / "a.png"))
    sha256 = store.add_picture(picture, "a.png")
    masks = {"Segment what sleeps.": box_mask(*PLACE), "Segment what barks.": box_mask(2, 2, 9, 9)}
    for words, mask in masks.items():
        task = store.add_task(sha256, words)
        store.save(task.id, "Ada", Correction(Verdict.FIX, (AnnotatedObject(ObjectPrompt(name="cat"), mask),)))
    for form in ("label-studio", "label-studio-predictions"):
        FORMATS[form](store, tmp_path / form)
    with AnnotationStore.open(tmp_path / "annotated") as other:
        assert bring(other, tmp_path / "label-studio").all_sentences == []
        assert truths(other).keys() == {("a.png", words) for words in masks}
        for (_, words), mask in truths(other).items():
            assert np.array_equal(mask, masks[words])
    with AnnotationStore.open(tmp_path / "proposed") as other:
        assert bring(other, tmp_path / "label-studio-predictions").all_sentences == []
        assert {task.instruction for task in other.tasks() if task.prediction_id is not None} == masks.keys()


def test_boxes_that_are_turned_or_deleted_in_xml(store: AnnotationStore, tmp_path: Path) -> None:
    """roLabelImg turns boxes; LabelMe keeps what was deleted."""
    picture = draw(tmp_path / "a.png")
    turned = "<cx>20</cx><cy>20</cy><w>10</w><h>20</h><angle>1.5707963</angle>"
    (tmp_path / "a.xml").write_text(
        f"<annotation><filename>a.png</filename><size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        f"<object><name>cat</name><robndbox>{turned}</robndbox></object>"
        "<object><name>dog</name><deleted>1</deleted></object></annotation>"
    )
    account = bring(store, tmp_path)
    assert account.left_out == []
    assert ["object 2 (dog) was deleted" in said for said in account.notices] == [True]
    assert np.allclose(prompts(store, picture), [(10, 15, 30, 25)], atol=1e-3)
