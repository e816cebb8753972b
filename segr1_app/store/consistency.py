"""Consistency of derived data: current revisions, latest revisions, tallies and agreements are recomputed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import combinations
from typing import Final

from sqlite_utils import Database

from segr1_app.geometry import Rle, check_rle
from segr1_app.metrics import iou
from segr1_app.store.connection import Connection
from segr1_app.store.limits import MAX_CLICKS, MAX_SECONDS, MAX_TIME
from segr1_app.store.rows import stored_mask
from segr1_app.store.tasks import CURRENT

TASKS: Final = 50
"""Number of tasks whose masks are compared in one transaction."""
TOLERANCE: Final = 1e-6
"""Tolerance for sums of floats, which depend on their order; relative and absolute."""


def derived_problems(connection: Connection) -> Iterator[str]:
    """A sentence for each derived value in the store that differs from the one recomputed from the revisions."""
    with connection.read() as db:
        problems = [*_current_problems(db), *_head_problems(db), *_tally_problems(db)]
    yield from problems
    yield from _agreement_problems(connection)


def _current_problems(db: Database) -> Iterator[str]:
    for (task,) in db.execute(f"SELECT id FROM tasks WHERE current IS NOT {CURRENT}"):
        yield f"Task {task} does not have the current revision that it should."


def _head_problems(db: Database) -> Iterator[str]:
    # Both queries follow an index: neither needs memory for all revisions.
    missing = """
        SELECT newest.task, newest.annotator
        FROM (SELECT task, annotator, max(id) AS id, verdict FROM revisions GROUP BY task, annotator) AS newest
        LEFT JOIN heads ON heads.task = newest.task AND heads.annotator = newest.annotator
        WHERE heads.revision IS NOT newest.id OR heads.verdict IS NOT newest.verdict
    """
    for task, annotator in db.execute(missing):
        yield f"The newest revision of {annotator} for task {task} is not recorded as such."
    foreign = """
        SELECT heads.task, heads.annotator FROM heads JOIN revisions ON revisions.id = heads.revision
        WHERE revisions.task != heads.task OR revisions.annotator != heads.annotator
    """
    for task, annotator in db.execute(foreign):
        yield f"The recorded newest revision of {annotator} for task {task} is another's."


_KEPT: Final = """
    SELECT annotator, policy_id, checkpoint_hash, day, verdict, latest, revisions, clicks, seconds, compared, iou_gained
    FROM tallies
"""
_COUNTED: Final = f"""
    SELECT r.annotator, ifnull(p.policy_id, ''), ifnull(p.checkpoint_hash, ''),
        date(CAST(min(max(r.created_at, 0), {MAX_TIME}) AS INTEGER), 'unixepoch'), r.verdict,
        count(heads.revision), count(*), sum(min(max(r.clicks, 0), {MAX_CLICKS})),
        sum(min(max(r.seconds, 0.0), {MAX_SECONDS})),
        count(compared.id), total(1 - min(max(compared.policy_iou, 0), 1))
    FROM revisions AS r
    LEFT JOIN predictions AS p ON p.id = r.prediction
    LEFT JOIN heads ON heads.task = r.task AND heads.annotator = r.annotator AND heads.revision = r.id
    LEFT JOIN revisions AS compared ON compared.id = heads.revision
        AND compared.verdict IN ('accept', 'fix') AND compared.policy_iou IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
"""
"""The rows of `_KEPT`, recomputed from the revisions; SQLite sorts them on disk."""
_KEY: Final = 5


def _tally_problems(db: Database) -> Iterator[str]:
    kept, counted = ({row[:_KEY]: row[_KEY:] for row in db.execute(query)} for query in (_KEPT, _COUNTED))
    for key in sorted(kept.keys() | counted.keys()):
        if not _close(kept.get(key), counted.get(key)):
            annotator, _, checkpoint, day, verdict = key
            yield (
                f"The tally of {annotator} on {day} ({verdict}, checkpoint '{checkpoint[:12]}') is not what "
                "their revisions add up to."
            )


def _close(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return False
    return all(
        a == b or (isinstance(b, float) and math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE))
        for a, b in zip(one, other, strict=True)
    )


def _agreement_problems(connection: Connection) -> Iterator[str]:
    query = """
        SELECT id FROM tasks WHERE id > ?
        AND (EXISTS (SELECT 1 FROM agreements WHERE agreements.task = tasks.id)
            OR (SELECT count(*) FROM heads WHERE heads.task = tasks.id AND heads.verdict IN ('accept', 'fix')) > 1)
        ORDER BY id LIMIT ?
    """
    after = 0
    while True:
        with connection.read() as db:
            shared = [task for (task,) in db.execute(query, [after, TASKS])]
            wrong = [task for task in shared if not _agreement_follows(db, task)]
        yield from (f"The stored agreement of task {task} is not that of its masks." for task in wrong)
        if len(shared) < TASKS:
            return
        after = shared[-1]


def _agreement_follows(db: Database, task: int) -> bool:
    query = "SELECT first, second, iou FROM agreements WHERE task = ?"
    kept = {(first, second): value for first, second, value in db.execute(query, [task])}
    query = """
        SELECT heads.annotator, revisions.instruction, revisions.mask
        FROM heads JOIN revisions ON revisions.id = heads.revision
        WHERE heads.task = ? AND heads.verdict IN ('accept', 'fix') ORDER BY heads.annotator
    """
    try:
        masks = [(name, words, _checked(rle)) for name, words, rle in db.execute(query, [task])]
        found = {
            # Only two masks are decoded at a time, however many annotators there are.
            (first, second): iou(stored_mask(one), stored_mask(other))
            for (first, old, one), (second, new, other) in combinations(masks, 2)
            if old == new
        }
    except (ValueError, KeyError, TypeError):
        # A mask that cannot be read is also reported for its own row.
        return False
    return kept.keys() == found.keys() and all(
        math.isclose(kept[pair], found[pair], abs_tol=TOLERANCE) for pair in found
    )


def _checked(text: str) -> Rle:
    rle: Rle = json.loads(text)
    check_rle(rle)
    return rle
