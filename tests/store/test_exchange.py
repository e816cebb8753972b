"""Exports, and reading them back."""

from __future__ import annotations

import csv
import gc
import json
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import parse

import cv2
import numpy as np
import pytest
import yaml
from datasets import load_dataset
from PIL import Image

from segr1_app.cli.export import FORMATS
from segr1_app.domain import Box, Mask, ObjectPrompt, Point, StoreError
from segr1_app.images.masks import load_mask
from segr1_app.images.pictures import load_picture
from segr1_app.language.codec import parse_completion
from segr1_app.metrics import iou
from segr1_app.store import AnnotatedObject, AnnotationStore, Correction, Task, Verdict
from segr1_app.store.connection import connect
from segr1_app.store.exchange.cells import cell_text, safe_cell
from segr1_app.store.exchange.coco_export import NEVER_HOLDS as COCO_NEVER_HOLDS
from segr1_app.store.exchange.coco_export import export_coco
from segr1_app.store.exchange.hf_export import export_hf
from segr1_app.store.exchange.import_options import ImportOptions
from segr1_app.store.exchange.importing import import_paths
from segr1_app.store.exchange.jsonl import export_jsonl
from segr1_app.store.exchange.mask_export import export_masks
from segr1_app.store.exchange.outcomes import IMPORTED, Outcome, Result
from segr1_app.store.exchange.sft_export import export_traces
from segr1_app.store.exchange.voc_export import export_voc
from segr1_app.store.exchange.yolo_export import export_yolo
from tests.store.conftest import Clock
from tests.store.values import HEIGHT, PROMPT, SKIPPED, WIDTH, corrected, picture, prediction, rectangle, rejected


def hard_masks() -> dict[str, Mask]:
    """Masks that formats lose, by the instruction of their task."""
    holes = rectangle(3, 3, 30, 25) & ~rectangle(8, 8, 14, 12) & ~rectangle(16, 10, 25, 20)
    pixel = rectangle(17, 11, 18, 12)
    parts = rectangle(0, 0, 6, 6) | rectangle(20, 15, 40, 30) | rectangle(12, 2, 13, 3)
    return {"holes": holes, "one pixel": pixel, "several parts": parts, "full frame": rectangle(0, 0, WIDTH, HEIGHT)}


@pytest.fixture
def filled(store: AnnotationStore) -> AnnotationStore:
    """A picture per hard mask, and a reject, a skip and an open task besides."""
    for seed, (instruction, mask) in enumerate(hard_masks().items()):
        sha256 = store.add_picture(picture(seed), f"../=HYPERLINK {seed}.jpg")
        task = store.add_task(sha256, instruction)
        number = store.add_prediction(task.id, prediction(instruction=instruction), "v1")
        store.save(task.id, "ann", corrected(mask, comment="=1+1"), prediction_id=number)
    for seed, correction in ((10, rejected()), (11, SKIPPED)):
        task = store.add_task(store.add_picture(picture(seed), "p.jpg"), "the cat")
        store.save(task.id, "ann", correction)
    return store


@pytest.fixture
def empty(tmp_path: Path) -> AnnotationStore:
    return AnnotationStore.open(tmp_path / "other")


def truths(store: AnnotationStore) -> dict[str, Mask]:
    found = {task.instruction: store.ground_truth(task.sha256, task.instruction) for task in store.tasks()}
    return {instruction: mask for instruction, mask in found.items() if mask is not None}


def messages(outcomes: Iterable[Outcome]) -> list[str]:
    return [outcome.message for outcome in outcomes if outcome.message]


@pytest.mark.parametrize("polygons", [False, True])
def test_coco_comes_back(filled: AnnotationStore, empty: AnnotationStore, tmp_path: Path, polygons: bool) -> None:
    report = export_coco(filled, tmp_path / "out", polygons=polygons)
    assert report.written == 4
    assert report.warnings == [
        f"Not in this format: {COCO_NEVER_HOLDS}.",
        "Open tasks are left out (1 time)",
        "Rejected tasks have no mask and are left out (1 time)",
    ]
    content = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())
    assert [category["name"] for category in content["categories"]] == ["cat"]
    assert {annotation["iscrowd"] for annotation in content["annotations"]} == {0}
    for image in content["images"]:
        assert load_picture(tmp_path / "out" / "images" / "train" / image["file_name"]).sha256 == image["sha256"]
    assert messages(import_paths(empty, [tmp_path / "out"], "it")) == []
    back = truths(empty)
    for instruction, mask in hard_masks().items():
        assert iou(back[instruction], mask) >= (0.98 if polygons else 1.0)


