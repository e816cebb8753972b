"""The schema: released migrations are never edited."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlite_utils import Database

from segr1_app.store import AnnotationStore, Task
from segr1_app.store.connection import connect
from segr1_app.store.migrations import migrations
from tests.store.values import SKIPPED, corrected, rectangle

RELEASED = {
    "m001_annotations": "04190809767b99b8",
    "m002_reviews": "e3c4b508f7e6fca6",
    "m003_journal": "59eb485a6c3825c3",
    "m004_verdicts": "ba86bb841a98559c",
    "m005_digests_of_truths": "69ea801ac0ac1a18",
    "m006_decisions_are_about_words": "69ea801ac0ac1a18",
    "m007_bounded_tallies": "69ea801ac0ac1a18",
    "m008_class_numbers": "97f782b8eaa15c2c",
    "m009_originals": "bd0365903f58c579",
    "m010_class_list": "15b041755e97e6b1",
}
"""Digest of the whole schema after each step. A new step adds a line; a line that changes is a mistake."""


@pytest.mark.parametrize("step", RELEASED)
def test_a_released_step_makes_the_schema_it_always_made(step: str) -> None:
    db = Database(memory=True)
    names = [migration.name for migration in migrations.pending(db)]
    migrations.apply(db, stop_before=names[names.index(step) + 1 :])
    # The table in which sqlite-utils notes the steps is its own affair.
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name NOT LIKE '%sqlite%' ORDER BY name"
    schema = "\n".join(" ".join(sql.split()) for (sql,) in db.execute(query))
    assert hashlib.sha256(schema.encode()).hexdigest()[:16] == RELEASED[step]


def test_existing_data_goes_through_later_migrations(store: AnnotationStore, task: Task, tmp_path: Path) -> None:
    """A store from before ground truths had digests, and before a decision counted for its own instruction only."""
    store.add_task(task.sha256, "the cat", rectangle(0, 0, 9, 9))
    first = store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    store.save(task.id, "ben", corrected(rectangle(0, 0, 5, 5)))
    store.set_instruction(task.id, "the dog")
    store.save(task.id, "ben", SKIPPED, parent_id=2)
    db = connect(tmp_path / "home" / "segr1.db")
    with db.conn:
        db.execute("ALTER TABLE ground_truths DROP COLUMN content_hash")
        db.execute("ALTER TABLE pictures DROP COLUMN original")
        db.execute("DROP TABLE classes")
        db.execute("UPDATE tasks SET current = ?", [first.id])
        db.execute("DELETE FROM _sqlite_migrations WHERE name >= 'm005'")
    db.close()
    with AnnotationStore.open(tmp_path / "home") as opened:
        assert opened.task(task.id).open
        assert list(opened.verify()) == []


def test_every_step_is_released() -> None:
    assert [migration.name for migration in migrations.pending(Database(memory=True))] == list(RELEASED)


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        with AnnotationStore.open(tmp_path) as store:
            assert list(store.verify()) == []
    db = connect(tmp_path / "segr1.db")
    assert [migration.name for migration in migrations.applied(db)] == list(RELEASED)
    assert next(db.query("PRAGMA journal_mode")) == {"journal_mode": "wal"}
    db.close()
