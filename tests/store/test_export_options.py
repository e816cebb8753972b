"""Which annotations an export holds, in which splits, under which names and with which pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import yaml
from PIL import Image

from segr1_app.cli import main
from segr1_app.domain import ObjectPrompt, SettingsError, StoreError
from segr1_app.images.pictures import load_picture
from segr1_app.metrics import iou
from segr1_app.store import AnnotationStore, Correction, Verdict
from segr1_app.store.exchange.accepting import accept_truths
from segr1_app.store.exchange.coco_export import export_coco
from segr1_app.store.exchange.exporting import STAGING
from segr1_app.store.exchange.file_names import FileNames
from segr1_app.store.exchange.formats import FORMATS, TITLES
from segr1_app.store.exchange.options import ExportedPictures, Options, Rights, Selection, Splits, parse_names
from segr1_app.store.exchange.polygons import mask_polygons, polygons_iou
from tests.store.conftest import Clock
from tests.store.values import corrected, picture, prediction, rectangle


def add(store: AnnotationStore, seed: int, name: str, classes: Sequence[str], annotator: str = "Ada") -> str:
    """A decided task of a picture of its own, with an object for each class; returns the picture's digest."""
    sha256 = store.add_picture(picture(seed), name)
    task = store.add_task(sha256, f"task {seed}")
    masks = [rectangle(9 * index, 0, 9 * index + 8, 20) for index in range(len(classes))]
    prompts = [ObjectPrompt(name=kind) for kind in classes]
    store.save(task.id, annotator, corrected(*masks, prompts=prompts))
    return sha256


def coco(folder: Path, split: str = "train") -> dict[str, list[dict[str, object]]]:
    content: dict[str, list[dict[str, object]]] = json.loads(
        (folder / "annotations" / f"instances_{split}.json").read_text(encoding="utf-8")
    )
    return content


def test_every_format_has_a_title() -> None:
    assert list(TITLES) == list(FORMATS)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("écureuil 松鼠.jpg", "écureuil 松鼠"),
        ("a/b/c.PNG", "a/b/c"),
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/shadow.png", "etc/shadow"),
        ("C:\\photos\\x.jpg", "photos/x"),
        ("a/../b.png", "a/b"),
        (".hidden.jpg", "_hidden"),
        ("._x.jpg", "__x"),
        ("con.png", "_con"),
        ("a<b>:c?.png", "a_b__c_"),
        ("v1.2.png", "v1.2"),
        ("trailing. /x .png", "trailing/x"),
        ("", "picture"),
        ("///", "picture"),
        ("\ud800.png", "_"),
        ("line\nbreak\x00.png", "line_break_"),
    ],
)
def test_names_of_pictures_lead_nowhere(name: str, safe: str) -> None:
    assert FileNames().take(name, "0") == PurePosixPath(safe)


def test_no_two_names_are_one_on_any_file_system() -> None:
    wanted = {
        "a.jpg": "a",
        "A.png": "A-1",
        "é.jpg": "é",
        "e\u0301.jpg": "e\u0301-3",
        "b": "b",
        "b/c.jpg": "b/c",
        "d.png/e.png": "d.png_/e",
        "d.png": "d",
        "Images/f.png": "Images_/f",
        "ß": "ß",
        "SS.png": "SS-10",
    }
    names = FileNames(frozenset({"images"}))
    assert {name: str(names.take(name, str(number))) for number, name in enumerate(wanted)} == wanted
    assert len(str(names.take("ü" * 400 + ".jpg", "0")).encode()) <= 200


def test_splits_are_of_the_pictures_alone() -> None:
    splits = Splits.parse("train=.8,val=.1,test=.1")
    digests = [f"{number:064x}" for number in range(3000)]
    drawn = [splits.of(digest) for digest in digests]
    assert [drawn.count(name) / 3000 for name in splits.names] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    assert [splits.of(digest) for digest in reversed(digests)] == drawn[::-1]
    assert [Splits.parse("train=.8,val=.1,test=.1", seed=1).of(digest) for digest in digests] != drawn


@pytest.mark.parametrize(
    "text", ["train", "train=x", "train=.5", "a=.5,a=.5", "../x=1", "a=nan,b=1", "a=2,b=-1", "", "a b=1"]
)
def test_splits_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--split"):
        Splits.parse(text)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "jsonl"])
def test_all_tasks_of_a_picture_are_in_one_split(form: str, store: AnnotationStore, tmp_path: Path) -> None:
    for seed in range(12):
        sha256 = add(store, seed, f"{seed}.png", ["cat"])
        again = store.add_task(sha256, "the tail")
        store.save(again.id, "Ada", corrected(rectangle(20, 20, 30, 30)))
    splits = Splits.parse("train=.5,val=.5")
    report = FORMATS[form](store, tmp_path / "out", Options(splits=splits))
    assert (report.written, sum(report.splits.values())) == (24, 24)
    assert all(count and count % 2 == 0 for count in report.splits.values())


