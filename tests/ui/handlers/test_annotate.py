"""The annotators' work without a page: a real store, the embedded segmenter."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segr1_app.domain import Box, ImageSize, Mask, ObjectMask, ObjectPrompt, Prediction, StoreError
from segr1_app.models.host import LoadedModels, ModelHost
from segr1_app.models.pipeline import Pipeline
from segr1_app.settings.config import Settings
from segr1_app.store import AnnotationStore, SampledCompletion, Verdict
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.studio.previews import RecentPictures
from segr1_app.studio.recording import RunRecorder
from segr1_app.studio.sessions import CanvasSessions
from segr1_app.ui.handlers.annotate import JobHandlers
from tests.scenes import ellipse_scene

PICTURE, _ = ellipse_scene(320, 240, (0.4, 0.5), (0.2, 0.3))
OBJECT: dict[str, Any] = {
    "box": [60, 50, 200, 200],
    "points": [{"x": 128, "y": 120, "label": 1}],
    "name": "egg",
    "strokes": [
        {"erase": False, "radius": 9, "path": [[20, 20], [60, 20]]},
        {"erase": True, "radius": 9, "path": [[128, 120]]},
    ],
    "start": None,
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnnotationStore]:
    with AnnotationStore.open(tmp_path / "home") as store:
        store.add_task(store.add_picture(PICTURE, "egg.png"), "Identify and segment the largest object.")
        yield store


@pytest.fixture
def jobs(pipeline: Pipeline, store: AnnotationStore, tmp_path: Path) -> JobHandlers:
    models = ModelHost(Settings(), lambda _: LoadedModels(pipeline, "cpu", ""))
    models.start()
    sessions = CanvasSessions()
    canvas = CanvasHandlers(models, tmp_path, sessions, RunRecorder(store, models))
    return JobHandlers(store, models, cache=tmp_path, sessions=sessions, canvas=canvas)


def test_a_decided_task_goes_on_from_what_was_saved(jobs: JobHandlers, store: AnnotationStore) -> None:
    given = jobs.next_task("Ada")
    assert given["saved"] is None
    start = given["canvas"]["objects"][0]["mask"]
    objects = [{**OBJECT, "start": start}]
    saved = jobs.save_decision("Ada", 1, "fix", objects, comment="mine", prediction=given["prediction"])

    own = jobs.open_task("Ada", 1)
    assert (own["decided"], own["parent"], own["saved"]["comment"]) == (True, saved["revision"], "mine")
    store.release(1, "Ada")
    other = jobs.open_task("Ben", 1)
    assert (other["parent"], other["saved"]["revision"], other["saved"]["comment"]) == (None, saved["revision"], "")
    (back,) = other["saved"]["objects"]
    assert (back["box"], back["points"], back["name"]) == (OBJECT["box"], OBJECT["points"], "egg")
    assert back["start"] is not None

    # Saved again as it came, it is the same to the pixel; with one more stroke, only that is new.
    stroke = {"erase": False, "radius": 5, "path": [[300, 200]]}
    origin, prediction = other["saved"]["revision"], other["prediction"]
    again = jobs.save_decision("Ben", 1, "accept", [back], prediction=prediction, origin=origin)
    more = [{**back, "strokes": [stroke]}]
    jobs.save_decision("Ben", 1, "fix", more, prediction=prediction, parent=again["revision"], origin=origin)
    first, second, third = store.history(1)
    assert [each.origin_id for each in (first, second, third)] == [None, first.id, first.id]
    assert (second.correction.verdict, third.parent_id) == (Verdict.FIX, second.id)
    for layer in ("segmented", "painted", "erased", "refined_from"):
        old, new = (getattr(each.correction.objects[0], layer) for each in (first, second))
        assert np.array_equal(old, new), layer
    assert third.mask[200, 300]
    assert not first.mask[200, 300]
    assert np.array_equal(third.mask[:180], first.mask[:180])
    assert list(store.verify()) == []


def test_a_rejected_task_without_objects_goes_on_from_the_prediction(jobs: JobHandlers) -> None:
    jobs.next_task("Ada")
    jobs.save_decision("Ada", 1, "reject", [], reason="no-object")
    reply = jobs.open_task("Ada", 1)
    assert (reply["decided"], reply["saved"]) == (True, None)
    assert reply["canvas"]["objects"]


def test_new_words_open_a_decided_task_with_a_new_answer(jobs: JobHandlers, store: AnnotationStore) -> None:
    first = jobs.next_task("Ada")
    saved = jobs.save_decision("Ada", 1, "fix", [OBJECT], prediction=first["prediction"])
    assert jobs.progress()["done"] == 1
    reply = jobs.set_instruction("Ada", 1, "Identify and segment the smallest object.")
    assert (reply["decided"], reply["saved"], reply["parent"]) == (False, None, saved["revision"])
    assert reply["prediction"] != first["prediction"]
    assert reply["progress"]["done"] == 0
    assert jobs.next_task("Ada")["task"] == 1
    back = jobs.set_instruction("Ada", 1, "Identify and segment the largest object.")
    assert (back["decided"], back["saved"]["revision"]) == (True, saved["revision"])
    assert list(store.verify()) == []


def test_an_order_that_nothing_supports_says_so(jobs: JobHandlers, store: AnnotationStore) -> None:
    assert jobs.next_task("Ada")["notice"] == ""
    assert "as imported" in jobs.next_task("Ada", "most-disagreement")["notice"]
    predicted = store.prediction(store.task(1).prediction_id or 0).prediction
    samples = [SampledCompletion("a", predicted.mask), SampledCompletion("b", ~predicted.mask)]
    store.add_prediction(1, predicted, "", samples)
    assert jobs.next_task("Ada", "most-disagreement")["notice"] == ""


def test_what_it_was_started_from_is_a_revision_of_the_task(jobs: JobHandlers, store: AnnotationStore) -> None:
    saved = jobs.save_decision("Ada", 1, "fix", [OBJECT])
    other = store.add_task(PICTURE.sha256, "the smallest object")
    with pytest.raises(StoreError, match="belongs to another task"):
        jobs.save_decision("Ada", other.id, "fix", [OBJECT], origin=saved["revision"])
    assert store.history(other.id) == []


def test_a_draft_that_arrives_late_takes_no_newer_ones_place(jobs: JobHandlers, store: AnnotationStore) -> None:
    def kept() -> str:
        draft = store.get_draft(1, "Ada")
        return draft.content if draft else ""

    sent = [threading.Thread(target=jobs.put_draft, args=("Ada", 1, {"page": "p", "edit": edit})) for edit in range(20)]
    for thread in reversed(sent):
        thread.start()
    for thread in sent:
        thread.join()
    assert '"edit": 19' in kept()
    jobs.put_draft("Ada", 1, {"page": "another", "edit": 1})
    assert '"another"' in kept()
    jobs.put_draft("Ada", 1, {"objects": []})
    jobs.put_draft("Ada", 1, {"page": "another", "edit": 0})
    assert '"edit": 0' in kept()


def test_whose_task_has_an_answer_waits_for_nobody_elses(jobs: JobHandlers, store: AnnotationStore) -> None:
    jobs.next_task("Ada")
    later = store.add_task(store.task(1).sha256, "the smallest object")
    with jobs._preparer._models.turn:  # somebody's run takes long
        waiting = threading.Thread(target=jobs.open_task, args=["Ben", later.id])
        waiting.start()
        while store.holder(later.id) != "Ben":
            time.sleep(0.01)
        answered = threading.Event()
        ready = threading.Thread(target=lambda: jobs.open_task("Ada", 1) and answered.set())
        ready.start()
        assert answered.wait(60)
        assert store.task(later.id).prediction_id is None
    for each in (waiting, ready):
        each.join()
    assert store.task(later.id).prediction_id is not None


def test_a_picture_at_hand_is_not_read_again(store: AnnotationStore) -> None:
    recent, sha256 = RecentPictures(store), PICTURE.sha256
    picture = recent.get(sha256)
    store.picture_path(sha256).unlink()
    assert recent.get(sha256) is picture
    with pytest.raises(StoreError):
        RecentPictures(store).get(sha256)


def test_the_next_picture_is_reported_once_it_is_ready(jobs: JobHandlers, store: AnnotationStore) -> None:
    assert jobs.upcoming("Ada") == {"picture": None}, "nothing was begun"
    jobs.next_task("Ada")
    assert jobs.upcoming("Ada") == {"picture": None}, "there is no further task"
    other, _ = ellipse_scene(200, 300, (0.5, 0.5), (0.2, 0.3))
    coming = store.add_task(store.add_picture(other, "nest.png"), "the smallest object")
    jobs.next_task("Ada")
    address = jobs.upcoming("Ada")["picture"]
    assert store.task(coming.id).prediction_id is not None
    jobs.save_decision("Ada", 1, "skip", [])
    shown = jobs.next_task("Ada")
    assert (shown["task"], shown["canvas"]["picture"]["url"]) == (coming.id, address)


def test_an_accepted_answer_keeps_its_very_prompts_and_masks(
    jobs: JobHandlers, store: AnnotationStore, pipeline: Pipeline
) -> None:
    given = jobs.next_task("Ada")
    shown = given["canvas"]["objects"]
    objects = [
        {
            "box": [round(edge, 2) for edge in each["box"]],
            "points": [{**point, "x": round(point["x"], 2), "y": round(point["y"], 2)} for point in each["points"]],
            "name": "egg",
            "strokes": [],
            "start": None,
        }
        for each in shown
    ]
    moved = {**objects[0], "box": [10, 10, 100, 100]}
    jobs.save_decision("Ada", 1, "accept", [*objects, moved], prediction=given["prediction"])
    prediction = store.prediction(given["prediction"]).prediction
    *kept, changed = store.history(1)[0].correction.objects
    assert any(edge != round(edge, 2) for prompt in prediction.objects if prompt.box for edge in prompt.box.xyxy)
    assert [(each.prompt.box, each.prompt.points) for each in kept] == [(p.box, p.points) for p in prediction.objects]
    assert {each.prompt.name for each in (*kept, changed)} == {"egg"}
    again = pipeline.segmenter.segment(PICTURE, [each.prompt for each in (*kept, changed)])
    for each, made in zip((*kept, changed), again, strict=True):
        assert np.array_equal(each.segmented, made.mask)


def test_boxes_from_a_file_get_their_masks_when_the_task_is_opened(jobs: JobHandlers, store: AnnotationStore) -> None:
    """Objects that came with a mask keep it; a box shows its mask without being touched."""
    size = PICTURE.size
    own = np.zeros((size.height, size.width), dtype=bool)
    own[5:15, 250:290] = True
    prompts = (ObjectPrompt(Box(250, 5, 290, 15)), ObjectPrompt(Box(60, 50, 200, 200)))
    masks = (ObjectMask(own, 0.0), ObjectMask(np.zeros_like(own), 0.0))
    made = prediction(size, store.task(1).instruction, prompts, masks, own)
    number = store.add_prediction(1, made, "")
    given = jobs.next_task("Ada")
    stored = store.prediction(given["prediction"])
    assert stored.id != number
    assert stored.prediction.segmenter_id
    assert stored.prediction.policy_id == "imported"
    kept, found = (each.mask for each in stored.prediction.masks)
    assert np.array_equal(kept, own)
    assert found[60:190, 70:190].mean() > 0.3
    assert np.array_equal(stored.prediction.mask, kept | found)
    store.release(1, "Ada")
    assert jobs.open_task("Ada", 1)["prediction"] == stored.id, "once is enough"


def prediction(
    size: ImageSize, instruction: str, prompts: tuple[ObjectPrompt, ...], masks: tuple[ObjectMask, ...], union: Mask
) -> Prediction:
    """As an import makes it of boxes in a file."""
    return Prediction(
        image_size=size,
        instruction=instruction,
        completion="",
        policy_size=size,
        reasoning=None,
        objects=prompts,
        problems=(),
        well_formed=False,
        masks=masks,
        mask=union,
        policy_id="imported",
        segmenter_id="",
    )


def test_a_task_that_the_policy_does_not_understand_opens_without_an_answer(
    jobs: JobHandlers, store: AnnotationStore
) -> None:
    reason = "This policy was never taught 'zebra'."
    opened = jobs.set_instruction("Ada", 1, "Identify and segment the zebra.")
    assert (opened["prediction"], opened["canvas"]["objects"]) == (None, [])
    assert opened["notice"].startswith(reason)
    assert opened["notice"].endswith("Mark the object yourself.")
    assert jobs.next_task("Ada")["notice"].startswith(reason)
    # It is drawn by hand, and saved without a prediction that nobody asked for.
    saved = jobs.save_decision("Ada", 1, "accept", [OBJECT], prediction=None)
    assert saved["verdict"] == "fix"
    assert store.current(1).prediction_id is None
    assert store.task(1).prediction_id is None
