"""Progress and agreement, from counts that every save updates; within the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from sqlite_utils import Database

from segr1_app.store.limits import MAX_SUM
from segr1_app.store.values import AnnotatorAgreement, Blame, Statistics, Verdict, WorkTotals


def statistics(db: Database) -> Statistics:
    """Progress and effort."""
    rows = list(db.query(f"SELECT annotator, policy_id, checkpoint_hash, {_SUMS} GROUP BY 1, 2, 3, verdict"))
    # Tasks are numbered from 1 and never deleted: the last number is their count, without counting rows.
    (tasks,) = db.execute("SELECT ifnull(max(id), 0) FROM tasks").fetchone()
    (open_tasks,) = db.execute("SELECT count(*) FROM tasks WHERE current IS NULL").fetchone()
    by_annotator: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    by_checkpoint: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    by_day: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_annotator[row["annotator"]].append(row)
        by_checkpoint[row["policy_id"], row["checkpoint_hash"]].append(row)
    for row in db.query(f"SELECT day, {_SUMS} GROUP BY day, verdict"):
        by_day[row["day"]].append(row)
    return Statistics(
        tasks=tasks,
        open_tasks=open_tasks,
        total=_tally(rows),
        by_annotator={name: _tally(own) for name, own in sorted(by_annotator.items())},
        by_checkpoint={checkpoint: _tally(own) for checkpoint, own in sorted(by_checkpoint.items())},
        by_day={day: _tally(own) for day, own in sorted(by_day.items())},
    )


def agreement(db: Database, task_id: int | None) -> AnnotatorAgreement:
    """How much different people's newest masks of the same task agree, over all tasks or in one."""
    source, values = ("agreements", []) if task_id is None else ("agreements WHERE task = ?", [task_id])
    by_task = db.execute(f"SELECT task, avg(iou) FROM {source} GROUP BY 1 ORDER BY 1", values).fetchall()
    pairs = db.execute(f"SELECT first, second, avg(iou) FROM {source} GROUP BY 1, 2 ORDER BY 1, 2", values).fetchall()
    return AnnotatorAgreement(dict(by_task), {(first, second): mean for first, second, mean in pairs})


def recent_blame(db: Database, revisions: int) -> dict[Blame, int]:
    """How many of the newest revisions correct a mistake of each model."""
    newest = "SELECT blame FROM revisions ORDER BY id DESC LIMIT ?"
    counts = dict(db.execute(f"SELECT blame, count(*) FROM ({newest}) GROUP BY 1", [revisions]).fetchall())
    return {blame: counts.get(blame.value, 0) for blame in Blame}


# Added up by SQLite: there are as many tallies as people, checkpoints, days and verdicts together. Its `sum` of
# integers fails when it overflows, and `total` never does: a float, exact up to the largest sum that is shown.
_SUMS = f"""verdict, {
    ", ".join(
        f"min(max(total({name}), 0), {MAX_SUM}) AS {name}"
        for name in ("latest", "revisions", "clicks", "seconds", "compared", "iou_gained")
    )
} FROM tallies"""


def _tally(rows: Iterable[Mapping[str, Any]]) -> WorkTotals:
    verdicts = dict.fromkeys(Verdict, 0)
    revisions, clicks, compared = 0, 0, 0
    seconds, gained = 0.0, 0.0
    for row in rows:
        verdicts[Verdict(row["verdict"])] += int(row["latest"])
        revisions += int(row["revisions"])
        clicks += int(row["clicks"])
        seconds += row["seconds"]
        compared += int(row["compared"])
        gained += row["iou_gained"]
    return WorkTotals(
        done=sum(count for verdict, count in verdicts.items() if verdict is not Verdict.SKIP),
        verdicts=verdicts,
        revisions=revisions,
        clicks=clicks,
        seconds=seconds,
        iou_gained=gained / compared if compared else None,
    )


class WorkRecord(TypedDict):
    """`WorkTotals` as JSON values: decided tasks, these per hour of working time, and the effort that they took."""

    done: int
    per_hour: float | None
    verdicts: dict[str, int]
    revisions: int
    clicks: int
    seconds: float
    iou_gained: float | None


def work_record(tally: WorkTotals) -> WorkRecord:
    """A tally as JSON values."""
    return {
        "done": tally.done,
        "per_hour": tally.per_hour,
        "verdicts": {verdict.value: count for verdict, count in tally.verdicts.items()},
        "revisions": tally.revisions,
        "clicks": tally.clicks,
        "seconds": tally.seconds,
        "iou_gained": tally.iou_gained,
    }
