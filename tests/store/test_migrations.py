"""The schema: what was released is never edited."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlite_utils import Database

from segr1_app.store import AnnotationStore
from segr1_app.store.connection import connect
from segr1_app.store.migrations import migrations

RELEASED = {
    "m001_annotations": "04190809767b99b8",
    "m002_reviews": "e3c4b508f7e6fca6",
    "m003_journal": "59eb485a6c3825c3",
    "m004_verdicts": "ba86bb841a98559c",
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
