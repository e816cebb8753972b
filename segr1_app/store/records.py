"""The contents of a store as JSON values, table by table, and back into any other store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlite_utils import Database

from segr1_app.domain import StoreError
from segr1_app.geometry import decode_rle
from segr1_app.language.typed_text import one_line, storable
from segr1_app.store import revisions, tasks
from segr1_app.store.connection import Connection
from segr1_app.store.record_schema import JSON_COLUMNS, mask_problem, record_problem
from segr1_app.store.rows import to_json, truth_hash
from segr1_app.store.verification import prediction_problem, revision_problem

PAGE: Final = 200
"""Rows read at a time."""


@dataclass(slots=True)
class Numbers:
    """The number of each record in the target store, by its number in the source store."""

    tasks: dict[int, int] = field(default_factory=dict)
    predictions: dict[int, int] = field(default_factory=dict)
    revisions: dict[int, int] = field(default_factory=dict)


def dump(connection: Connection) -> Iterator[dict[str, Any]]:
    """Every row as JSON values, with the name of its table as "table"; derived tables are left out."""
    for table, columns in JSON_COLUMNS.items():
        after = 0
        while True:
            with connection.read() as db:
                query = f"SELECT rowid AS number, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"
                rows = list(db.query(query, [after, PAGE]))
            for row in rows:
                after = row.pop("number")
                yield {"table": table, **row, **{name: json.loads(row[name]) for name in columns}}
            if len(rows) < PAGE:
                break


def absorb(db: Database, record: Mapping[str, Any], numbers: Numbers) -> None:
    """Add a record of `dump`, unless it exists; within the caller's transaction.

    Records come in the order of `dump`. Where both stores have revisions of one task by one person, the added ones
    follow the existing ones: nothing is lost, and the last one counts.

    Raises:
        StoreError: when it is not a record of a store.
    """
    table = check_record(record)
    row = {**record, **{name: to_json(record[name]) for name in JSON_COLUMNS[table]}}
    try:
        _ADD[table](db, row, numbers)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"A record of {table} has unexpected values ({error!r}).") from error


def check_record(record: Mapping[str, Any]) -> str:
    """The table of a record from outside, whose types, ranges and forms are those of what the app itself writes.

    Raises:
        StoreError: when they are not.
    """
    if not isinstance(record, Mapping):
        raise StoreError("It is not a record of a store: it has no columns.")
    table = record.get("table")
    if not isinstance(table, str) or table not in JSON_COLUMNS:
        raise StoreError(f"A record of {str(table)[:40]!r} is not one of a store's.")
    problem = record_problem(table, record) or _text_problem(record)
    if problem:
        raise StoreError(f"A record of {table} has unexpected values: {problem}.")
    return table


def _text_problem(record: Mapping[str, Any]) -> str | None:
    for name in ("annotator", "reviewer", "instruction", "asked", "was"):
        text = record.get(name)
        if isinstance(text, str) and one_line(text) != text:
            return f"its {name} is not one line of visible characters"
    return None


def _ground_truth(db: Database, row: Mapping[str, Any], _: Numbers) -> None:
    rle, digest = json.loads(row["mask"]), row.get("content_hash")
    if digest is not None and digest != truth_hash(row["picture"], row["instruction"], row["mask"]):
        _refuse("its content does not have the digest it was stored with")
    size = tasks.picture_row(db, row["picture"]).size
    _refuse(mask_problem("ground_truths", {"mask": rle}, size))
    tasks.set_ground_truth(db, row["picture"], row["instruction"], decode_rle(rle))


def _task(db: Database, row: Mapping[str, Any], numbers: Numbers) -> None:
    numbers.tasks[row["id"]] = tasks.add_task(db, row["picture"], row["instruction"], float(row["created_at"]))


def _prediction(db: Database, row: Mapping[str, Any], numbers: Numbers) -> None:
    task = tasks.task_of(db, numbers.tasks[row["task"]])
    size = {"width": task.image_size.width, "height": task.image_size.height}
    own = _own(db, "predictions", row)
    _refuse(prediction_problem({**own, "picture": task.sha256, **size}))
    number = _known(db, "predictions", task.id, row["content_hash"])
    if number is None:
        del own["id"]
        number = tasks.insert(db, "predictions", {**own, "task": task.id})
        if own["instruction"] == task.instruction:
            db.execute(
                "UPDATE tasks SET prediction = ?, confidence = ?, disagreement = ? WHERE id = ?",
                [number, own["confidence"], own["disagreement"], task.id],
            )
    numbers.predictions[row["id"]] = number


def _revision(db: Database, row: Mapping[str, Any], numbers: Numbers) -> None:
    task = tasks.task_of(db, numbers.tasks[row["task"]])
    prediction = None if row["prediction"] is None else numbers.predictions[row["prediction"]]
    digest = db.execute("SELECT content_hash FROM predictions WHERE id = ?", [prediction]).fetchone()
    size = {"width": task.image_size.width, "height": task.image_size.height}
    own = _own(db, "revisions", row)
    checked = {**own, **size, "picture": task.sha256, "prediction_hash": digest[0] if digest else None}
    _refuse(revision_problem(checked))
    number = _known(db, "revisions", task.id, row["content_hash"])
    if number is None:
        del own["id"]
        before = revisions.head(db, task.id, row["annotator"])
        references = {
            "task": task.id,
            "parent": before["id"] if before else None,
            "origin": numbers.revisions.get(row["origin"]),
            "prediction": prediction,
        }
        number = tasks.insert(db, "revisions", {**own, **references})
        revisions.follow(db, number, before)
    numbers.revisions[row["id"]] = number


def _choice(db: Database, row: Mapping[str, Any], numbers: Numbers) -> None:
    task_id = numbers.tasks[row["task"]]
    revision_id = None if row["revision"] is None else numbers.revisions[row["revision"]]
    made = [task_id, storable(row["reviewer"]), float(row["created_at"])]
    if not any(db.execute("SELECT 1 FROM choices WHERE task = ? AND reviewer = ? AND created_at = ?", made)):
        revisions.choose(db, task_id, revision_id, row["reviewer"], float(row["created_at"]))


def _picture(db: Database, row: Mapping[str, Any], _: Numbers) -> None:
    # The picture itself comes with its file; this only checks that it came.
    tasks.picture_row(db, row["sha256"])


_ADD: Final = {
    "pictures": _picture,
    "ground_truths": _ground_truth,
    "tasks": _task,
    "predictions": _prediction,
    "revisions": _revision,
    "choices": _choice,
}


def _own(db: Database, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A record's own columns, as the database will give them back: one of floats keeps neither 1 nor -0.0."""
    kinds = {name: kind for _, name, kind, *_ in db.execute(f"PRAGMA table_info({table})")}
    return {
        name: float(row[name]) + 0.0 if kind in ("REAL", "FLOAT") and row[name] is not None else row[name]
        for name, kind in kinds.items()
    }


def _known(db: Database, table: str, task_id: int, digest: str) -> int | None:
    """The number of an existing record."""
    row = db.execute(f"SELECT id FROM {table} WHERE task = ? AND content_hash = ?", [task_id, digest]).fetchone()
    return int(row[0]) if row else None


def _refuse(problem: str | None) -> None:
    if problem:
        raise StoreError(f"A record was changed since a store wrote it: {problem}.")