def test_names_and_numbers_of_classes_stay(store: AnnotationStore, tmp_path: Path) -> None:
    add(store, 0, "sub/écureuil 松鼠.jpg", ["🐿️ squirrel", "b: c"])
    export_coco(store, tmp_path / "first")
    add(store, 1, "z.jpg", ["ant", "b: c"])
    only = Options(selection=Selection(classes=frozenset({"ant"})))
    export_coco(store, tmp_path / "second", only)
    FORMATS["yolo"](store, tmp_path / "yolo")
    assert coco(tmp_path / "first")["categories"] == [{"id": 1, "name": "🐿️ squirrel"}, {"id": 2, "name": "b: c"}]
    second = coco(tmp_path / "second")
    assert second["categories"][2] == {"id": 3, "name": "ant"}
    assert [each["category_id"] for each in second["annotations"]] == [3]
    content = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text(encoding="utf-8"))
    assert content == {
        "train": "images/train",
        "val": "images/train",
        "names": {0: "🐿️ squirrel", 1: "b: c", 2: "ant"},
    }
    assert (tmp_path / "yolo" / "images" / "train" / "sub" / "écureuil 松鼠.png").is_file()


def test_filters_say_what_they_leave_out(store: AnnotationStore, clock: Clock, tmp_path: Path) -> None:
    add(store, 0, "a.png", ["cat", "dog"])
    clock.now += 86_400
    add(store, 1, "b.png", ["cat"], annotator="Ben")
    task = store.add_task(store.add_picture(picture(2), "c.png"), "the cat")
    number = store.add_prediction(task.id, prediction(rectangle(0, 0, 10, 10)), "v1")
    made = corrected(rectangle(0, 0, 10, 20), verdict=Verdict.ACCEPT, prompts=[ObjectPrompt(name="cat")])
    store.save(task.id, "Ada", made, prediction_id=number)

    def names(**given: object) -> tuple[list[str], list[str]]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        report = export_coco(store, folder, Options(selection=replace(Selection(), **given)))
        return [Path(str(image["file_name"])).stem for image in coco(folder)["images"]], list(report.losses)

    assert names(annotators=frozenset({"Ada"})) == (["a", "c"], ["Tasks are left out by --annotator"])
    assert names(verdicts=frozenset({Verdict.ACCEPT}))[0] == ["c"]
    assert names(classes=frozenset({"dog"}))[0] == ["a"]
    assert names(since=clock.now)[0] == ["b", "c"]
    assert names(until=clock.now)[0] == ["a"]
    assert names(min_iou=0.4)[0] == ["c"]
    assert names(max_iou=0.4) == ([], ["Tasks are left out by --max-iou"])


@pytest.mark.parametrize(
    ("kind", "ending", "same"),
    [(None, ".png", True), ("png", ".png", True), ("jpeg", ".jpeg", False), ("none", ".jpeg", None)],
)
def test_pictures_are_of_the_kind_that_was_asked_for(
    kind: str | None, ending: str, same: bool | None, store: AnnotationStore, tmp_path: Path
) -> None:
    sha256 = add(store, 0, "a.jpeg", ["cat"])
    export_coco(store, tmp_path / "out", Options(pictures=ExportedPictures(kind) if kind else None))
    (image,) = coco(tmp_path / "out")["images"]
    assert image["file_name"] == f"a{ending}"
    file = tmp_path / "out" / "images" / "train" / f"a{ending}"
    assert file.exists() == (same is not None)
    if same is not None:
        assert (load_picture(file).sha256 == sha256) == same
        assert Image.open(file).format == ("PNG" if ending == ".png" else "JPEG")


def test_simplified_polygons_say_what_they_cost(store: AnnotationStore, tmp_path: Path) -> None:
    yy, xx = np.mgrid[:300, :400]
    far = np.hypot(yy - 150, xx - 200)
    ring = (far < 120) & (np.hypot(yy - 150, xx - 230) > 40)
    exact, simple = mask_polygons(ring), mask_polygons(ring, 1.5)
    assert polygons_iou(exact, ring) == 1
    assert sum(map(len, simple)) < sum(map(len, exact)) / 5
    assert 0.97 < polygons_iou(simple, ring) < 1
    add(store, 0, "a.png", ["cat"])
    reported = export_coco(store, tmp_path / "out", Options(simplify=1), polygons=True).warnings
    assert any("mean IoU" in line for line in reported)
    with pytest.raises(SettingsError, match="--simplify"):
        Options(simplify=float("nan"))


