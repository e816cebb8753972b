"""COCO files as other tools write them: never a wrong ground truth, and nothing dropped silently.

It is long because COCO files differ in many ways, each of which is a case.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as pycoco

from segr1_app.domain import Mask
from segr1_app.geometry import encode_rle
from segr1_app.images.frames import Reading, turn_pixels
from segr1_app.store import AnnotationStore
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
    truth,
    truths,
    write_json,
)

SQUARE = [corners(*PLACE)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw(tmp_path / "in" / "a.png")
    return tmp_path / "in"


def take(store: AnnotationStore, folder: Path, content: Any, **options: Any) -> Mask | None:
    write_json(folder / "coco.json", content)
    take.account = bring(store, folder, options=ImportOptions(**options))  # type: ignore[attr-defined]
    return truth(store, folder / "a.png")


def left_out() -> list[str]:
    return list(take.account.left_out)  # type: ignore[attr-defined]


@pytest.mark.parametrize("factor", [10, 2, 0.5, 1 / 3])
def test_polygons_of_a_scaled_copy_are_scaled_back(store: AnnotationStore, folder: Path, factor: float) -> None:
    declared = {"width": round(WIDTH * factor), "height": round(HEIGHT * factor)}
    segmentation = [[value * factor for value in SQUARE[0]]]
    found = take(store, folder, coco([image(**declared)], [annotation(segmentation)]))
    assert found is not None
    assert (found != MASK).mean() < 0.02
    assert left_out() == []


@pytest.mark.parametrize("declared", [(100, 100), (48, 64), (640, 400)])
def test_another_picture_than_the_annotated_one_is_refused(
    store: AnnotationStore, folder: Path, declared: tuple[int, int]
) -> None:
    content = coco([image(width=declared[0], height=declared[1])], [annotation(SQUARE)])
    assert take(store, folder, content) is None
    (reported,) = left_out()
    assert f"{declared[0]} x {declared[1]}" in reported
    assert "a.png" in reported
    assert list(store.tasks()) == []


def test_shares_of_the_sides_become_pixels(store: AnnotationStore, folder: Path) -> None:
    shares = [[value / (WIDTH, HEIGHT)[place % 2] for place, value in enumerate(SQUARE[0])]]
    found = take(store, folder, coco([image()], [annotation(shares)]))
    assert found is not None
    assert np.array_equal(found, MASK)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("drawn", ["raw", "upright"])
@pytest.mark.parametrize("form", ["polygon", "runs"])
def test_a_turned_picture_is_read_where_one_frame_fits(
    store: AnnotationStore, tmp_path: Path, orientation: int, drawn: str, form: str
) -> None:
    folder = tmp_path / "in"
    draw(folder / "a.png", orientation=orientation)
    raw, seen = MASK, turn_pixels(MASK, orientation)
    used = raw if drawn == "raw" else seen
    y, x = np.nonzero(used)
    place = corners(float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1))
    size = {"width": used.shape[1], "height": used.shape[0]}
    content = coco([image(**size)], [annotation([place] if form == "polygon" else encode_rle(used))])
    found = take(store, folder, content)
    if orientation in {2, 3, 4}:
        assert found is None
        assert "--orientation" in left_out()[0]
        found = take(store, folder, content, reading=Reading(drawn))
    assert found is not None
    assert np.array_equal(found, seen)


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_square_turned_picture_is_not_guessed_at(store: AnnotationStore, tmp_path: Path, orientation: int) -> None:
    folder = tmp_path / "in"
    draw(folder / "a.png", size=(48, 48), orientation=orientation)
    assert take(store, folder, coco([image(width=48, height=48)], [annotation(SQUARE)])) is None
    assert "--orientation" in left_out()[0]


UNREADABLE = [
    [[500, 500, 600, 500, 600, 600]],
    [[-50, -50, -10, -50, -10, -10]],
    [[8, 6, 40, 6, 20, 6]],
    [[8, 6, 8, 6, 8, 6]],
    [[8, 6, 40, 30]],
    [[8, 6, 40, 30, 9]],
    [["x", 6, 40, 30, 9, 9]],
    [SQUARE[0], [1, 2]],
    [SQUARE[0], [500, 500, 600, 500, 600, 600]],
    [[0, 0, 1, 0, 1, 1, 0, 1]],
    {"size": [HEIGHT, WIDTH], "counts": [0, -1, WIDTH * HEIGHT + 1]},
    {"size": [WIDTH, HEIGHT], "counts": encode_rle(MASK)["counts"]},
    {"size": [HEIGHT, WIDTH], "counts": str(encode_rle(MASK)["counts"].encode())},
    {"size": [HEIGHT, WIDTH], "counts": [WIDTH * HEIGHT]},
    {"size": [HEIGHT, WIDTH], "counts": [1.5, WIDTH * HEIGHT - 1.5]},
    {"size": [HEIGHT], "counts": "1"},
    {"size": None, "counts": None},
    {"counts": encode_rle(MASK)["counts"]},
    "polygon",
]


@pytest.mark.parametrize("segmentation", UNREADABLE)
def test_what_cannot_be_read_makes_no_truth(store: AnnotationStore, folder: Path, segmentation: Any) -> None:
    content = coco([image()], [annotation(segmentation), annotation(SQUARE, id=2)])
    assert take(store, folder, content) is None
    (reported,) = left_out()
    assert "a.png: annotation 1 (id 1) is left out: " in reported
    assert instructions(store) == [("a.png", CAT)], "the task is there, to be annotated"
    found = take(store, folder, content, keep_partial=True)
    assert found is not None
    assert np.array_equal(found, MASK)
    assert len(left_out()) == 1


@pytest.mark.parametrize(
    "polygon",
    [
        [-20, 10, 30, 10, 30, 20],
        [50, -30, 200, 20, 50, 70],
        [-100, -100, 300, -100, 300, 200],
        [10, 10, 10000, 20, 10, 30],
    ],
)
def test_a_polygon_that_hangs_over_is_cut_as_pycocotools_does(
    store: AnnotationStore, folder: Path, polygon: list[float]
) -> None:
    found = take(store, folder, coco([image()], [annotation([polygon])]))
    wanted = pycoco.decode(pycoco.merge(pycoco.frPyObjects([polygon], HEIGHT, WIDTH))).astype(bool)
    assert found is not None
    assert (found & wanted).sum() / (found | wanted).sum() > 0.98


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_any_encoding_of_json_is_read(store: AnnotationStore, folder: Path, encoding: str) -> None:
    write_json(folder / "coco.json", coco([image()], [annotation(SQUARE)], [{"id": 1, "name": "chât"}]), encoding)
    account = bring(store, folder)
    assert account.left_out == []
    found = truth(store, folder / "a.png", "Identify and segment the chât.")
    assert found is not None
    assert np.array_equal(found, MASK)


@pytest.mark.parametrize("of_image", [7, 7.0, "7", " 7 ", "7.0", "007"])
@pytest.mark.parametrize("of_annotation", [7, 7.0, "7", "07"])
def test_ids_are_compared_by_value(store: AnnotationStore, folder: Path, of_image: Any, of_annotation: Any) -> None:
    content = coco(
        [image(of_image)],
        [annotation(SQUARE, of_annotation, category_id=of_annotation)],
        [{"id": of_image, "name": "cat"}],
    )
    found = take(store, folder, content)
    assert found is not None
    assert np.array_equal(found, MASK)


def test_what_belongs_to_nothing_or_to_two_is_named(store: AnnotationStore, folder: Path) -> None:
    draw(folder / "b.png", 1)
    images = [image(1), image(2, "b.png"), image(2, "c.png"), None, {"id": 4}, {"file_name": "x.png"}, "seven"]
    annotations = [
        annotation(SQUARE, 99),
        annotation(SQUARE, 1),
        annotation(SQUARE, 2),
        annotation(SQUARE, 4),
        {"category_id": 1, "segmentation": SQUARE},
        None,
        [],
        annotation(SQUARE, 1, category_id=5),
    ]
    found = take(store, folder, coco(images, annotations))
    assert found is not None
    assert np.array_equal(found, MASK)
    assert instructions(store) == [("a.png", CAT)]
    reported = "\n".join(left_out())
    for expected in (
        "image 4 is left out: it is null",
        "image 5 (id 4) is left out: it has no file_name",
        "image 6 is left out: it has no id",
        'image 7 is left out: it is "seven"',
        "annotation 5 is left out: it has no image_id",
        "annotation 6 is left out: it is null",
        "annotation 7 is left out: it is []",
        "1 annotation (1) left out: there is no image with their image_id (99)",
        "2 images (b.png, c.png) are left out with their annotations: all have the id 2",
        "1 annotations are left out: their image (id 4) has no file_name",
        "its category_id 5 is not among the categories",
    ):
        assert expected in reported


def test_invalid_numbers_spoil_only_their_own_record(store: AnnotationStore, folder: Path) -> None:
    draw(folder / "b.png", 1)
    good = annotation(SQUARE, 1, area=float("nan"), note='a "NaN" in \\ words, -Infinity')
    bad = annotation([[8, 6, float("inf"), 6, 40, 30]], 2)
    found = take(store, folder, coco([image(1), image(2, "b.png")], [good, bad]))
    assert found is not None
    assert np.array_equal(found, MASK)
    assert truth(store, folder / "b.png") is None
    (reported,) = left_out()
    assert "b.png: annotation 2 (id 1) is left out: a corner is not a finite number" in reported
    assert take.account.notices == [  # type: ignore[attr-defined]
        f"{folder}/coco.json, annotation 1: its area is not a number and is not used."
    ]


def test_a_file_that_is_cut_off_is_named(store: AnnotationStore, folder: Path) -> None:
    text = json.dumps(coco([image()], [annotation(SQUARE)]))
    (folder / "coco.json").write_text(text[:-60])
    account = bring(store, folder)
    assert "coco.json' is not a COCO file: it is damaged or cut off" in account.left_out[0]


def test_pictures_without_annotations_become_tasks(store: AnnotationStore, folder: Path) -> None:
    for seed in range(1, 7):
        draw(folder / f"{seed}.png", seed)
    nothing = {"size": [HEIGHT, WIDTH], "counts": [WIDTH * HEIGHT]}
    images = [image(0), *(image(seed, f"{seed}.png") for seed in range(1, 7))]
    images[6]["instructions"] = ["the mouse"]
    empty = annotation(nothing, 5, instruction="the dog")
    take(store, folder, coco(images, [annotation(SQUARE, 0), empty]))
    assert left_out() == []
    found = dict(instructions(store))
    assert found == {
        "a.png": CAT,
        **{f"{n}.png": DEFAULT for n in range(1, 5)},
        "5.png": "the dog",
        "6.png": "the mouse",
    }
    assert not truths(store)["5.png", "the dog"].any(), "an empty mask that somebody decided on"


def test_boxes_and_keypoints_become_prompts(store: AnnotationStore, folder: Path) -> None:
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 6, 32, 24]}
    points = {
        "id": 2,
        "image_id": 1,
        "category_id": 2,
        "keypoints": [9, 7, 2, 0, 0, 0, 30, 20, 1],
        "bbox": [8, 6, 32, 24],
    }
    content = coco([image()], [box, points], [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}])
    assert take(store, folder, content) is None
    account = take.account  # type: ignore[attr-defined]
    assert (account.boxes, account.points, account.truths, account.left_out) == (2, 2, 0, [])
    for task, name, count in zip(store.tasks(), ("cat", "dog"), (0, 2), strict=True):
        assert task.prediction_id is not None
        stored = store.prediction(task.prediction_id).prediction
        (prompt,) = stored.objects
        assert prompt.name == name
        assert prompt.box is not None
        assert prompt.box.xyxy == (8, 6, 40, 30)
        assert len(prompt.points) == count
        assert stored.policy_id == "imported"
    assert list(store.verify()) == []


def test_masks_for_some_and_boxes_for_others_make_no_truth(store: AnnotationStore, folder: Path) -> None:
    box = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [50, 30, 10, 10]}
    assert take(store, folder, coco([image()], [annotation(SQUARE), box])) is None
    assert "some of its objects have masks, others only boxes" in left_out()[0]


def test_the_same_import_twice_changes_nothing(store: AnnotationStore, folder: Path) -> None:
    content = coco([image()], [annotation(SQUARE)])
    take(store, folder, content)
    first = take.account.summary  # type: ignore[attr-defined]
    take(store, folder, content)
    assert first == "New: 1 picture, 1 task, 1 ground-truth mask, 0 boxes, 0 points; 0 duplicates."
    assert take.account.summary == (  # type: ignore[attr-defined]
        "New: 0 pictures, 0 tasks, 0 ground-truth masks, 0 boxes, 0 points; 1 duplicate."
    )


def test_a_box_of_a_mask_is_not_another_object(store: AnnotationStore, folder: Path) -> None:
    """Many tools write both for one object; a box elsewhere is an object whose mask is missing."""
    mask = annotation([corners(*PLACE)])
    x1, y1, x2, y2 = PLACE
    own = annotation([], bbox=[x1, y1 + 1, x2 - x1, y2 - y1])
    write_json(folder / "coco.json", coco([image()], [mask, own]))
    account = bring(store, folder)
    assert account.left_out == []
    assert (account.truths, account.boxes) == (1, 1)
    write_json(folder / "coco.json", coco([image()], [mask, own, annotation([], bbox=[50, 40, 5, 5])]))
    assert "some of its objects have masks" in bring(store, folder).left_out[0]


def test_points_on_a_mask_are_not_another_object(store: AnnotationStore, folder: Path) -> None:
    x, y = PLACE[0] + 2, PLACE[1] + 2
    on_it = annotation([], keypoints=[x, y, 2])
    write_json(folder / "coco.json", coco([image()], [annotation([corners(*PLACE)]), on_it]))
    assert bring(store, folder).left_out == []
    off_it = annotation([], keypoints=[WIDTH - 1, HEIGHT - 1, 2])
    write_json(folder / "coco.json", coco([image()], [annotation([corners(*PLACE)]), off_it]))
    assert "some of its objects have masks" in bring(store, folder).left_out[0]


def test_a_picture_of_lvis_is_found_by_its_address(store: AnnotationStore, folder: Path) -> None:
    picture = {"id": 1, "coco_url": "http://images.example.org/val2017/a.png", "width": WIDTH, "height": HEIGHT}
    write_json(folder / "lvis.json", coco([picture], [annotation([corners(*PLACE)])]))
    assert bring(store, folder).left_out == []
    assert len(truths(store)) == 1


def test_integers_beyond_64_bits_are_ids_like_others(store: AnnotationStore, folder: Path) -> None:
    number = 10**30 + 7
    write_json(folder / "coco.json", coco([image(number)], [annotation([corners(*PLACE)], number)]))
    assert bring(store, folder).left_out == []
    assert len(truths(store)) == 1


def test_a_picture_whose_annotations_have_no_class_stays(store: AnnotationStore, folder: Path) -> None:
    write_json(folder / "coco.json", coco([image()], [annotation([corners(*PLACE)], category_id=9)]))
    (reported,) = bring(store, folder).left_out
    assert "its category_id 9 is not among the categories" in reported
    assert instructions(store) == [("a.png", DEFAULT)]


def test_annotations_that_are_not_a_list_are_reported(store: AnnotationStore, folder: Path) -> None:
    content = coco([image()], [])
    write_json(folder / "coco.json", {**content, "annotations": {"1": annotation([corners(*PLACE)])}})
    (reported,) = bring(store, folder).left_out
    assert reported == f"{folder}/coco.json: its annotations are left out: they must be a list, not an object."


def test_another_encoding_than_unicode_is_named(store: AnnotationStore, folder: Path) -> None:
    path = folder / "coco.json"
    path.write_bytes(json.dumps(coco([image()], []), ensure_ascii=False).replace("cat", "K\xe4fer").encode("latin-1"))
    assert bring(store, folder).left_out[0] == f"'{path}' is not a COCO file: it is not in UTF-8: save it as UTF-8."


def test_results_spoil_only_their_own_record(store: AnnotationStore, folder: Path) -> None:
    write_json(folder / "coco.json", coco([image()], []))
    good = {"image_id": 1, "category_id": 1, "bbox": [8, 6, 20, 20], "score": "0.9"}
    write_json(folder / "model.json", [{**good, "score": float("nan")}, good, {**good, "score": None}])
    account = bring(store, folder)
    assert account.boxes == 1
    assert account.left_out == [
        f"{folder}/model.json, result 1 is left out: its score is not a finite number: NaN.",
        f"{folder}/model.json, result 3 is left out: its score is not a number: 'None'.",
    ]


def runs(mask: Mask) -> list[int]:
    """Lengths of runs in the order of ``mask``'s rows, from background on."""
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


