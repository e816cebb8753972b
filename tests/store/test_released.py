"""A store of every released schema opens, is migrated, verifies and goes on working."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from segr1_app.store import AnnotationStore
from segr1_app.store.migrations import migrations
from segr1_app.store.pictures import PictureFolder
from segr1_app.store.store import DATABASE_NAME, PICTURES_NAME
from segr1_app.sync import FolderRemote, Synchroniser
from tests.store.values import corrected, picture, rectangle

RELEASED = sorted(Path(__file__).with_name("released").glob("*.sql"))
FIRST = "01-f60b52b"
"""Its digests of revisions do not cover the prediction; what has one has another digest by today's rule."""


def old_home(dump: Path, folder: Path) -> Path:
    home = folder / "home"
    PictureFolder(home / PICTURES_NAME).put(picture())
    with sqlite3.connect(home / DATABASE_NAME) as db:
        db.executescript(dump.read_text(encoding="utf-8"))
    db.close()
    return home


@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_an_old_store_opens_verifies_and_goes_on(dump: Path, tmp_path: Path) -> None:
    with AnnotationStore.open(old_home(dump, tmp_path)) as store:
        problems = list(store.verify())
        if dump.stem == FIRST:
            assert problems
            assert all("digest" in problem for problem in problems)
        else:
            assert problems == []
        found = store.statistics()
        assert (found.tasks, found.open_tasks, found.total.revisions, found.total.clicks) == (2, 0, 4, 11)
        task = next(store.tasks())
        current = store.current(task.id)
        assert current is not None
        assert current.correction.comment == "better"
        assert store.ground_truth(task.sha256, "the cat") is not None
        heads = store.heads(task.id)
        store.save(task.id, "ann", corrected(rectangle(1, 1, 9, 9)), parent_id=heads["ann"].id)
        assert len(list(store.feedback())) == 2
        assert list(store.verify()) == problems


def test_what_was_released_is_where_every_schema_begins() -> None:
    """Whoever releases a schema adds a store of it; steps after the newest one here were not released yet."""
    steps = [each.name for each in migrations.pending(Database(memory=True))]
    for dump in RELEASED:
        text = dump.read_text(encoding="utf-8")
        applied = [step for step in steps if step in text]
        assert applied
        assert steps[: len(applied)] == applied


@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_what_has_an_old_digest_is_named_and_not_synced(dump: Path, tmp_path: Path) -> None:
    remote = FolderRemote(tmp_path / "remote")
    with AnnotationStore.open(old_home(dump, tmp_path)) as store:
        problems = Synchroniser(store, remote, tmp_path).sync()
        assert Synchroniser(store, remote, tmp_path).sync() == []
        if dump.stem == FIRST:
            assert problems
            assert all("is not synced" in problem for problem in problems)
        else:
            assert problems == []
    with AnnotationStore.open(tmp_path / "other") as copy:
        assert Synchroniser(copy, remote, tmp_path).sync() == []
        assert copy.statistics().tasks == 2
        assert list(copy.verify()) == []