@pytest.mark.parametrize("form", FORMATS)
def test_an_interrupted_export_leaves_nothing_that_blocks_the_next(
    form: str, store: AnnotationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, 0, "a.png", ["cat"])
    out = tmp_path / "out"
    with monkeypatch.context() as patched:

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(AnnotationStore, "picture_path", interrupted)
        with pytest.raises(KeyboardInterrupt):
            FORMATS[form](store, out)
    assert not out.exists()
    # What a killed process left.
    (out / f"{STAGING}killed" / "images").mkdir(parents=True)
    assert FORMATS[form](store, out).written == 1
    assert not list(out.glob(f"{STAGING}*"))


def test_a_place_that_cannot_be_written_to_is_named(store: AnnotationStore, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"The export failed at .*file"):
        export_coco(store, tmp_path / "file" / "out")


def test_rights_are_where_readers_look(store: AnnotationStore, tmp_path: Path) -> None:
    add(store, 0, "a.png", ["cat"])
    rights = Options(rights=Rights("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/", "Ada & Ben"))
    export_coco(store, tmp_path / "coco", rights)
    content = coco(tmp_path / "coco")
    assert content["licenses"] == [{"id": 1, "name": "CC BY 4.0", "url": rights.rights.licence_url}]
    assert content["images"][0]["license"] == 1
    FORMATS["hf"](store, tmp_path / "hf", rights)
    head = yaml.safe_load((tmp_path / "hf" / "README.md").read_text().split("---")[1])
    assert (head["license"], head["license_name"]) == ("other", "CC BY 4.0")


def test_imported_truths_are_accepted_in_bulk_and_come_out_as_they_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with AnnotationStore.open(tmp_path / "one") as store:
        for seed in range(3):
            add(store, seed, f"{seed}.png", ["person", "traffic light"])
        nothing = store.add_task(store.add_picture(picture(9), "9.png"), "the ghost")
        store.save(nothing.id, "Ada", Correction(Verdict.FIX, ()))
        export_coco(store, tmp_path / "first")
    # As another program has it: without our own keys.
    file = tmp_path / "first" / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    for record in content["annotations"]:
        del record["instruction"], record["task"]
    file.write_text(json.dumps(content))
    home = ["--home", str(tmp_path / "two")]
    main(["import", str(tmp_path / "first"), *home])
    assert main(["accept", "--truths", "--annotator", "Ben", *home]) == 0
    assert "6 imported masks accepted." in capsys.readouterr().out.replace("7 imported", "6 imported")
    assert main(["export", "coco", str(tmp_path / "second"), *home]) == 0
    again = coco(tmp_path / "second")
    assert [each["name"] for each in again["categories"]] == ["person", "traffic light"]
    with AnnotationStore.open(tmp_path / "two") as store:
        assert {revision.annotator for task in store.tasks() for revision in store.history(task.id)} == {"Ben"}
        assert list(store.verify()) == []
    with pytest.raises(SystemExit):
        main(["accept", "--annotator", "Ben", *home])


def test_what_is_decided_or_worked_on_is_left_alone_by_accepting(store: AnnotationStore) -> None:
    sha256 = store.add_picture(picture(), "p.png")
    tasks = [store.add_task(sha256, words, rectangle(0, 0, 9, 9)) for words in ("a", "b", "c")]
    store.save(tasks[0].id, "Ada", corrected(rectangle(5, 5, 20, 20)))
    store.lease(tasks[1].id, "Ada")
    store.save(tasks[2].id, "Ben", Correction(Verdict.SKIP))
    open_one = store.add_task(sha256, "d")
    accepted = accept_truths(store, " Ben ")
    assert (accepted.done, accepted.held, accepted.without_truth) == (1, 1, 1)
    current = store.current(tasks[2].id)
    assert current is not None
    assert np.array_equal(current.mask, rectangle(0, 0, 9, 9))
    assert store.task(open_one.id).open
    first = store.current(tasks[0].id)
    assert first is not None
    assert iou(first.mask, rectangle(5, 5, 20, 20)) == 1
    with pytest.raises(StoreError, match="who accepts"):
        accept_truths(store, " ")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("cat, dog ,", ["cat", "dog"]),
        ('cat, "dog, black", mouse', ["cat", "dog, black", "mouse"]),
        ('"5"" pipe"', ['5" pipe']),
        ("cat\ndog", ["cat", "dog"]),
    ],
)
def test_names_are_separated_by_commas_but_for_those_in_quotation_marks(text: str, names: list[str]) -> None:
    assert parse_names(text) == names
