"""Two policies on one picture through the handlers: order, scores, failures, Stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest

from segr1_app.domain import ModelError, NotUnderstoodError
from segr1_app.geometry import decode_rle
from segr1_app.images.pictures import load_picture
from segr1_app.metrics import iou
from segr1_app.models.host import LoadedModels, ModelHost
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.second import SecondPolicy
from segr1_app.settings.config import Settings
from segr1_app.store import AnnotationStore
from segr1_app.studio.contracts import TwoAnswers
from segr1_app.studio.samples import find_samples
from segr1_app.studio.sessions import CanvasSessions
from segr1_app.ui.handlers.run import Run, RunHandlers
from segr1_app.ui.handlers.second import SecondPolicyHandlers
from tests.policy_server import Served, policy_server

INSTRUCTION = "Segment the primary objects."
ANSWER = "<think> a flower </think> <bbox>[100,60,300,300]</bbox>, <points>[[200,200]]</points>, <labels>[1]</labels>"


@pytest.fixture
def server() -> Iterator[Served]:
    with policy_server() as server:
        server.say = lambda *_: ANSWER
        yield server


class Studio:
    """Handlers over the embedded pair and a policy on a server."""

    def __init__(self, pipeline: Pipeline, server: Served, folder: Path) -> None:
        settings = Settings(models="embedded", device="cpu")
        self.models = ModelHost(settings, lambda _: LoadedModels(pipeline, "cpu", ""))
        self.models.start()
        self.models.wait()
        self.store = AnnotationStore.open(folder / "home")
        self.runs = RunHandlers(self.models, folder, CanvasSessions())
        self.second = SecondPolicy(self.models)
        self.handlers = SecondPolicyHandlers(self.models, self.runs, self.store, self.second)
        self.handlers.open_second_policy("cfcamo/any", server.url)
        assert self.second.wait(30)
        source = find_samples()[0].path
        self.file = folder / source.name
        self.file.write_bytes(source.read_bytes())
        self.upload: dict[str, Any] = {"path": str(self.file), "meta": {"_type": "gradio.FileData"}}

    def run(self, instruction: str = INSTRUCTION) -> Run:
        """A run of the first policy to its end."""
        list(self.runs.run(self.upload, instruction, "visit"))
        run = self.runs.last_run("visit")
        assert run is not None
        return run


@pytest.fixture
def studio(pipeline: Pipeline, server: Served, tmp_path: Path) -> Iterator[Studio]:
    made = Studio(pipeline, server, tmp_path)
    with made.store:
        yield made


def test_the_second_answers_after_the_first_and_both_are_scored(studio: Studio) -> None:
    picture = load_picture(studio.file)
    truth = np.zeros((picture.size.height, picture.size.width), dtype=bool)
    truth[60:300, 100:300] = True
    studio.store.add_picture(picture, "flower")
    studio.store.add_task(picture.sha256, INSTRUCTION, truth)
    run = studio.run()
    assert run.shown is not None
    assert run.shown.prediction is not None
    shown = list(studio.handlers.answers(run))
    phases = [each["phase"] for each in shown]
    assert phases[0] == "waiting"
    assert phases[-1] == "done"
    assert set(phases) <= {"waiting", "writing", "done"}
    last: TwoAnswers = shown[-1]
    assert last["first"] is not None
    assert last["second"] is not None
    assert last["first"]["text"] == run.shown.prediction.completion
    assert last["second"]["text"] == ANSWER
    assert last["second"]["policy"] == "cfcamo/any"
    first, second = (decode_rle(side["side"]["mask"]) for side in (last["first"], last["second"]))
    assert last["overlap"] is not None
    assert last["overlap"]["iou"] == pytest.approx(iou(first, second))
    assert last["overlap"]["both"] == np.count_nonzero(first & second)
    for answer, mask in ((last["first"], first), (last["second"], second)):
        assert answer["scores"] is not None
        assert answer["scores"]["iou"] == pytest.approx(iou(mask, truth))
    # Another instruction is another task, whose true mask is not known.
    *_, other = studio.handlers.answers(studio.run("Identify and segment the camouflaged object."))
    assert other["first"] is not None
    assert other["first"]["scores"] is None


@pytest.mark.parametrize("mode", ["refuses", "no key", "breaks", "html"])
def test_when_the_server_fails_the_first_answer_stays(studio: Studio, server: Served, mode: str) -> None:
    server.mode = mode
    *_, last = studio.handlers.answers(studio.run())
    assert last["phase"] == "failed"
    assert last["second"] is not None
    assert server.url.removesuffix("/v1") in last["second"]["failure"]
    assert last["first"] is not None
    assert last["first"]["side"]["mask"] is not None
    assert not studio.models.turn.locked()


@pytest.mark.parametrize("mode", ["endless", "silent"])
def test_stop_ends_the_second_policy_too(studio: Studio, server: Served, mode: str) -> None:
    server.mode, server.pause = mode, 0.02
    run = studio.run()
    answers = studio.handlers.answers(run)
    shown = next(each for each in answers if each["phase"] == "writing")
    studio.runs.stop("visit")
    (stopped,) = answers
    assert not studio.models.turn.locked()
    assert stopped["phase"] == "stopped"
    assert stopped["first"] == shown["first"]
    assert list(studio.handlers.answers(run)) == []
    # The first answer is complete: Stop does not take it back.
    answer, _ = studio.runs.stopping({"phase": "done", "text": "answer"})
    assert answer["phase"] == "done"


def test_whoever_turns_to_another_picture_sees_nothing_of_it(studio: Studio) -> None:
    run = studio.run()
    studio.models.turn.acquire()
    answers = studio.handlers.answers(run)
    assert next(answers)["phase"] == "waiting"
    threading.Timer(0.3, lambda: studio.runs.show(None, "visit")).start()
    assert [each["phase"] for each in answers] == ["none"]
    studio.models.turn.release()
    assert list(studio.handlers.answers(run)) == []
    assert studio.runs.last_run("visit") is None
    assert list(studio.handlers.answers(None)) == []


def test_without_a_second_policy_nothing_is_added(studio: Studio) -> None:
    assert studio.handlers.close_second_policy()["state"] == "none"
    assert not studio.handlers.ready
    assert list(studio.handlers.answers(studio.run())) == []
    with pytest.raises(ModelError, match="no second policy to compare with"):
        studio.handlers.compare(studio.upload, INSTRUCTION)
    assert gr.skip() != studio.handlers.second_policy()


def test_a_failed_run_asks_nobody_else(studio: Studio, server: Served) -> None:
    assert list(studio.handlers.answers(studio.run("Find the zebra."))) == []
    assert not server.asked


def test_compare_returns_both_records(studio: Studio) -> None:
    found = studio.handlers.compare(studio.upload, INSTRUCTION)
    first, second = (decode_rle(found[side]["mask"]) for side in ("first", "second"))
    assert found["second"]["completion"] == ANSWER
    assert found["overlap"]["iou"] == pytest.approx(iou(first, second))
    assert found["first_scores"] is None
    with pytest.raises(NotUnderstoodError):
        studio.handlers.compare(studio.upload, "Find the zebra.")
