"""Statistics, agreement, feedback, verification and backup."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from segr1_app.domain import StoreError
from segr1_app.store import AnnotationStore, RejectReason, Task, Verdict
from tests.store.conftest import Clock
from tests.store.values import SKIPPED, corrected, picture, prediction, rectangle, rejected


@pytest.fixture
def worked(store: AnnotationStore, clock: Clock, task: Task) -> list[Task]:
    """Ann fixes, then accepts the first task and skips the second; a day later ben rejects that and fixes the first."""
    second = store.add_task(store.add_picture(picture(1), "second"), "the cat")
    numbers = [store.add_prediction(made.id, prediction(), "v1") for made in (task, second)]
    half = corrected(rectangle(5, 10, 25, 15))
    first = store.save(task.id, "ann", half, prediction_id=numbers[0])
    accept = corrected(rectangle(5, 10, 25, 20), verdict=Verdict.ACCEPT, clicks=0)
    store.save(task.id, "ann", accept, prediction_id=numbers[0], parent_id=first.id)
    store.save(second.id, "ann", SKIPPED)
    clock.now += 86400
    store.save(second.id, "ben", rejected(RejectReason.NO_OBJECT), prediction_id=numbers[1])
    store.save(task.id, "ben", half, prediction_id=numbers[0])
    return [task, second]


def test_statistics_add_up(store: AnnotationStore, worked: list[Task]) -> None:
    found = store.statistics()
    assert (found.tasks, found.open_tasks) == (len(worked), 0)
    assert (found.total.done, found.total.revisions, found.total.clicks, found.total.seconds) == (3, 5, 6, 24.0)
    ann, ben = found.by_annotator["ann"], found.by_annotator["ben"]
    assert (ann.done, ann.verdicts[Verdict.ACCEPT], ann.verdicts[Verdict.FIX], ann.verdicts[Verdict.SKIP]) == (
        1,
        1,
        0,
        1,
    )
    assert (ann.clicks, ann.seconds, ann.iou_gained) == (3, 16.0, 0.0)
    assert (ben.done, ben.iou_gained) == (2, 0.5)
    assert ben.per_hour == pytest.approx(2 / (8 / 3600))
    assert found.by_checkpoint["policy", "v1"].done == 3
    assert found.by_checkpoint["", ""].verdicts[Verdict.SKIP] == 1
    assert [day for day, _ in found.by_day.items()] == ["2023-11-14", "2023-11-15"]
    assert found.by_day["2023-11-14"].done == 1


def test_an_empty_store_has_nothing_to_report(store: AnnotationStore) -> None:
    found = store.statistics()
    assert (found.tasks, found.total.done, found.total.per_hour, found.total.iou_gained) == (0, 0, None, None)
    assert store.agreement().by_pair == {}
    assert list(store.feedback()) == []
    assert list(store.verify()) == []


def test_agreement_is_of_newest_masks(store: AnnotationStore, worked: list[Task]) -> None:
    first = worked[0]
    assert store.agreement().by_pair == {("ann", "ben"): 0.5}
    assert store.agreement().by_task == {first.id: 0.5}
    store.save(first.id, "cat", corrected(rectangle(5, 10, 25, 20)))
    assert store.agreement().by_task[first.id] == pytest.approx((0.5 + 1 + 0.5) / 3)
    store.save(first.id, "ben", rejected(), parent_id=store.heads(first.id)["ben"].id)
    assert store.agreement().by_pair == {("ann", "cat"): 1.0}


def test_feedback_is_what_counts(store: AnnotationStore, worked: list[Task]) -> None:
    fixed, refused = store.feedback()
    assert (fixed.verdict, fixed.annotator, fixed.unedited) == (Verdict.FIX, "ben", False)
    assert fixed.mask is not None
    assert np.array_equal(fixed.mask, rectangle(5, 10, 25, 15))
    assert fixed.rejected_mask is None
    assert fixed.objects[0].name == "cat"
    assert (refused.verdict, refused.reason) == (Verdict.REJECT, RejectReason.NO_OBJECT)
    assert refused.mask is None
    assert refused.rejected_mask is not None
    assert np.array_equal(refused.rejected_mask, rectangle(5, 10, 25, 20))
    accepted = store.heads(worked[0].id)["ann"]
    store.choose_current(worked[0].id, accepted.id, "reviewer")
    chosen = next(store.feedback())
    assert (chosen.revision_id, chosen.unedited) == (accepted.id, True)
    assert chosen.content_hash == accepted.content_hash


def test_feedback_is_about_the_words_that_a_task_has(store: AnnotationStore, worked: list[Task]) -> None:
    before = next(store.feedback())
    store.set_instruction(worked[0].id, "something else")
    assert [each.task_id for each in store.feedback()] == [worked[1].id]
    store.set_instruction(worked[0].id, "the cat")
    assert next(store.feedback()) == before


def test_verify_finds_what_was_changed_behind_its_back(
    store: AnnotationStore, tmp_path: Path, worked: list[Task]
) -> None:
    assert list(store.verify()) == []
    short = '{"size":[30,40],"counts":"1"}'
    with closing(sqlite3.connect(tmp_path / "home" / "segr1.db")) as other, other:
        for trigger in ("revisions_no_update", "predictions_no_update"):
            other.execute(f"DROP TRIGGER {trigger}")
        other.execute("UPDATE revisions SET comment = 'forged' WHERE id = 1")
        other.execute("UPDATE predictions SET mask = '{}' WHERE id = 2")
        other.execute("UPDATE tasks SET current = NULL WHERE id = 1")
        other.execute("DELETE FROM heads WHERE annotator = 'ann' AND task = 2")
        other.execute("INSERT INTO ground_truths VALUES (?, 'x', ?, 'y')", [worked[0].sha256, short])
        other.execute("INSERT INTO leases VALUES (99, 'dan', 0)")
    store.picture_path(worked[1].sha256).unlink()
    reported = "\n".join(store.verify())
    for expected in (
        "leases refers to one of tasks",
        "cannot be read",
        "Row 1 of revisions: its content does not have the digest",
        "Row 2 of predictions: its content does not have the digest",
        "ground truth of picture",
        "Task 1 does not have the current revision",
        "newest revision of ann for task 2",
    ):
        assert expected in reported, reported


@pytest.mark.parametrize(
    ("forgery", "reported"),
    [
        (
            "UPDATE tallies SET latest = latest + 1 WHERE verdict = 'accept'",
            "The tally of ann on 2023-11-14 (accept,",
        ),
        (
            "UPDATE tallies SET clicks = clicks + 1 WHERE verdict = 'reject'",
            "The tally of ben on 2023-11-15 (reject,",
        ),
        ("UPDATE tallies SET iou_gained = 0.25 WHERE iou_gained > 0.4", "The tally of ben on 2023-11-15 (fix,"),
        ("UPDATE tallies SET seconds = seconds + .001 WHERE verdict = 'skip'", "The tally of ann"),
        ("DELETE FROM tallies WHERE verdict = 'skip'", "The tally of ann"),
        ("UPDATE tallies SET annotator = 'dan' WHERE verdict = 'skip'", "The tally of dan"),
        ("UPDATE agreements SET iou = 0.51", "The stored agreement of task 1"),
        ("DELETE FROM agreements", "The stored agreement of task 1"),
        ("INSERT INTO agreements VALUES (2, 'ann', 'ben', 1.0)", "The stored agreement of task 2"),
        ("UPDATE heads SET verdict = 'accept' WHERE verdict = 'reject'", "The newest revision of ben for task 2"),
        ("UPDATE heads SET revision = 5 WHERE task = 1 AND annotator = 'ann'", "is another's"),
        (
            """UPDATE ground_truths SET mask = '{"counts":"`T1","size":[30,40]}'""",
            "its content does not have the digest",
        ),
        ("UPDATE ground_truths SET instruction = 'the dog'", "its content does not have the digest"),
    ],
)
def test_verify_finds_what_no_longer_follows(
    store: AnnotationStore, tmp_path: Path, worked: list[Task], forgery: str, reported: str
) -> None:
    store.add_task(worked[0].sha256, "the cat", rectangle(0, 0, 9, 9))
    # Sums of many floats depend on their order; that is not a problem.
    with closing(sqlite3.connect(tmp_path / "home" / "segr1.db")) as other, other:
        other.execute("UPDATE tallies SET seconds = seconds + 1e-9, iou_gained = iou_gained - 1e-12")
    assert list(store.verify()) == []
    with closing(sqlite3.connect(tmp_path / "home" / "segr1.db")) as other, other:
        assert other.execute(forgery).rowcount > 0
    assert reported in "\n".join(store.verify())


def test_a_backup_is_a_store(store: AnnotationStore, tmp_path: Path, worked: list[Task]) -> None:
    target = tmp_path / "backup"
    store.backup(target)
    store.add_picture(picture(5), "later")
    store.backup(target)
    assert {path.name for path in target.iterdir()} == {"segr1.db", "pictures"}
    with AnnotationStore.open(target) as copy:
        assert list(copy.verify()) == []
        assert copy.statistics() == store.statistics()
        assert np.array_equal(copy.picture(worked[0].sha256).pixels, picture().pixels)
        assert copy.picture_info(picture(5).sha256).name == "later"
        with pytest.raises(StoreError, match="a store in use"):
            store.backup(target)


def test_a_store_in_memory_can_be_backed_up(tmp_path: Path) -> None:
    store = AnnotationStore(Database(memory=True), tmp_path / "pictures")
    store.add_task(store.add_picture(picture(), "p"), "the cat")
    store.backup(tmp_path / "backup")
    with AnnotationStore.open(tmp_path / "backup") as copy:
        assert list(copy.verify()) == []
        assert copy.statistics().tasks == 1
    store.close()
