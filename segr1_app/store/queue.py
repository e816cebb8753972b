"""The queue of tasks and their leases; within the caller's transaction.

A person holds one task at a time. Leases expire, so that a closed browser blocks nothing.
"""

from __future__ import annotations

from typing import Final

from sqlite_utils import Database

from segr1_app.domain import LeaseLostError
from segr1_app.store.rows import read_task
from segr1_app.store.tasks import TASK_QUERY
from segr1_app.store.values import QueueOrder, Task

# Each is the order of an index over open tasks: the first matching row is found without sorting.
_ORDER_BY = {
    QueueOrder.IMPORTED: "tasks.id",
    QueueOrder.LEAST_CONFIDENT: "tasks.confidence IS NULL, tasks.confidence, tasks.id",
    QueueOrder.MOST_DISAGREEMENT: "tasks.disagreement DESC, tasks.id",
}
_INDEX = {
    QueueOrder.IMPORTED: "queue_imported",
    QueueOrder.LEAST_CONFIDENT: "queue_confidence",
    QueueOrder.MOST_DISAGREEMENT: "queue_disagreement",
}


LONGEST: Final = 600.0
"""Longest lease in seconds, unless it is renewed."""
_HOLDS: Final = f"leases.expires_at > :now AND leases.expires_at <= :now + {2 * LONGEST}"
"""Whether a lease holds. One that ends later than any could was given before the clock was set back: it ended with it,
or its task would stay held until the clock is there again. Small corrections of the clock end none."""


def lease_next(db: Database, annotator: str, order: QueueOrder, now: float, seconds: float) -> Task | None:
    """Lease the open task that the annotator holds already, else the next one; None when there is none left."""
    task = _held(db, annotator, now) or upcoming(db, annotator, order, now)
    if task is not None:
        _take(db, task.id, annotator, now + min(seconds, LONGEST))
    return task


def lease(db: Database, task_id: int, annotator: str, now: float, seconds: float) -> None:
    """Lease one task, open or not, and release the one held before."""
    holder = holder_of(db, task_id, now)
    if holder not in (None, annotator):
        raise LeaseLostError(f"{holder} is working on this task: take another one, or wait until it is released.")
    _take(db, task_id, annotator, now + min(seconds, LONGEST))


def renew(db: Database, task_id: int, annotator: str, now: float, seconds: float) -> None:
    """Renew a lease."""
    if holder_of(db, task_id, now) != annotator:
        raise LeaseLostError("Your lease on this task has expired. What you save is stored next to what others save.")
    db.execute("UPDATE leases SET expires_at = ? WHERE task = ?", [now + min(seconds, LONGEST), task_id])


def release(db: Database, task_id: int, annotator: str) -> None:
    """Release a task; does nothing when the annotator does not hold it."""
    db.execute("DELETE FROM leases WHERE task = ? AND annotator = ?", [task_id, annotator])


def holder_of(db: Database, task_id: int, now: float) -> str | None:
    """Who holds a task."""
    query = f"SELECT annotator FROM leases WHERE task = :task AND {_HOLDS}"
    row = db.execute(query, {"task": task_id, "now": now}).fetchone()
    return str(row[0]) if row else None


def upcoming(db: Database, annotator: str, order: QueueOrder, now: float) -> Task | None:
    """The first task in order that is open, not leased, and not skipped by the annotator under its present
    instruction.
    """
    query = f"""
        SELECT tasks.id FROM tasks INDEXED BY {_INDEX[order]}
        WHERE current IS NULL
        AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.task = tasks.id AND {_HOLDS})
        AND NOT EXISTS (
            SELECT 1 FROM heads CROSS JOIN revisions ON revisions.id = heads.revision
            WHERE heads.task = tasks.id AND heads.annotator = :annotator AND revisions.instruction = tasks.instruction)
        ORDER BY {_ORDER_BY[order]} LIMIT 1
    """
    row = db.execute(query, {"now": now, "annotator": annotator}).fetchone()
    return read_task(next(db.query(f"{TASK_QUERY} WHERE tasks.id = ?", [row[0]]))) if row else None


def neighbour(db: Database, task_id: int, annotator: str, step: int, now: float) -> int | None:
    """The number of the nearest task after (``step`` 1) or before (-1) one that nobody else holds; None at the end."""
    side, direction = (">", "ASC") if step > 0 else ("<", "DESC")
    query = f"""
        SELECT tasks.id FROM tasks WHERE tasks.id {side} :task
        AND NOT EXISTS (
            SELECT 1 FROM leases WHERE leases.task = tasks.id AND leases.annotator != :annotator AND {_HOLDS})
        ORDER BY tasks.id {direction} LIMIT 1
    """
    row = db.execute(query, {"task": task_id, "annotator": annotator, "now": now}).fetchone()
    return int(row[0]) if row else None


def can_sort(db: Database, order: QueueOrder) -> bool:
    """Whether an order can sort the open tasks; without values to sort by they stay in the order of import."""
    column = {QueueOrder.LEAST_CONFIDENT: "confidence", QueueOrder.MOST_DISAGREEMENT: "disagreement"}.get(order)
    if column is None:
        return True
    # If any task has a value, the first one of the index has.
    query = f"SELECT {column} FROM tasks INDEXED BY {_INDEX[order]} WHERE current IS NULL ORDER BY {_ORDER_BY[order]}"
    first = db.execute(f"{query} LIMIT 1").fetchone()
    return first is None or first[0] is not None


def _held(db: Database, annotator: str, now: float) -> Task | None:
    # Somebody who holds a decided task has opened it again; a draft shows that they are working on it.
    rows = db.query(
        f"{TASK_QUERY} JOIN leases ON leases.task = tasks.id "
        f"WHERE leases.annotator = :annotator AND {_HOLDS} AND (tasks.current IS NULL OR EXISTS "
        "(SELECT 1 FROM drafts WHERE drafts.task = tasks.id AND drafts.annotator = :annotator))",
        {"annotator": annotator, "now": now},
    )
    return next((read_task(row) for row in rows), None)


def _take(db: Database, task_id: int, annotator: str, until: float) -> None:
    db.execute("DELETE FROM leases WHERE annotator = ? OR task = ?", [annotator, task_id])
    db.execute("INSERT INTO leases (task, annotator, expires_at) VALUES (?, ?, ?)", [task_id, annotator, until])
