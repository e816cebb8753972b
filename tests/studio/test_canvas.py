"""What the server does for a canvas, through its handlers, with the real embedded segmenter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segr1_app.domain import Box, ObjectPrompt, PictureError, Point
from segr1_app.geometry import decode_rle, resize_nearest
from segr1_app.images.pictures import picture_from_array
from segr1_app.metrics import iou, s_measure
from segr1_app.models.host import LoadedModels, ModelHost
from segr1_app.models.pipeline import Pipeline
from segr1_app.settings.config import Settings
from segr1_app.store import AnnotationStore, Verdict
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.studio.recording import RunRecorder
from segr1_app.studio.results import prediction_record
from segr1_app.studio.sessions import CanvasSession, CanvasSessions
from tests.scenes import ellipse_scene

PICTURE, TRUTH = ellipse_scene(1536, 1024, (0.4, 0.5), (0.2, 0.3))
OBJECT: dict[str, Any] = {
    "box": [300, 200, 930, 820],
    "points": [{"x": 614, "y": 512, "label": 1}],
    "name": "egg",
    "strokes": [],
    "start": None,
}
BLANK = {"box": None, "points": [], "name": "", "strokes": [], "start": None}
PROMPT = ObjectPrompt(Box(300, 200, 930, 820), (Point(614, 512, 1),))


@pytest.fixture
def sessions() -> CanvasSessions:
    return CanvasSessions()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnnotationStore]:
    with AnnotationStore.open(tmp_path / "home") as store:
        yield store


@pytest.fixture
def canvas(pipeline: Pipeline, sessions: CanvasSessions, store: AnnotationStore, tmp_path: Path) -> CanvasHandlers:
    models = ModelHost(Settings(), lambda _: LoadedModels(pipeline, "cpu", ""))
    models.start()
    return CanvasHandlers(models, tmp_path, sessions, RunRecorder(store, models))


def test_a_state_is_answered_at_the_size_of_the_canvas(canvas: CanvasHandlers, sessions: CanvasSessions) -> None:
    key = sessions.begin(CanvasSession(PICTURE))
    reply = canvas.decode({"rev": 7, "picture": key, "objects": [OBJECT, BLANK]})
    assert reply["rev"] == 7
    shown, nothing = reply["masks"]
    assert nothing == {"rle": None, "confidence": 0, "removed": None, "filled": None}
    mask = decode_rle(shown["rle"])
    assert mask.shape == (683, 1024)
    rows, columns = (np.arange(683) * 1024 // 683, np.arange(1024) * 1536 // 1024)
    assert iou(mask, TRUTH[np.ix_(rows, columns)]) > 0.8


def test_saving_makes_the_full_mask_with_the_strokes(
    canvas: CanvasHandlers, sessions: CanvasSessions, pipeline: Pipeline, tmp_path: Path
) -> None:
    strokes = [
        {"erase": False, "radius": 30, "path": [[100, 100], [200, 100]]},
        {"erase": True, "radius": 20, "path": [[614, 512]]},
    ]
    key = sessions.begin(CanvasSession(PICTURE))
    reply = canvas.save({"picture": key, "objects": [{**OBJECT, "strokes": strokes}, BLANK]})
    assert reply["message"] == "Saved 1 object."
    files = {file["label"]: Path(file["path"]) for file in reply["files"]}
    assert all(path.is_relative_to(tmp_path) for path in files.values())
    mask = np.asarray(Image.open(files["Mask"])) == 255
    expected = pipeline.segmenter.segment(PICTURE, [PROMPT])[0].mask
    assert mask[100, 150]
    assert not mask[512, 614]
    changed = mask ^ expected
    changed[60:141, 60:241] = changed[490:535, 590:640] = False
    assert not changed.any(), "outside the strokes the mask is the segmenter's"
    record = json.loads(files["JSON"].read_text())
    (made,) = record["objects"]
    assert np.array_equal(decode_rle(made["mask"]), mask)
    assert np.array_equal(decode_rle(made["segmented"]), expected)
    assert made["strokes"] == strokes
    assert (made["name"], made["box"], made["labels"]) == ("egg", OBJECT["box"], [1])
    assert record["prediction"] is None


def test_cleaning_is_shown_and_stored_as_layers(
    canvas: CanvasHandlers, sessions: CanvasSessions, store: AnnotationStore, pipeline: Pipeline
) -> None:
    key = sessions.begin(CanvasSession(PICTURE, pipeline.run(PICTURE, "Identify and segment all the primary objects.")))
    ring = {"erase": False, "radius": 30, "path": [[100, 100], [180, 100], [180, 180], [100, 180], [100, 100]]}
    painted = {**OBJECT, "strokes": [ring]}
    (rough,), (cleaned,) = (canvas.segment(key, [{**painted, "clean": clean}])["masks"] for clean in (False, True))
    assert (rough["removed"], rough["filled"], rough["rle"]) == (None, None, cleaned["rle"])
    assert cleaned["filled"] is not None
    assert decode_rle(cleaned["filled"])[93, 93], "the middle of the ring, at the size of the canvas"
    for clean in (False, True):
        canvas.save({"picture": key, "objects": [{**painted, "clean": clean}]})
    (before,), (after,) = (revision.correction.objects for revision in store.history(1))
    assert (before.cleaned, after.cleaned) == (False, True)
    assert (before.mask[140, 140], after.mask[140, 140]) == (False, True)
    assert np.array_equal(before.segmented, after.segmented)
    assert list(store.verify()) == []


def test_cleaning_what_is_clean_is_an_accept(
    canvas: CanvasHandlers, sessions: CanvasSessions, store: AnnotationStore, pipeline: Pipeline
) -> None:
    prediction = pipeline.run(PICTURE, "Identify and segment all the primary objects.")
    objects = [{**each, "clean": True} for each in prediction_record(prediction)["objects"]]
    canvas.save({"picture": sessions.begin(CanvasSession(PICTURE, prediction)), "objects": objects})
    (revision,) = store.history(1)
    assert not any(made.cleaned for made in revision.correction.objects)
    assert revision.correction.verdict is Verdict.ACCEPT


def test_a_refined_mask_can_be_made_again_from_what_is_saved(
    canvas: CanvasHandlers, sessions: CanvasSessions, pipeline: Pipeline
) -> None:
    key = sessions.begin(CanvasSession(PICTURE))
    start = canvas.decode({"rev": 1, "picture": key, "objects": [OBJECT]})["masks"][0]["rle"]
    reply = canvas.save({"picture": key, "objects": [{**OBJECT, "start": start}]})
    (made,) = json.loads(Path(reply["files"][2]["path"]).read_text())["objects"]
    assert np.array_equal(decode_rle(made["refined_from"]), resize_nearest(decode_rle(start), PICTURE.size))
    again = pipeline.segmenter.segment(PICTURE, [PROMPT], mask_inputs=[decode_rle(made["refined_from"])])
    assert np.array_equal(again[0].mask, decode_rle(made["mask"]))


def test_a_corrected_run_is_kept_with_what_it_corrects(
    canvas: CanvasHandlers, sessions: CanvasSessions, store: AnnotationStore, pipeline: Pipeline
) -> None:
    prediction = pipeline.run(PICTURE, "Identify and segment all the primary objects.")
    key = sessions.begin(CanvasSession(PICTURE, prediction))
    stroke = {"erase": False, "radius": 9, "path": [[30, 30]]}
    first = canvas.save({"picture": key, "objects": [{**OBJECT, "strokes": [stroke]}], "annotator": " Ada  L. "})
    assert first["message"] == "Saved 1 object as revision 1 of task 1."
    assert "revision 2 of task 1" in canvas.save({"picture": key, "objects": [OBJECT]})["message"]
    (revision, visitors) = store.history(1)
    assert (revision.annotator, visitors.annotator) == ("Ada L.", "visitor")
    assert revision.correction.verdict is Verdict.FIX
    assert revision.completion == prediction.completion
    assert revision.prediction_id == visitors.prediction_id == 1
    (made,) = revision.correction.objects
    assert made.prompt == ObjectPrompt(PROMPT.box, PROMPT.points, "egg")
    assert made.painted is not None
    assert made.painted[30, 30]
    assert made.mask[30, 30]
    assert np.array_equal(store.picture(PICTURE.sha256).pixels, PICTURE.pixels)
    assert list(store.verify()) == []


def test_nothing_drawn_is_an_empty_mask(canvas: CanvasHandlers, sessions: CanvasSessions) -> None:
    reply = canvas.save({"picture": sessions.begin(CanvasSession(PICTURE)), "objects": [BLANK]})
    assert reply["message"] == "Saved no object."
    assert not np.asarray(Image.open(reply["files"][0]["path"])).any()


@pytest.mark.parametrize("key", ["nobody's", None, 3, {}])
def test_a_picture_that_is_not_at_hand_is_said_to_be(canvas: CanvasHandlers, key: object) -> None:
    for answer in (canvas.decode({"rev": 1, "picture": key, "objects": []}), canvas.save({"picture": key})):
        assert "choose the picture again" in answer["failure"]


def test_an_invalid_state_is_reported(canvas: CanvasHandlers, sessions: CanvasSessions) -> None:
    key = sessions.begin(CanvasSession(PICTURE))
    assert "list of" in canvas.decode({"rev": 1, "picture": key, "objects": "all"})["failure"]
    assert "reload" in canvas.save({"picture": key, "objects": [{}]})["failure"]


def test_the_pictures_touched_longest_ago_are_forgotten() -> None:
    small = [picture_from_array(np.full((10, 10, 3), value, np.uint8)) for value in range(3)]
    sessions = CanvasSessions(memory=600)
    first, second = (sessions.begin(CanvasSession(picture)) for picture in small[:2])
    assert sessions.get(first).picture is small[0]
    sessions.begin(CanvasSession(small[2]))
    with pytest.raises(PictureError, match="choose the picture again"):
        sessions.get(second)
    assert sessions.get(first).picture is small[0]


def test_the_exact_reward_is_that_of_full_size_masks(
    canvas: CanvasHandlers, sessions: CanvasSessions, pipeline: Pipeline
) -> None:
    key = sessions.begin(CanvasSession(PICTURE, truth=TRUTH))
    mask = pipeline.segmenter.segment(PICTURE, [PROMPT])[0].mask
    rough, exact = (canvas.segment(key, [OBJECT], exact=exact) for exact in (False, True))
    assert (rough["reward"]["exact"], exact["reward"]["exact"]) == (False, True)
    assert exact["reward"]["iou"] == iou(mask, TRUTH) != rough["reward"]["iou"]
    assert exact["reward"]["s_measure"] == s_measure(mask, TRUTH)
    assert decode_rle(exact["masks"][0]["rle"]).shape == decode_rle(rough["masks"][0]["rle"]).shape == (683, 1024)


def test_what_predict_writes_can_be_sent_to_the_canvas_as_it_is(
    canvas: CanvasHandlers, sessions: CanvasSessions, pipeline: Pipeline
) -> None:
    record = prediction_record(pipeline.run(PICTURE, "Identify and segment all the primary objects."))
    key = sessions.begin(CanvasSession(PICTURE))
    answer = canvas.segment(key, json.loads(json.dumps(record["objects"])), exact=True)
    assert len(answer["masks"]) == len(record["objects"]) > 0