BOX = [8, 6, 32, 24]
"""`PLACE` as left, top, width and height."""


@pytest.mark.parametrize("box", [BOX, None])
def test_run_lengths_that_go_along_the_rows_are_refused(
    store: AnnotationStore, folder: Path, box: list[int] | None
) -> None:
    segmentation = {"size": [HEIGHT, WIDTH], "counts": runs(MASK)}
    assert take(store, folder, coco([image()], [annotation(segmentation, bbox=box)])) is None
    assert "along the rows" in left_out()[0]


@pytest.mark.parametrize("rough", [np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.5, np.eye(HEIGHT, WIDTH) > 0])
def test_a_rough_mask_is_not_a_reason_to_doubt_the_order_of_its_runs(
    store: AnnotationStore, folder: Path, rough: Mask
) -> None:
    segmentation = {"size": [HEIGHT, WIDTH], "counts": runs(np.asfortranarray(rough).T)}
    assert np.array_equal(take(store, folder, coco([image()], [annotation(segmentation)])), rough)


@pytest.mark.parametrize(
    ("segmentation", "box", "reported"),
    [
        ([[2, 8, 2, 32, 10, 32, 10, 8]], [8, 2, 24, 8], "y comes before x"),
        ({"size": [HEIGHT, WIDTH], "counts": runs(MASK.T)[1:]}, BOX, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": runs(~box_mask(0, 6, 40, 30).T)}, [0, 6, 40, 24], "begin with the object"),
        ([corners(50, 36, 60, 44)], BOX, "(50, 36 to 60, 44) is not where its bbox is (8, 6 to 40, 30)"),
        ([corners(4, 3, 20, 15)], BOX, "is not where its bbox is"),
    ],
)
def test_a_mask_that_contradicts_its_box_is_refused(
    store: AnnotationStore, folder: Path, segmentation: Any, box: list[int], reported: str
) -> None:
    assert take(store, folder, coco([image()], [annotation(segmentation, bbox=box)])) is None
    assert reported in left_out()[0]


@pytest.mark.parametrize(
    "box", [[0, 0, 0, 0], [8, 6, 40, 30], [0, 0, 1, 1], [1, 2], None, [7.6, 5.5, 32.9, 25], [0, 0, 40, 30]]
)
def test_a_box_that_says_less_than_the_mask_changes_nothing(store: AnnotationStore, folder: Path, box: Any) -> None:
    assert np.array_equal(take(store, folder, coco([image()], [annotation(SQUARE, bbox=box)])), MASK)
    assert not left_out()


def test_many_alike_are_summed_up(store: AnnotationStore, folder: Path) -> None:
    outside = [annotation([corners(200, 200, 220, 220)], category_id=2) for _ in range(40)]
    lost = [annotation(SQUARE, image_id=7, category_id=2)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    take(store, folder, coco([image()], [annotation(SQUARE), *outside, *lost], categories))
    account = take.account  # type: ignore[attr-defined]
    assert len(account.left_out) == len(account.all_sentences) == 41
    assert "41 records left out" in account.summary
    assert len(account.sentences) == 7
    assert "annotation 6 (id 1) is left out: its polygon lies outside" in account.sentences[5]
    assert account.sentences[6].startswith("... and 35 more like these, the last of them: ")
    assert account.sentences[0] == account.left_out[0]


def test_a_box_may_have_been_written_as_its_corners(store: AnnotationStore, folder: Path) -> None:
    place = (50, 36, 56, 40)
    found = take(store, folder, coco([image()], [annotation([corners(*place)], bbox=list(place))]))
    assert np.array_equal(found, box_mask(*place))
    assert not left_out()


def test_a_box_may_be_of_the_picture_before_it_was_scaled(store: AnnotationStore, folder: Path) -> None:
    scaled = [[10 * value for value in SQUARE[0]]]
    larger = image(width=10 * WIDTH, height=10 * HEIGHT)
    assert np.array_equal(take(store, folder, coco([larger], [annotation(scaled, bbox=BOX)])), MASK)
    assert not left_out()
