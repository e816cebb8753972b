"""Benchmarks are read in their original layout: every expression, every query, and nothing but data from a pickle."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segr1_app.domain import DatasetError, ImageSize, Mask, SettingsError
from tests.scenes import ellipse_scene
from tests.train.data.test_rows import LEFT, write_pair
from train.data.rows import pair_rows
from train.evaluation.benchmarks.catalogue import BENCHMARKS, find_benchmark
from train.evaluation.benchmarks.foreground import OWN, SHARED
from train.evaluation.benchmarks.measures import FOREGROUND, OVERLAPS
from train.evaluation.benchmarks.question import Target
from train.evaluation.benchmarks.referring import read_pickle

SIZE = ImageSize(20, 12)


def rectangle(x1: int, y1: int, x2: int, y2: int) -> Mask:
    mask: Mask = np.zeros((SIZE.height, SIZE.width), dtype=bool)
    mask[y1:y2, x1:x2] = True
    return mask


def polygon(x1: int, y1: int, x2: int, y2: int) -> list[list[float]]:
    """COCO's polygon of a rectangle of pixels, whose corners lie between pixels."""
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]


def save_picture(path: Path, seed: int = 0, size: ImageSize = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size.height, size.width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_refcoco(base: Path, *, generalised: bool = False) -> Path:
    """Two pictures, three objects, four referents of which one is of another split."""
    for number in (1, 2):
        save_picture(base / "images" / f"COCO_train2014_{number:012}.jpg", number)
    pictures = [
        {"id": n, "file_name": f"COCO_train2014_{n:012}.jpg", "width": SIZE.width, "height": SIZE.height}
        for n in (1, 2)
    ]
    runs = [24, 12, SIZE.width * SIZE.height - 36]  # the third column
    annotations = [
        {"id": 10, "image_id": 1, "segmentation": polygon(2, 3, 9, 8), "iscrowd": 0},
        {"id": 11, "image_id": 1, "segmentation": polygon(0, 0, 4, 4) + polygon(12, 6, 20, 12), "iscrowd": 0},
        {"id": 12, "image_id": 2, "segmentation": {"size": [SIZE.height, SIZE.width], "counts": runs}, "iscrowd": 1},
    ]
    (base / "instances.json").write_text(json.dumps({"images": pictures, "annotations": annotations}))

    def referent(number: int, image: int, objects: Any, split: str, *sentences: str, **more: Any) -> dict[str, Any]:
        spoken = [{"sent_id": 100 * number + i, "sent": text, "raw": text.upper()} for i, text in enumerate(sentences)]
        return {"ref_id": number, "image_id": image, "ann_id": objects, "split": split, "sentences": spoken, **more}

    if generalised:
        references = [
            referent(1, 1, [10, 11], "val", "both things"),
            referent(2, 2, [-1], "val", "a thing that is not there", no_target=True),
        ]
        (base / "grefs(unc).json").write_text(json.dumps(references))
    else:
        references = [
            referent(1, 1, 10, "testA", "the thing", "that <b>thing</b>", "the left thing"),
            referent(2, 1, 11, "testA", "two parts"),
            referent(3, 2, 12, "testA", "the column"),
            referent(4, 2, 12, "train", "not asked"),
        ]
        (base / "refs(unc).p").write_bytes(pickle.dumps(references, protocol=2))
    return base


def write_camo(root: Path, scenes: Sequence[tuple[tuple[float, float], tuple[float, float]]]) -> Path:
    """Scenes of an ellipse each, by centre and radii, as ``CAMO/Imgs`` and ``CAMO/GT``."""
    (root / "Imgs").mkdir(parents=True)
    (root / "GT").mkdir()
    for number, (centre, radii) in enumerate(scenes):
        picture, mask = ellipse_scene(160, 120, centre, radii, seed=number)
        Image.fromarray(picture.pixels).save(root / "Imgs" / f"scene{number}.jpg", quality=95)
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / "GT" / f"scene{number}.png")
    return root


