"""Remote copies: nothing that was synced is lost with a disk, and the work of several stores is merged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from segr1_app.domain import RemoteError
from segr1_app.store import AnnotationStore, Verdict
from segr1_app.store.connection import connect
from segr1_app.store.migrations import migrations
from segr1_app.sync import FolderRemote, Synchroniser
from tests.store.conftest import Clock
from tests.store.values import SKIPPED, corrected, picture, prediction, rectangle, rejected


@pytest.fixture
def remote(tmp_path: Path) -> FolderRemote:
    return FolderRemote(tmp_path / "remote")


@pytest.fixture
def open_store(tmp_path: Path, clock: Clock) -> Callable[[str], AnnotationStore]:
    return lambda name: AnnotationStore.open(tmp_path / name, clock=clock)


def sync(store: AnnotationStore, remote: FolderRemote, tmp_path: Path) -> list[str]:
    """As a new process would: nothing is remembered except what is in the store."""
    return Synchroniser(store, remote, tmp_path).sync()


def content(store: AnnotationStore) -> list[str]:
    """Everything in a store except row numbers, unordered."""
    found = []
    for record in store.records():
        numbers = ("id", "task", "parent", "prediction", "origin", "revision")
        left = {name: value for name, value in record.items() if name not in numbers}
        found.append(json.dumps({name: left[name] for name in left if name not in ("current",)}, sort_keys=True))
    return sorted(found)


def fill(store: AnnotationStore, clock: Clock) -> int:
    """Pictures, tasks, predictions, revisions, a truth, a choice; returns the number of the task with everything."""
    store.add_task(store.add_picture(picture(1), "other.jpg"), "the dog")
    sha256 = store.add_picture(picture(), "photo.jpg")
    task = store.add_task(sha256, "the cat", rectangle(5, 10, 25, 20))
    number = store.add_prediction(task.id, prediction(), "c0ffee")
    first = store.save(task.id, "Ada", corrected(rectangle(1, 2, 9, 9)), prediction_id=number)
    clock.now += 1
    second = store.save(task.id, "Ada", corrected(rectangle(1, 2, 9, 8)), parent_id=first.id, origin_id=first.id)
    store.save(task.id, "Grace", rejected())
    store.save(task.id, "Linus", SKIPPED)
    store.choose_current(task.id, second.id, "Ada")
    return task.id


def test_a_store_is_made_anew_from_its_copy(
    open_store: Callable[[str], AnnotationStore], remote: FolderRemote, clock: Clock, tmp_path: Path
) -> None:
    with open_store("first") as store, open_store("second") as again:
        task_id = fill(store, clock)
        assert sync(store, remote, tmp_path) == []
        assert sync(again, remote, tmp_path) == []
        assert content(again) == content(store)
        assert list(again.verify()) == []
        (task,) = again.tasks_of(store.task(task_id).sha256)
        assert again.current(task.id).content_hash == store.current(task_id).content_hash  # type: ignore[union-attr]
        assert again.statistics() == store.statistics()
        restored = {each.content_hash: each for each in again.history(task.id)}
        second = store.history(task_id)[1]
        assert restored[second.content_hash].origin_id == again.history(task.id)[0].id


def test_syncing_again_adds_nothing(
    open_store: Callable[[str], AnnotationStore], remote: FolderRemote, clock: Clock, tmp_path: Path
) -> None:
    with open_store("first") as store, open_store("second") as again:
        fill(store, clock)
        for each in (store, again, store, again):
            sync(each, remote, tmp_path)
        (file,) = [name for name in remote.files() if name.startswith("records/")]
        assert content(again) == content(store)
        # A second copy of every record, as after a push of which nobody heard that it had arrived, changes nothing.
        remote.fetch([file], tmp_path)
        remote.add({"records/again.jsonl": tmp_path / file}, "")
        assert sync(again, remote, tmp_path) == []
        assert content(again) == content(store)


def test_two_writers_merge(
    open_store: Callable[[str], AnnotationStore], remote: FolderRemote, clock: Clock, tmp_path: Path
) -> None:
    with open_store("first") as one, open_store("second") as other, open_store("third") as third:
        task_id = fill(one, clock)
        sync(one, remote, tmp_path)
        sync(other, remote, tmp_path)
        (task,) = other.tasks_of(one.task(task_id).sha256)
        clock.now += 1
        there = other.save(task.id, "Barbara", corrected(rectangle(0, 0, 4, 4)), prediction_id=task.prediction_id)
        clock.now += 1
        here = one.save(task_id, "Barbara", corrected(rectangle(0, 0, 5, 5)))
        one.choose_current(task_id, None, "Ada")
        for store in (other, one, other, third):
            assert sync(store, remote, tmp_path) == []
        hashes = {there.content_hash, here.content_hash}
        for store in (one, other, third):
            assert content(store) == content(one)
            assert list(store.verify()) == []
            (task,) = store.tasks_of(one.task(task_id).sha256)
            made = [each for each in store.history(task.id) if each.annotator == "Barbara"]
            assert {each.content_hash for each in made} == hashes
            assert made[1].parent_id == made[0].id


def test_a_task_that_is_renamed_keeps_its_history(
    open_store: Callable[[str], AnnotationStore], remote: FolderRemote, clock: Clock, tmp_path: Path
) -> None:
    with open_store("first") as store, open_store("second") as again, open_store("third") as late:
        task_id = fill(store, clock)
        sync(store, remote, tmp_path)
        sync(again, remote, tmp_path)
        store.save(task_id, "Edith", corrected(rectangle(0, 0, 3, 3)))
        for words in ("the tail", "the whole cat"):
            store.set_instruction(task_id, words)
        store.save(task_id, "Barbara", corrected(rectangle(0, 0, 4, 4)))
        sha256 = store.task(task_id).sha256
        store.add_task(sha256, "the cat")
        sync(store, remote, tmp_path)
        for each in (again, late):
            assert sync(each, remote, tmp_path) == []
            tasks = {task.instruction: len(each.history(task.id)) for task in each.tasks_of(sha256)}
            assert tasks == {"the whole cat": 6, "the cat": 0}


def test_what_is_not_a_record_is_reported_and_keeps_nothing_else_out(
    open_store: Callable[[str], AnnotationStore], remote: FolderRemote, clock: Clock, tmp_path: Path
) -> None:
    with open_store("first") as store, open_store("second") as again:
        fill(store, clock)
        sync(store, remote, tmp_path)
        (file,) = [name for name in remote.files() if name.startswith("records/")]
        remote.fetch([file], tmp_path)
        lines = (tmp_path / file).read_text().splitlines()
        records = [json.loads(line) for line in lines]
        forged = next(each for each in records if each["table"] == "revisions" and each["annotator"] == "Grace")
        forged["comment"] = "never said"
        remote.add(
            {file: "".join(f"{json.dumps(each)}\n" for each in [*records, {"table": "x", "at": 0}]).encode()}, ""
        )
        problems = sync(again, remote, tmp_path)
        assert len(problems) == 2
        assert "was changed since a store wrote it" in problems[0]
        assert len(content(again)) == len(content(store)) - 1


def test_a_picture_that_is_another_one_is_refused(
    open_store: Callable[[str], AnnotationStore], remote: FolderRemote, clock: Clock, tmp_path: Path
) -> None:
    with open_store("first") as store, open_store("second") as again:
        fill(store, clock)
        sync(store, remote, tmp_path)
        one, other = [name for name in remote.files() if name.startswith("pictures/")]
        remote.fetch([one], tmp_path)
        remote.add({other: tmp_path / one}, "")
        with pytest.raises(Exception, match="not the one that was pushed"):
            sync(again, remote, tmp_path)


def test_a_remote_that_is_away_loses_nothing(
    open_store: Callable[[str], AnnotationStore], clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with open_store("first") as store:
        fill(store, clock)
        away = Synchroniser(store, FolderRemote(tmp_path / "file"), tmp_path)
        with pytest.raises(RemoteError, match="cannot be synced with"):
            away.sync()
        assert (away.state.at, bool(away.state.failure)) == (None, True)
        assert away.state.waiting == len(content(store))
        (tmp_path / "file").unlink()
        away.sync()
        assert (away.state.waiting, away.state.failure) == (0, "")
        assert away.state.at is not None


def test_a_store_from_before_there_was_a_journal_is_pushed_whole(
    open_store: Callable[[str], AnnotationStore], remote: FolderRemote, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    old = connect(tmp_path / "old" / "segr1.db")
    migrations.apply(old, stop_before="m003_journal")
    old.execute("INSERT INTO pictures VALUES (?, 'photo.jpg', 40, 30, 1.0)", [picture().sha256])
    old.execute("INSERT INTO tasks (picture, instruction, created_at) VALUES (?, 'the cat', 1.0)", [picture().sha256])
    old.close()
    with open_store("old") as store, open_store("new") as again:
        store.add_picture(picture(), "")
        store.save(1, "Ada", corrected(rectangle(1, 1, 4, 4), verdict=Verdict.FIX))
        sync(store, remote, tmp_path)
        sync(again, remote, tmp_path)
        assert content(again) == content(store)
