"""The data of the Review and Progress tabs, from a real store and without a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from segr1_app.domain import Box, Point, StoreError, UnknownRecordError
from segr1_app.geometry import decode_rle
from segr1_app.store import AnnotationStore, Verdict
from segr1_app.store.changes import PromptChange
from segr1_app.ui.handlers.review import LISTED, ReviewHandlers
from segr1_app.ui.views import change_value
from tests.store.values import HEIGHT, SKIPPED, WIDTH, corrected, picture, prediction, rectangle, rejected

HALF, WHOLE = rectangle(5, 10, 15, 20), rectangle(5, 10, 25, 20)
OTHER = "<b>Ben</b> ${x}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnnotationStore]:
    with AnnotationStore.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def reviews(store: AnnotationStore, tmp_path: Path) -> ReviewHandlers:
    """Task 1: predicted, fixed by Ann, accepted by Ben. Task 2: drawn by Ann. Task 3: open, but for a skip."""
    for seed in range(3):
        store.add_task(store.add_picture(picture(seed), f"{seed}.jpg"), "the cat")
    number = store.add_prediction(1, prediction(), "v1")
    store.save(1, "Ann", corrected(HALF, comment="half"), prediction_id=number)
    store.save(1, OTHER, corrected(WHOLE, verdict=Verdict.ACCEPT, clicks=0), prediction_id=number)
    store.save(2, "Ann", corrected(HALF))
    store.save(3, "Ann", SKIPPED)
    return ReviewHandlers(store, tmp_path)


def test_the_list_tells_what_counts(reviews: ReviewHandlers) -> None:
    answer = reviews.decided_tasks()
    assert (answer["decided"], answer["more"], answer["annotators"]) == (2, False, [OTHER, "Ann"])
    drawn, both = answer["tasks"]
    assert (drawn["task"], drawn["people"], drawn["agreement"]) == (2, 1, None)
    assert (both["annotator"], both["verdict"], both["revision"], both["agreement"]) == (OTHER, "accept", 2, 0.5)
    assert [each["task"] for each in reviews.decided_tasks("Ann")["tasks"]] == [2, 1]
    assert reviews.decided_tasks(verdict="reject")["tasks"] == []
    with pytest.raises(StoreError, match="'accept' or 'fix' or 'reject' or 'skip'"):
        reviews.decided_tasks(verdict="maybe")


def test_a_long_list_comes_in_pages(reviews: ReviewHandlers, store: AnnotationStore) -> None:
    for seed in range(3, LISTED + 2):
        task = store.add_task(store.add_picture(picture(seed), f"{seed}.jpg"), "the cat")
        store.save(task.id, "Ann", rejected())
    first = reviews.decided_tasks()
    assert (len(first["tasks"]), first["more"]) == (LISTED, True)
    second = reviews.decided_tasks(before=first["tasks"][-1]["revision"])
    assert ([each["task"] for each in second["tasks"]], second["more"]) == ([1], False)


def test_a_task_comes_with_its_history_and_what_to_compare(reviews: ReviewHandlers) -> None:
    answer = reviews.review_task(1)
    newest, oldest = answer["revisions"]
    assert (newest["annotator"], newest["current"], newest["policy_iou"]) == (OTHER, True, 1.0)
    assert (oldest["comment"], oldest["current"], oldest["policy_iou"], oldest["clicks"]) == ("half", False, 0.5, 3)
    assert (answer["first"], answer["second"], answer["chosen_by"]) == ("prediction 1", "revision 2", None)
    assert answer["predictions"][0]["checkpoint"] == "v1"
    assert answer["agreement"] == 0.5
    assert answer["pairs"] == [{"annotators": [OTHER, "Ann"], "iou": 0.5}]
    assert answer["canvas"]["image_size"] == [WIDTH, HEIGHT]
    assert answer["canvas"]["picture"]["url"].endswith(".jpg")
    assert reviews.history(1) == answer["revisions"]


def test_a_picture_with_a_preview_is_not_read_for_a_review(
    reviews: ReviewHandlers, store: AnnotationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = reviews.review_task(1)["canvas"]["picture"]
    monkeypatch.setattr(store, "picture", pytest.fail)
    assert reviews.review_task(1)["canvas"]["picture"] == shown


def test_a_change_keeps_all_of_its_fields() -> None:
    point, box = Point(1.5, 2, 1), Box(1, 2, 3.25, 4)
    change = PromptChange((point,), (point,), (point,), ((point, point),), ((box, box),), (box,), (box,), 2, 1)
    assert json.dumps(change_value(change)) == json.dumps(asdict(change))


def test_without_a_prediction_people_are_compared(reviews: ReviewHandlers, store: AnnotationStore) -> None:
    assert [reviews.review_task(2)[side] for side in ("first", "second")] == ["revision 3", "revision 3"]
    store.save(2, "Ben", corrected(WHOLE))
    answer = reviews.review_task(2)
    assert (answer["first"], answer["second"], answer["predictions"]) == ("revision 3", "revision 5", [])
    # Somebody skipped it: there is a history, though nothing counts.
    assert reviews.review_task(3)["second"] == "revision 4"


def test_what_nobody_touched_cannot_be_reviewed(reviews: ReviewHandlers, store: AnnotationStore) -> None:
    task = store.add_task(store.picture_info(picture(0).sha256).sha256, "something else")
    with pytest.raises(StoreError, match="nothing to review"):
        reviews.review_task(task.id)
    with pytest.raises(UnknownRecordError):
        reviews.review_task(99)


def test_two_masks_are_compared_pixel_by_pixel(reviews: ReviewHandlers) -> None:
    answer = reviews.compare(1, "prediction 1", "revision 1")
    assert (answer["iou"], answer["only_first"], answer["only_second"], answer["both"]) == (0.5, 100, 0, 100)
    assert (decode_rle(answer["first"]["mask"]) == WHOLE).all()
    assert (decode_rle(answer["second"]["mask"]) == HALF).all()
    assert answer["first"]["objects"][0]["box"] == [5, 10, 25, 20]
    same = reviews.compare(1, "revision 2", "revision 2")
    assert (same["iou"], same["only_first"], same["only_second"]) == (1.0, 0, 0)


@pytest.mark.parametrize("name", ["revision", "revision x", "policy 1", "", "revision 3", "prediction 9", "revision ²"])
def test_only_what_is_the_tasks_own_is_compared(reviews: ReviewHandlers, name: str) -> None:
    with pytest.raises(StoreError):
        reviews.compare(1, name, "revision 1")


def test_a_reviewers_choice_counts_until_it_is_taken_back(reviews: ReviewHandlers, store: AnnotationStore) -> None:
    assert reviews.make_current("Rea", 1, 1) == {"current": 1, "chosen_by": "Rea"}
    assert reviews.review_task(1)["chosen_by"] == "Rea"
    assert store.task(1).current_id == 1
    assert reviews.make_current("Rob", 1) == {"current": 2, "chosen_by": None}
    with pytest.raises(StoreError, match="Enter your name first"):
        reviews.make_current(" ", 1, 1)
    with pytest.raises(StoreError, match="Only a decision about this task"):
        reviews.make_current("Rea", 1, 3)


def test_restoring_adds_a_revision_and_refuses_a_stale_one(reviews: ReviewHandlers, store: AnnotationStore) -> None:
    assert reviews.restore("Rea", 1) == {"revision": 5, "current": 5}
    restored = store.revision(5)
    assert (restored.annotator, restored.origin_id, restored.correction.clicks) == ("Rea", 1, 0)
    stale = reviews.restore("Rea", 2)
    assert stale["stale"] == 5
    assert "in the meantime" in stale["message"]
    assert reviews.restore("Rea", 2, parent=5)["revision"] == 6
    assert list(store.verify()) == []


def test_statistics_name_everybody_once(reviews: ReviewHandlers) -> None:
    answer: dict[str, Any] = reviews.statistics()
    assert (answer["tasks"], answer["open"], answer["total"]["done"]) == (3, 1, 3)
    ben, ann = answer["annotators"]
    assert (ben["name"], ben["verdicts"]["accept"], ben["iou_gained"]) == (OTHER, 1, 0.0)
    assert (ann["name"], ann["done"], ann["verdicts"]["skip"], ann["iou_gained"]) == ("Ann", 2, 1, 0.5)
    assert [(each["policy"], each["checkpoint"]) for each in answer["checkpoints"]] == [("", ""), ("policy", "v1")]
    assert len(answer["days"]) == 1
    assert answer["pairs"] == [{"annotators": [OTHER, "Ann"], "iou": 0.5}]