@pytest.mark.slow
def test_coco_takes_no_more_memory_for_more_tasks(tmp_path: Path) -> None:
    db = connect(tmp_path / "segr1.db")
    store = AnnotationStore(db, tmp_path / "pictures")
    # A thousand saves need not survive a power cut.
    db.execute("PRAGMA synchronous = OFF")
    sha256 = store.add_picture(picture(), "p")
    peaks = []
    for round_ in range(2):
        for number in range(300 if round_ == 0 else 900):
            task = store.add_task(sha256, f"{round_} {number}")
            store.save(task.id, "ann", corrected(hard_masks()["holes"]))
        gc.collect()  # what earlier tests left is not to be met halfway
        tracemalloc.start()
        assert export_coco(store, tmp_path / f"out{round_}").written == (300, 1200)[round_]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Every instruction here is a category, whose name stays until the end; an annotation takes twice as much and more.
    assert peaks[1] - peaks[0] < 900 * 600
    store.close()


def test_coco_of_others_makes_a_task_per_category(empty: AnnotationStore, tmp_path: Path) -> None:
    Image.fromarray(picture().pixels).save(tmp_path / "a.png")
    runs = [0, 30, 1170]
    content = {
        "categories": [{"id": 7, "name": "dog"}, {"id": 9, "name": "cat"}],
        "images": [
            {"id": 1, "file_name": "a.png", "width": 40, "height": 30},
            {"id": 2, "file_name": "../../secret.png"},
        ],
        "annotations": [
            {"image_id": 1, "category_id": 7, "segmentation": {"size": [30, 40], "counts": runs}},
            {"image_id": 1, "category_id": 7, "segmentation": [[10, 0, 20, 0, 20, 10, 10, 10]]},
            {"image_id": 1, "category_id": 9, "segmentation": [[-1e12, -5, 1e12, -5, 1e12, 900, -9, 900]]},
            {"image_id": 1, "category_id": 9, "segmentation": {"size": [30, 40], "counts": "1"}},
            {"image_id": 1, "category_id": 8, "segmentation": [[0, 0, 1, 1, 2, 2]]},
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    reported = messages(import_paths(empty, [tmp_path / "coco.json"], "it"))
    assert len(reported) == 3
    assert "secret.png: there is no such picture" in reported[2]
    assert "Identify and segment the cat." not in truths(empty), "one of two cats cannot be read"
    partial = ImportOptions(keep_partial=True)
    assert len(messages(import_paths(empty, [tmp_path / "coco.json"], "it", options=partial))) == 3
    back = truths(empty)
    assert np.array_equal(back["Identify and segment the dog."], rectangle(0, 0, 1, 30) | rectangle(10, 0, 20, 10))
    assert back["Identify and segment the cat."].all()
    (tmp_path / "bad.json").write_text("[]")
    (told_bad,) = import_paths(empty, [tmp_path / "bad.json"], "it")
    assert "JSON of another kind (empty), which is not read" in str(told_bad)


def test_masks_come_back_and_the_index_starts_no_formula(
    filled: AnnotationStore, empty: AnnotationStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert export_masks(filled, out).written == 4
    assert messages(import_paths(empty, [out], "unused")) == []
    back = truths(empty)
    assert {name: iou(back[name], mask) for name, mask in hard_masks().items()} == dict.fromkeys(hard_masks(), 1.0)
    assert next(empty.tasks()).picture_name == "../=HYPERLINK 0.jpg"
    with (out / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["comment"] for row in rows} == {"'=1+1"}
    assert {row["instruction"] for row in rows} == set(hard_masks())


FORMULAS = [
    "=1",
    " =1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "|cmd",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM(A1)",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", [*FORMULAS, "", "a = b", "'", "'quoted'", "'=1", "''=1", "it's -1"])
def test_a_cell_is_read_as_what_it_was_made_of(text: str) -> None:
    assert cell_text(safe_cell(text)) == text
    assert safe_cell("a = b") == "a = b"


def test_masks_of_two_tasks_on_one_picture_come_back_with_their_words(
    store: AnnotationStore, task: Task, empty: AnnotationStore, tmp_path: Path
) -> None:
    wanted = {"the cat": rectangle(0, 0, 9, 9), "=the dog": rectangle(20, 15, 33, 28)}
    for instruction, mask in wanted.items():
        store.save(store.add_task(task.sha256, instruction).id, "ann", corrected(mask))
    export_masks(store, tmp_path / "out")
    assert list(import_paths(empty, [tmp_path / "out"], "unused")) == [IMPORTED, IMPORTED]
    assert [found.sha256 for found in empty.tasks()] == [task.sha256] * 2
    back = truths(empty)
    assert {instruction: iou(back[instruction], mask) for instruction, mask in wanted.items()} == {
        "the cat": 1.0,
        "=the dog": 1.0,
    }


def test_a_hugging_face_dataset_comes_back(filled: AnnotationStore, empty: AnnotationStore, tmp_path: Path) -> None:
    assert export_hf(filled, tmp_path / "out").written == 4
    outcomes = list(import_paths(empty, [tmp_path / "out"], "unused"))
    (remark,) = messages(outcomes)
    assert "its columns prompts, reasoning, completion, verdict, annotator" in remark
    assert [outcome.result for outcome in outcomes].count(Result.IMPORTED) == 4
    assert {name: mask.tobytes() for name, mask in truths(empty).items()} == {
        name: mask.tobytes() for name, mask in hard_masks().items()
    }
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    row = rows[0]
    assert np.array_equal(np.asarray(row["image"]), picture(0).pixels)
    assert np.array_equal(np.asarray(row["mask"]) > 0, hard_masks()[row["instruction"]])
    assert json.loads(row["prompts"])[0]["box"] == [5, 10, 25, 20]
    assert row["reasoning"] == "a cat"


def test_jsonl_brings_everything_to_another_store(
    filled: AnnotationStore, empty: AnnotationStore, clock: Clock, tmp_path: Path
) -> None:
    first = next(iter(filled.history(1)))
    clock.now += 10
    filled.save(1, "ben", corrected(rectangle(0, 0, 3, 3)))
    filled.choose_current(1, first.id, "reviewer")
    filled.add_task(first and filled.task(1).sha256, "with truth", rectangle(0, 0, 9, 9))
    export_jsonl(filled, tmp_path / "out")
    # Tasks that are there already, so that numbers differ.
    empty.add_task(empty.add_picture(picture(99), "p"), "the cat")
    for _ in range(2):
        assert messages(import_paths(empty, [tmp_path / "out" / "store.jsonl"], "unused")) == []
    assert list(empty.verify()) == []
    assert [entry.content_hash for entry in empty.feedback()] == [entry.content_hash for entry in filled.feedback()]
    assert empty.statistics().by_annotator == filled.statistics().by_annotator
    assert empty.agreement().by_pair == filled.agreement().by_pair
    (copied,) = [task for task in empty.tasks() if task.instruction == "holes"]
    assert copied.prediction_id is not None
    assert copied.confidence == 0.9
    current = empty.current(copied.id)
    assert current is not None
    assert current.content_hash == first.content_hash
    assert truths(empty)["with truth"].sum() == 81


def test_jsonl_puts_what_comes_on_top_of_what_is_there(
    filled: AnnotationStore, empty: AnnotationStore, tmp_path: Path
) -> None:
    export_jsonl(filled, tmp_path / "out")
    task = empty.add_task(empty.add_picture(picture(0), "p"), "holes")
    own = empty.save(task.id, "ann", corrected(rectangle(0, 0, 2, 2)))
    assert messages(import_paths(empty, [tmp_path / "out" / "store.jsonl"], "unused")) == []
    assert [revision.parent_id for revision in empty.history(task.id)] == [None, own.id]
    assert list(empty.verify()) == []


def test_jsonl_refuses_what_was_changed(filled: AnnotationStore, empty: AnnotationStore, tmp_path: Path) -> None:
    filled.add_task(filled.task(1).sha256, "the tail", rectangle(0, 0, 9, 9))
    export_jsonl(filled, tmp_path / "out")
    file = tmp_path / "out" / "store.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for record in lines:
        if record["table"] == "revisions" and record["verdict"] == "reject":
            record["comment"] = "forged"
        if record["table"] == "ground_truths":
            record["instruction"] = "the head"
        if record["table"] == "pictures" and record["sha256"] == picture(11).sha256:
            record["sha256"] = "../../segr1"
    file.write_text("\n".join([*map(json.dumps, lines), '{"table": "leases"}', "[]", "no json", '{"table": "tasks"}']))
    reported = "\n".join(messages(import_paths(empty, [file], "unused")))
    for expected in (
        "was changed since a store wrote it",
        "named by its SHA-256",
        "There is no picture",
        "'leases' is not one of a store's",
        "not a record of a store",
        "A record of tasks has unexpected values",
    ):
        assert expected in reported, reported
    assert reported.count("was changed since a store wrote it") == 2
    assert truths(empty) == {}
    assert len(list(empty.feedback())) == 4
    assert list(empty.verify()) == []


def test_yolo_draws_the_mask(filled: AnnotationStore, tmp_path: Path) -> None:
    export_yolo(filled, tmp_path / "out")
    assert yaml.safe_load((tmp_path / "out" / "data.yaml").read_text()) == {
        "train": "images/train",
        "val": "images/train",
        "names": {0: "cat"},
    }
    wanted = {f"=HYPERLINK {seed}": mask for seed, mask in enumerate(hard_masks().values())}
    for labels in (tmp_path / "out" / "labels" / "train").iterdir():
        assert (tmp_path / "out" / "images" / "train" / f"{labels.stem}.png").is_file()
        drawn = np.zeros((HEIGHT * 32, WIDTH * 32), np.uint8)
        for line in labels.read_text().splitlines():
            number, *values = line.split()
            assert number == "0"
            corners = np.array(values, dtype=float).reshape(-1, 2) * (WIDTH * 32, HEIGHT * 32)
            cv2.fillPoly(drawn, [corners.round().astype(np.int32)], 255)
        assert iou(drawn[16::32, 16::32] > 0, wanted[labels.stem]) >= 0.98


def test_voc_holds_indices_and_boxes(store: AnnotationStore, tmp_path: Path) -> None:
    task = store.add_task(store.add_picture(picture(), "p"), "both")
    two = [replace(PROMPT, name="cat"), replace(PROMPT, name="<dog>\x00\n&")]
    masks = [rectangle(0, 0, 10, 10), rectangle(5, 5, 20, 20)]
    store.save(task.id, "ann", corrected(*masks, prompts=two))
    warnings = export_voc(store, tmp_path / "out").warnings
    root = tmp_path / "out" / "VOCdevkit" / "VOC2012"
    assert any("objects overlap" in warning for warning in warnings)
    (xml,) = (root / "Annotations").iterdir()
    record = parse(xml).getroot()
    assert [made.findtext("name") for made in record.iter("object")] == ["cat", "<dog> &"]
    assert [edge.text for edge in next(record.iter("bndbox"))] == ["1", "1", "10", "10"]
    indices = np.asarray(Image.open(root / "SegmentationObject" / f"{xml.stem}.png"))
    assert np.array_equal(indices == 2, masks[1])
    assert np.array_equal(indices == 1, masks[0] & ~masks[1])
    colours = Image.open(root / "SegmentationClass" / f"{xml.stem}.png").convert("RGB")
    assert colours.getpixel((0, 0)) == (128, 0, 0)
    assert (root / "ImageSets" / "Segmentation" / "train.txt").read_text() == f"{xml.stem}\n"
    assert (root / "labelmap.txt").read_text().splitlines()[1:] == [
        "background:0,0,0::",
        "cat:128,0,0::",
        "<dog> &:0,128,0::",
    ]


def test_traces_are_well_formed(filled: AnnotationStore, tmp_path: Path) -> None:
    sha256 = filled.add_picture(picture(20), "drawn")
    brushed = AnnotatedObject(ObjectPrompt(points=(Point(3, 3, 1),)), rectangle(2, 2, 8, 8))
    nothing = Correction(Verdict.FIX, (AnnotatedObject(PROMPT, rectangle(0, 0, 0, 0)),))
    filled.save(filled.add_task(sha256, "brushed").id, "ann", Correction(Verdict.FIX, (brushed,)))
    filled.save(filled.add_task(sha256, "nothing").id, "ann", nothing)
    report = export_traces(filled, tmp_path / "out")
    assert any("no boxes to write" in warning for warning in report.warnings)
    records = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(records) == report.written == 5
    for record in records:
        assert record["image"].size == (record["width"], record["height"])
        (answer,) = record["completion"]
        parsed = parse_completion(answer["content"], (WIDTH, HEIGHT))
        assert parsed.well_formed
        expected = Box(2, 2, 8, 8) if record["instruction"] == "brushed" else PROMPT.box
        assert parsed.objects[0].box == expected
    assert [record["reasoning_by_policy"] for record in records] == [True] * 4 + [False]


EVERYWHERE = "all revisions but the one that counts"


@pytest.mark.parametrize(
    ("form", "left_out", "besides"),
    [
        ("coco", ("prompts", "reasoning", "comments", "annotators", "painted", EVERYWHERE), "Painted layers"),
        ("coco-polygons", ("prompts", "reasoning", "comments", "annotators", "painted", EVERYWHERE), "Painted layers"),
        ("yolo", ("prompts", "instructions", "comments", "verdicts", "painted", EVERYWHERE), "Objects overlap"),
        ("voc", ("prompts", "instructions", "comments", "painted", EVERYWHERE), "Where objects overlap"),
        ("masks", ("prompts", "class names", "reasoning", "painted", EVERYWHERE), "Several objects become one"),
        ("hf", ("each object's own mask", "comments", "painted", "seconds", EVERYWHERE), "Several objects become one"),
        ("sft", ("masks", "class names", "comments", EVERYWHERE), "What was painted is not in the prompts"),
        ("jsonl", ("drafts",), ""),
    ],
)
def test_every_format_says_once_what_it_never_holds(
    store: AnnotationStore, tmp_path: Path, form: str, left_out: tuple[str, ...], besides: str
) -> None:
    task = store.add_task(store.add_picture(picture(0), "p"), "the cat")
    painted = AnnotatedObject(PROMPT, rectangle(5, 10, 25, 20), painted=rectangle(20, 15, 30, 20))
    store.save(task.id, "ann", Correction(Verdict.FIX, (painted, AnnotatedObject(PROMPT, rectangle(5, 10, 9, 20)))))
    empty = store.add_task(store.add_picture(picture(1), "p"), "nothing")
    store.save(empty.id, "ann", Correction(Verdict.FIX))
    reported = FORMATS[form](store, tmp_path / "out").warnings
    assert [line for line in reported if line.startswith("Not in this format: ")] == reported[:1]
    assert [what for what in left_out if what not in reported[0]] == []
    assert any(line.startswith(besides) for line in reported)
    assert any(line.startswith("Empty masks") for line in reported) == (
        form in ("coco", "coco-polygons", "yolo", "voc")
    )


@pytest.mark.parametrize("export", [export_coco, export_yolo, export_voc, export_masks, export_hf, export_jsonl])
def test_an_empty_store_exports_and_a_full_folder_is_left_alone(
    store: AnnotationStore, tmp_path: Path, export: object
) -> None:
    assert callable(export)
    report = export(store, tmp_path / "out")
    assert (report.written, report.warnings) == (0, []), "nothing is lost of nothing"
    with pytest.raises(StoreError, match="not empty"):
        export(store, tmp_path / "out")


def test_file_names_are_harmless(filled: AnnotationStore, tmp_path: Path) -> None:
    export_masks(filled, tmp_path / "out")
    masks = sorted((tmp_path / "out" / "masks").iterdir())
    assert [path.name for path in masks] == [f"=HYPERLINK {seed}.png" for seed in range(4)]
    assert all(load_mask(path).any() for path in masks)
    with (tmp_path / "out" / "index.csv").open(newline="") as file:
        assert all(row["stem"].startswith("'=") for row in csv.DictReader(file))
