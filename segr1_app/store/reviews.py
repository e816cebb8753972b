"""The review list: decided tasks, newest first; within the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from segr1_app.store.rows import read_task
from segr1_app.store.values import Task, Verdict

_COLUMNS = """
    tasks.*, pictures.name, pictures.width, pictures.height, shown.id AS revision, shown.annotator, shown.verdict,
    shown.created_at AS saved_at,
    (SELECT count(*) FROM heads AS people WHERE people.task = tasks.id) AS people,
    (SELECT avg(iou) FROM agreements WHERE agreements.task = tasks.id) AS agreement
"""


@dataclass(frozen=True, slots=True)
class DecidedTask:
    """A decided task as an entry of the list.

    Attributes:
        task: the task.
        revision_id, annotator, verdict, saved_at: of the revision that is shown for it.
        people: how many people decided it.
        agreement: mean pairwise IoU of their masks; None unless two people made one.
    """

    task: Task
    revision_id: int
    annotator: str
    verdict: Verdict
    saved_at: float
    people: int
    agreement: float | None


@dataclass(frozen=True, slots=True)
class ReviewerChoice:
    """A reviewer's choice of the current revision."""

    revision_id: int
    reviewer: str
    created_at: float


def decided(
    db: Database, *, annotator: str | None, verdict: Verdict | None, before: int | None, limit: int
) -> list[DecidedTask]:
    """A page of the tasks that have a decision.

    Args:
        db: the database, in a transaction.
        annotator: only tasks that this person decided, shown by their latest revision; else by the current one.
        verdict: only tasks whose shown revision has this verdict.
        before: only what was saved before this revision.
        limit: how many at most.
    """
    # Each query walks an index from its end, so that a page does not read the other million rows.
    if annotator is not None:
        source = (
            "heads CROSS JOIN tasks ON tasks.id = heads.task CROSS JOIN revisions AS shown ON shown.id = heads.revision"
        )
        number, conditions = "heads.revision", ["heads.annotator = :annotator", "tasks.current IS NOT NULL"]
        conditions += ["heads.verdict = :verdict"] if verdict is not None else []
    elif verdict is not None:
        source = "revisions AS shown INDEXED BY revisions_verdict CROSS JOIN tasks ON tasks.current = shown.id"
        number, conditions = "shown.id", ["shown.verdict = :verdict"]
    else:
        source = "tasks CROSS JOIN revisions AS shown ON shown.id = tasks.current"
        number, conditions = "tasks.current", ["tasks.current IS NOT NULL"]
    if before is not None:
        conditions.append(f"{number} < :before")
    query = f"""
        SELECT {_COLUMNS} FROM {source} JOIN pictures ON pictures.sha256 = tasks.picture
        WHERE {" AND ".join(conditions)} ORDER BY {number} DESC LIMIT :limit
    """
    values: dict[str, Any] = {"annotator": annotator, "verdict": verdict, "before": before, "limit": limit}
    return list(_read(db, query, values))


def choice(db: Database, task_id: int) -> ReviewerChoice | None:
    """The reviewer's choice in force, if there is one."""
    query = "SELECT revision, reviewer, created_at FROM choices WHERE task = ? ORDER BY id DESC LIMIT 1"
    for revision, reviewer, created_at in db.execute(query, [task_id]):
        return None if revision is None else ReviewerChoice(revision, reviewer, created_at)
    return None


def _read(db: Database, query: str, values: dict[str, Any]) -> Iterator[DecidedTask]:
    for row in db.query(query, values):
        yield DecidedTask(
            task=read_task(row),
            revision_id=row["revision"],
            annotator=row["annotator"],
            verdict=Verdict(row["verdict"]),
            saved_at=row["saved_at"],
            people=row["people"],
            agreement=row["agreement"],
        )
