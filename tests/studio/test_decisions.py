"""Decisions as a client sends them: numbers are bounded, and inconsistent ones are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segr1_app.domain import StoreError
from segr1_app.models.host import ModelHost
from segr1_app.settings.config import Settings
from segr1_app.store import AnnotationStore, StaleRevisionError, Verdict
from segr1_app.store.limits import MAX_CLICKS
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.studio.decisions import LONGEST_COMMENT, DecisionRecorder, DecisionRequest
from segr1_app.studio.recording import LONGEST_WORK, RunRecorder, WorkDone
from segr1_app.studio.sessions import CanvasSessions
from segr1_app.studio.task_preparation import TaskPreparer
from tests.scenes import ellipse_scene

PICTURE, _ = ellipse_scene(64, 48, (0.4, 0.5), (0.2, 0.3))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnnotationStore]:
    with AnnotationStore.open(tmp_path / "home") as store:
        sha256 = store.add_picture(PICTURE, "egg.png")
        for instruction in ("the egg", "the nest"):
            store.add_task(sha256, instruction)
        yield store


@pytest.fixture
def decisions(store: AnnotationStore, tmp_path: Path) -> DecisionRecorder:
    models = ModelHost(Settings())
    canvas = CanvasHandlers(models, tmp_path, CanvasSessions(), RunRecorder(store, models))
    return DecisionRecorder(store, TaskPreparer(store, models, tmp_path), canvas)


@pytest.mark.parametrize(("given", "kept"), [(-5, 0), (12, 12), (10**9, None)])
def test_working_time_and_clicks_count_within_their_bounds(decisions: DecisionRecorder, given: int, kept: int) -> None:
    request = DecisionRequest("Ada", 1, Verdict.SKIP, [], work=WorkDone(float(given), given))
    correction = decisions.record(request).correction
    expected = (LONGEST_WORK, MAX_CLICKS) if kept is None else (kept, kept)
    assert (correction.seconds, correction.clicks) == expected


def test_a_comment_that_is_too_long_is_refused(decisions: DecisionRecorder, store: AnnotationStore) -> None:
    with pytest.raises(StoreError, match=f"{LONGEST_COMMENT + 1} characters; the limit is {LONGEST_COMMENT}"):
        decisions.record(DecisionRequest("Ada", 1, Verdict.SKIP, [], comment="x" * (LONGEST_COMMENT + 1)))
    assert not store.history(1)


def test_a_decision_follows_revisions_of_its_own_task(decisions: DecisionRecorder, store: AnnotationStore) -> None:
    other = decisions.record(DecisionRequest("Ada", 2, Verdict.SKIP, []))
    with pytest.raises(StoreError, match=f"Revision {other.id} belongs to another task"):
        decisions.record(DecisionRequest("Ada", 1, Verdict.SKIP, [], origin=other.id))
    first = decisions.record(DecisionRequest("Ada", 1, Verdict.SKIP, []))
    with pytest.raises(StaleRevisionError):
        decisions.record(DecisionRequest("Ada", 1, Verdict.SKIP, []))
    second = decisions.record(DecisionRequest("Ada", 1, Verdict.SKIP, [], parent=first.id, origin=first.id))
    assert (second.parent_id, second.origin_id) == (first.id, None)
    assert [each.id for each in store.history(1)] == [first.id, second.id]