def write_reasonseg(base: Path) -> Path:
    """Two pictures with three queries; a hole to be ignored in one target, and a target on ignored ground."""

    def shape(label: str, x1: int, y1: int, x2: int, y2: int) -> dict[str, Any]:
        return {"label": label, "points": [[x1, y1], [x2 - 1, y1], [x2 - 1, y2 - 1], [x1, y2 - 1]]}

    hole = {
        "text": ["the thing", "what else is it?"],
        "is_sentence": False,
        # The smaller one is painted over the larger one, whatever their order.
        "shapes": [shape("ignore", 4, 4, 8, 8), shape("target", 2, 2, 16, 10), shape("flag", 0, 0, 20, 12)],
    }
    island = {
        "text": "Which one – if any – is a café?",
        "is_sentence": True,
        "shapes": [shape("target", 3, 3, 7, 7), shape("Ignore", 1, 1, 12, 11)],
    }
    (base / "test").mkdir(parents=True)
    for name, content, encoding in (("hole", hole, "utf-8"), ("island", island, "cp1252")):
        save_picture(base / "test" / f"{name}.jpg")
        (base / "test" / f"{name}.json").write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    return base


class TestForeground:
    @pytest.mark.parametrize(
        ("name", "images", "masks"),
        [(name, *layout) for name, own in OWN.items() for layout in (*own, *SHARED)],
    )
    @pytest.mark.parametrize("inside", [False, True], ids=["own folder", "folder above"])
    def test_every_layout_is_known(self, tmp_path: Path, name: str, images: str, masks: str, *, inside: bool) -> None:
        base = tmp_path / name if inside else tmp_path
        write_pair(base / images, base / masks, "a", LEFT)
        found = find_benchmark(name.lower()).read("", tmp_path)
        (question,) = found.questions
        assert (question.id, question.text, found.found["layout"]) == ("a", "", f"{images} + {masks}")
        assert np.array_equal(question.target(ImageSize(16, 12)).mask, LEFT)

    def test_the_test_part_is_read_and_pictures_without_camouflage_are_left_out(self, tmp_path: Path) -> None:
        for part in ("Train", "Test"):
            for kind in ("CAM", "NonCAM"):
                write_pair(tmp_path / part / "Image", tmp_path / part / "GT_Object", f"COD10K-{kind}-1-{part}", LEFT)
        found = BENCHMARKS["COD10K"].read("", tmp_path)
        assert [question.id for question in found.questions] == ["COD10K-CAM-1-Test"]
        assert found.found["without_camouflaged_object"] == 1

    def test_a_folder_of_another_kind_is_reported(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="Imgs"):
            BENCHMARKS["CAMO"].read("", tmp_path)
        write_pair(tmp_path / "Imgs", tmp_path / "GT", "a", LEFT)
        (question,) = BENCHMARKS["CAMO"].read("", tmp_path).questions
        with pytest.raises(DatasetError, match="must be of one size"):
            question.target(ImageSize(12, 16))


