"""What reviewers look through: decided tasks, newest first, and past decisions; within the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from segr1_app.store.changes import PromptChange
from segr1_app.store.rows import decision_fields, read_change, read_task
from segr1_app.store.values import Blame, RejectReason, Task, Verdict

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


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A revision without its masks, which take as much memory as the picture for every object.

    Attributes:
        cleaned: whether any object's mask was cleaned, as in `AnnotatedObject`.
        verdict, reason, comment, seconds, clicks: as in `Correction`.
        id, annotator, origin_id, prediction_id, change, policy_iou, blame, created_at: as in `Revision`.
    """

    id: int
    annotator: str
    origin_id: int | None
    prediction_id: int | None
    verdict: Verdict
    reason: RejectReason | None
    comment: str
    seconds: float
    clicks: int
    cleaned: bool
    change: PromptChange
    policy_iou: float | None
    blame: Blame | None
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


def past_decisions(db: Database, task_id: int) -> list[PastDecision]:
    """A task's revisions by all annotators, the oldest first."""
    rows = db.query("SELECT * FROM revisions WHERE task = ? ORDER BY id", [task_id])
    return [_decision(row) for row in rows]


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


def _decision(row: Mapping[str, Any]) -> PastDecision:
    """A row of revisions."""
    return PastDecision(
        id=row["id"],
        annotator=row["annotator"],
        origin_id=row["origin"],
        prediction_id=row["prediction"],
        **decision_fields(row),
        cleaned=any(record.get("cleaned", False) for record in json.loads(row["objects"])),
        change=read_change(json.loads(row["change"])),
        policy_iou=row["policy_iou"],
        blame=Blame(row["blame"]) if row["blame"] else None,
        created_at=row["created_at"],
    )