class TestReferring:
    def test_every_expression_of_a_split_is_a_question(self, tmp_path: Path) -> None:
        found = BENCHMARKS["RefCOCO"].read("unc/testA", write_refcoco(tmp_path))
        texts = {question.id: question.text for question in found.questions}
        assert texts == {
            "1/100": "the thing",
            "1/101": "that <b>thing</b>",
            "1/102": "the left thing",
            "2/200": "two parts",
            "3/300": "the column",
        }
        masks = {question.id[0]: question.target(SIZE).mask for question in found.questions}
        assert np.array_equal(masks["1"], rectangle(2, 3, 9, 8))
        assert np.array_equal(masks["2"], rectangle(0, 0, 4, 4) | rectangle(12, 6, 20, 12))
        assert np.array_equal(masks["3"], rectangle(2, 0, 3, 12))
        assert all(question.image.is_file() for question in found.questions)

    def test_pictures_and_sets_may_lie_where_their_authors_put_them(self, tmp_path: Path) -> None:
        base = write_refcoco(tmp_path / "refer" / "refcoco")
        home = tmp_path / "refer" / "images" / "mscoco" / "images"
        home.mkdir(parents=True)
        (base / "images").rename(home / "train2014")
        found = BENCHMARKS["RefCOCO"].read("unc/testA", tmp_path / "refer")
        assert found.questions[0].image.parent == home / "train2014"

    def test_an_expression_may_name_several_objects_or_none(self, tmp_path: Path) -> None:
        both, none = BENCHMARKS["gRefCOCO"].read("unc/val", write_refcoco(tmp_path, generalised=True)).questions
        union = rectangle(2, 3, 9, 8) | rectangle(0, 0, 4, 4) | rectangle(12, 6, 20, 12)
        assert np.array_equal(both.target(SIZE).mask, union)
        assert not none.target(SIZE).mask.any()

    def test_a_set_is_asked_for_what_training_asks_of_it(self, tmp_path: Path) -> None:
        for name in ("CAMO", "COD10K", "ECSSD"):
            write_pair(tmp_path / name / "images", tmp_path / name / "masks", "a", LEFT)
            (row,) = pair_rows([tmp_path / name]).rows
            assert BENCHMARKS[name].template == row.instruction

    def test_an_expression_of_nothing_need_not_say_so_twice(self, tmp_path: Path) -> None:
        base = write_refcoco(tmp_path, generalised=True)
        references = json.loads((base / "grefs(unc).json").read_text())
        for reference in references:
            reference.pop("no_target", None)
        (base / "grefs(unc).json").write_text(json.dumps(references))
        _, none = BENCHMARKS["gRefCOCO"].read("unc/val", base).questions
        assert not none.target(SIZE).mask.any()

    def test_a_pickle_that_would_run_something_runs_nothing(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
                return os.mkdir, (str(tmp_path / "sprung"),)

        for number, hostile in enumerate((pickle.dumps([Trap()]), pickle.dumps(np.float64(1)), b"junk", b"")):
            file = tmp_path / f"{number}.p"
            file.write_bytes(hostile)
            with pytest.raises(DatasetError, match=str(file)):
                read_pickle(file)
        assert not (tmp_path / "sprung").exists()

    def test_python_2_wrote_texts_as_bytes(self, tmp_path: Path) -> None:
        # {'sent': 'caf\xe9', 'n': 7L} as Python 2 pickles it.
        (tmp_path / "old.p").write_bytes(b"\x80\x02}q\x00(U\x04sentq\x01U\x04caf\xe9q\x02U\x01nq\x03\x8a\x01\x07u.")
        assert read_pickle(tmp_path / "old.p") == {"sent": "café", "n": 7}

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda base: (base / "refs(unc).p").unlink(), "no file"),
            (lambda base: (base / "instances.json").write_text("{"), "cannot be read"),
            (lambda base: (base / "instances.json").write_text("{}"), "are malformed"),
            (lambda base: (base / "refs(unc).p").write_bytes(pickle.dumps([{"split": "testA"}])), "are malformed"),
            (lambda base: (base / "refs(unc).p").write_bytes(pickle.dumps([])), "no expressions"),
            (lambda base: (base / "images" / "COCO_train2014_000000000001.jpg").unlink(), "none of the folders"),
        ],
    )
    def test_damage_is_reported(self, tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
        damage(write_refcoco(tmp_path))
        with pytest.raises(DatasetError, match=message):
            BENCHMARKS["RefCOCO"].read("unc/testA", tmp_path)

    def test_a_picture_of_another_size_is_not_the_original(self, tmp_path: Path) -> None:
        question = BENCHMARKS["RefCOCO"].read("unc/testA", write_refcoco(tmp_path)).questions[0]
        with pytest.raises(DatasetError, match="not the original"):
            question.target(ImageSize(10, 6))


class TestReasoning:
    def test_every_query_is_asked_and_ignored_pixels_are_told_apart(self, tmp_path: Path) -> None:
        questions = {q.id: q for q in BENCHMARKS["ReasonSeg"].read("test", write_reasonseg(tmp_path)).questions}
        assert {key: (question.text, question.group) for key, question in questions.items()} == {
            "hole/0": ("the thing", "short"),
            "hole/1": ("what else is it?", "short"),
            "island/0": ("Which one – if any – is a café?", "long"),
        }
        hole, island = (questions[key].target(SIZE) for key in ("hole/1", "island/0"))
        assert np.array_equal(hole.mask, rectangle(2, 2, 16, 10) & ~rectangle(4, 4, 8, 8))
        assert hole.left_out is not None
        assert np.array_equal(hole.left_out, rectangle(4, 4, 8, 8))
        assert np.array_equal(island.mask, rectangle(3, 3, 7, 7))
        assert island.left_out is not None
        assert np.array_equal(island.left_out, rectangle(1, 1, 12, 11) & ~rectangle(3, 3, 7, 7))

    @pytest.mark.parametrize("content", ["{", "{}", '{"text": 3, "is_sentence": true, "shapes": []}'])
    def test_damage_is_reported(self, tmp_path: Path, content: str) -> None:
        base = write_reasonseg(tmp_path)
        (base / "test" / "hole.json").write_text(content)
        with pytest.raises(DatasetError, match=r"hole\.json"):
            BENCHMARKS["ReasonSeg"].read("test", base)
        with pytest.raises(DatasetError, match="no annotations"):
            BENCHMARKS["ReasonSeg"].read("val", base)

    def test_an_invalid_outline_is_reported(self, tmp_path: Path) -> None:
        base = write_reasonseg(tmp_path)
        shapes = [{"label": "target", "points": [["a", 1]]}]
        (base / "test" / "hole.json").write_text(json.dumps({"text": ["x"], "is_sentence": True, "shapes": shapes}))
        with pytest.raises(DatasetError, match="outlines"):
            BENCHMARKS["ReasonSeg"].read("test", base).questions[0].target(SIZE)


class TestMeasures:
    def test_ignored_pixels_count_for_neither_side(self) -> None:
        target = Target(rectangle(0, 0, 10, 12), rectangle(8, 0, 14, 12))
        score = OVERLAPS.score(rectangle(4, 0, 12, 12), target)
        assert (score["intersection"], score["union"]) == (4 * 12, 8 * 12)
        assert score["iou"] == 0.5
        assert (score["target_pixels"], score["found_pixels"]) == (8 * 12, 4 * 12)

    def test_questions_without_a_target(self) -> None:
        nothing, something = rectangle(0, 0, 0, 0), rectangle(0, 0, 5, 4)
        answers = [(nothing, nothing), (something, nothing), (something, something), (nothing, something)]
        scores = [OVERLAPS.score(pred, Target(gt)) for pred, gt in answers]
        assert OVERLAPS.table(scores) == {
            "g_iou": 0.5,
            "c_iou": 20 / 60,
            "no_target_count": 2,
            "n_acc": 0.5,
            "t_acc": 0.5,
        }
        assert OVERLAPS.table(scores[2:]) == {"g_iou": 0.5, "c_iou": 0.5}

    def test_every_number_of_a_table_is_defined(self) -> None:
        for measures in (FOREGROUND, OVERLAPS):
            scores = [measures.score(LEFT, Target(gt)) for gt in (LEFT, LEFT & False)]
            defined = {name for names in measures.definitions for name in names.split(", ")}
            assert measures.table(scores).keys() - {"no_target_count"} == defined


class TestCatalogue:
    def test_splits_go_by_their_own_names(self) -> None:
        assert BENCHMARKS["RefCOCO"].choose_split("testB") == "unc/testB"
        assert BENCHMARKS["RefCOCO"].choose_split("google/val") == "google/val"
        assert BENCHMARKS["RefCOCOg"].choose_split("test") == "umd/test"
        assert BENCHMARKS["ReasonSeg"].choose_split(None) == "val"
        assert BENCHMARKS["CAMO"].choose_split(None) == ""
        for name, split, message in (("RefCOCOg", "testA", "umd/val"), ("CAMO", "val", "no splits")):
            with pytest.raises(SettingsError, match=message):
                BENCHMARKS[name].choose_split(split)

    def test_a_template_keeps_a_place_for_the_question(self) -> None:
        assert BENCHMARKS["ReasonSeg"].choose_template(None) == "{} Identify and segment it."
        assert BENCHMARKS["CAMO"].choose_template("Find it.") == "Find it."
        with pytest.raises(SettingsError, match="as the placeholder for"):
            BENCHMARKS["RefCOCO+"].choose_template("Find it.")
        with pytest.raises(SettingsError, match="PASCAL-S"):
            find_benchmark("imagenet")
