"""Saving corrections, and the current revision; within the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlite_utils import Database

from segr1_app.domain import Mask, ObjectPrompt, StoreError
from segr1_app.geometry import encode_rle, union_masks
from segr1_app.language.typed_text import storable
from segr1_app.metrics import iou
from segr1_app.store.blame import attribute_blame
from segr1_app.store.changes import difference
from segr1_app.store.limits import MAX_CLICKS, MAX_SECONDS, MAX_SUM, MAX_TIME, clipped
from segr1_app.store.rows import (
    REVISION_QUERY,
    change_record,
    content_hash,
    object_record,
    one,
    read_revision,
    stored_mask,
    stored_prompt,
    to_json,
)
from segr1_app.store.tasks import ground_truth, insert, set_current
from segr1_app.store.values import Correction, Revision, StaleRevisionError, Task, Verdict


@dataclass(frozen=True, slots=True)
class Links:
    """What a new revision refers to: the annotator's previous revision, another's, the prediction."""

    parent_id: int | None = None
    origin_id: int | None = None
    prediction_id: int | None = None


def revision_of(db: Database, revision_id: int) -> Revision:
    """The revision with this number."""
    rows = db.query(f"{REVISION_QUERY} WHERE revisions.id = ?", [revision_id])
    return read_revision(one(rows, f"revision {revision_id}"))


def history(db: Database, task_id: int) -> list[Revision]:
    """A task's revisions by all annotators, the oldest first."""
    rows = db.query(f"{REVISION_QUERY} WHERE revisions.task = ? ORDER BY revisions.id", [task_id])
    return [read_revision(row) for row in rows]


def heads(db: Database, task_id: int) -> dict[str, Revision]:
    """The newest revision of each annotator."""
    rows = db.query(
        f"{REVISION_QUERY} JOIN heads ON heads.revision = revisions.id WHERE heads.task = ? ORDER BY revisions.id",
        [task_id],
    )
    return {row["annotator"]: read_revision(row) for row in rows}


def head_of(db: Database, task_id: int, annotator: str) -> int | None:
    """The number of an annotator's newest revision of a task."""
    query = "SELECT revision FROM heads WHERE task = ? AND annotator = ?"
    found: tuple[int] | None = db.execute(query, [task_id, annotator]).fetchone()
    return found[0] if found else None


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What a correction is compared with.

    Attributes:
        prediction: the row of the prediction that it corrects, if any.
        truth: the ground truth of the task's instruction, bool (height, width), if it is known.
    """

    prediction: Mapping[str, Any] | None
    truth: Mask | None


def reference_of(db: Database, task: Task, correction: Correction, links: Links) -> Reference:
    """Read what `describe` compares a correction with.

    Raises:
        StoreError: when the masks are not of the picture's size, or the prediction is of another task.
    """
    size = task.image_size
    for made in correction.objects:
        if made.segmented.shape != (size.height, size.width):
            raise StoreError(f"The masks are {made.segmented.shape[::-1]} pixels, the picture {tuple(size)}.")
    return Reference(_prediction(db, task, links.prediction_id), ground_truth(db, task.sha256, task.instruction))


def save(db: Database, task: Task, annotator: str, row: Mapping[str, Any], *, links: Links, now: float) -> int:
    """Add a revision, with the columns of `describe`, and update what is derived from it.

    Raises:
        StaleRevisionError: when ``links.parent_id`` is not the annotator's newest revision of this task.
    """
    before = head(db, task.id, annotator)
    if links.parent_id != (before["id"] if before else None):
        if before is None:
            raise StoreError(f"Revision {links.parent_id} was not saved by {annotator} for this task.")
        raise StaleRevisionError(revision_of(db, before["id"]))
    content = {**row, "annotator": annotator, "created_at": now}
    content["content_hash"] = revision_hash(content, task.sha256)
    del content["prediction_hash"]
    references = {"parent": links.parent_id, "origin": links.origin_id, "prediction": links.prediction_id}
    revision_id = insert(db, "revisions", {**content, **references, "task": task.id})
    follow(db, revision_id, before)
    return revision_id


def follow(db: Database, revision_id: int, before: Mapping[str, Any] | None) -> None:
    """Bring heads, tallies, agreements and the task up to date with a revision that was just added.

    Args:
        db: the database, in a transaction.
        revision_id: the revision.
        before: the row of `head` that it replaces, if any.
    """
    row = next(db.query(f"{_HEAD} WHERE revisions.id = ?", [revision_id]))
    task_id, annotator = row["task"], row["annotator"]
    db.execute(
        "INSERT INTO heads (task, annotator, revision, verdict) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET revision = excluded.revision, verdict = excluded.verdict",
        [task_id, annotator, revision_id, row["verdict"]],
    )
    if before is not None:
        _count(db, before, latest=-1, work=0)
    _count(db, row, latest=1, work=1)
    _compare(db, row)
    set_current(db, task_id)


_HEAD = """
    SELECT revisions.id, revisions.task, revisions.instruction, revisions.annotator, revisions.verdict, revisions.mask,
        revisions.clicks, revisions.seconds, revisions.policy_iou, revisions.created_at,
        ifnull(p.policy_id, '') AS policy_id, ifnull(p.checkpoint_hash, '') AS checkpoint_hash
    FROM revisions LEFT JOIN predictions AS p ON p.id = revisions.prediction
"""


def head(db: Database, task_id: int, annotator: str) -> dict[str, Any] | None:
    """An annotator's newest revision of a task, as the columns that tallies need."""
    rows = db.query(
        f"{_HEAD} WHERE revisions.id = (SELECT revision FROM heads WHERE task = ? AND annotator = ?)",
        [task_id, annotator],
    )
    return next(rows, None)


def check_words(db: Database, task: Task, revision_id: int) -> None:
    """Reject a revision that was made for another instruction than its task has now: it cannot become current.

    Raises:
        StoreError: with what to do.
    """
    made_for = revision_of(db, revision_id).instruction
    if made_for != task.instruction:
        raise StoreError(
            f"This revision was made for another instruction ('{made_for}'): it counts again when the task has "
            "that instruction again."
        )


def choose(db: Database, task_id: int, revision_id: int | None, reviewer: str, now: float) -> None:
    """Make a reviewer's choice current, or, with None, the latest revision again."""
    if revision_id is not None:
        revision = revision_of(db, revision_id)
        if revision.task_id != task_id or revision.correction.verdict is Verdict.SKIP:
            raise StoreError("Only a decision about this task can be chosen as the current one.")
    insert(db, "choices", {"task": task_id, "revision": revision_id, "reviewer": storable(reviewer), "created_at": now})
    set_current(db, task_id)


def _prediction(db: Database, task: Task, prediction_id: int | None) -> dict[str, Any] | None:
    if prediction_id is None:
        return None
    row = one(db.query("SELECT * FROM predictions WHERE id = ?", [prediction_id]), f"prediction {prediction_id}")
    if row["task"] != task.id:
        raise StoreError(f"Prediction {prediction_id} was made for another task.")
    return row


def describe(task: Task, correction: Correction, reference: Reference) -> dict[str, Any]:
    """The columns of a revision that describe the decision, and the digest of its prediction.

    It encodes and compares masks, which takes time, and needs no transaction.
    """
    prediction, truth = reference.prediction, reference.truth
    final = union_masks((made.mask for made in correction.objects), task.image_size)
    before: tuple[ObjectPrompt, ...] = ()
    policy_iou = None
    if prediction is not None:
        before = tuple(stored_prompt(record) for record in json.loads(prediction["objects"]))
        policy_iou = iou(stored_mask(json.loads(prediction["mask"])), final)
    blame = attribute_blame(correction, truth, before=before, policy_iou=policy_iou)
    return {
        "instruction": task.instruction,
        "verdict": correction.verdict.value,
        "reason": correction.reason.value if correction.reason else None,
        "comment": storable(correction.comment),
        "seconds": float(correction.seconds),
        "clicks": correction.clicks,
        "objects": to_json([object_record(made) for made in correction.objects]),
        "mask": to_json(encode_rle(final)),
        "change": to_json(change_record(difference(before, correction.prompts))),
        "policy_iou": policy_iou,
        "blame": blame.value if blame else None,
        "prediction_hash": prediction["content_hash"] if prediction else None,
    }


def revision_hash(row: Mapping[str, Any], sha256: str) -> str:
    """The digest of a revision: of what was decided about which picture and prediction, without any numbers."""
    return content_hash({**{name: row[name] for name in _HASHED}, "picture": sha256})


_HASHED = (
    "instruction",
    "annotator",
    "verdict",
    "reason",
    "comment",
    "seconds",
    "clicks",
    "objects",
    "mask",
    "change",
    "policy_iou",
    "blame",
    "prediction_hash",
    "created_at",
)


_ADDED = [
    # SQLite turns a sum that is too large into a float, which a column of integers does not take.
    f"{name} = min({name} + excluded.{name}, {MAX_SUM})"
    for name in ("latest", "revisions", "clicks", "seconds", "compared", "iou_gained")
]


def _count(db: Database, row: Mapping[str, Any], *, latest: int, work: int) -> None:
    """Add a revision to its tally, as somebody's latest revision (1) or no longer (-1), and as work (1) or not (0)."""
    compared = row["verdict"] in (Verdict.ACCEPT, Verdict.FIX) and row["policy_iou"] is not None
    db.execute(
        """INSERT INTO tallies VALUES (:annotator, :policy_id, :checkpoint_hash, :day, :verdict, :latest, :work,
            :clicks, :seconds, :compared, :gained)
        ON CONFLICT DO UPDATE SET """
        + ", ".join(_ADDED),
        {
            "annotator": row["annotator"],
            "policy_id": row["policy_id"],
            "checkpoint_hash": row["checkpoint_hash"],
            "day": datetime.fromtimestamp(clipped(row["created_at"], MAX_TIME), UTC).date().isoformat(),
            "verdict": row["verdict"],
            "latest": latest,
            "work": work,
            "clicks": work * int(clipped(row["clicks"], MAX_CLICKS)),
            "seconds": work * clipped(row["seconds"], MAX_SECONDS),
            "compared": latest * compared,
            "gained": latest * (1 - clipped(row["policy_iou"], 1)) if compared else 0.0,
        },
    )


def _compare(db: Database, row: Mapping[str, Any]) -> None:
    """Agreement of a person's newest mask with everybody else's of the same task and the same instruction."""
    task_id, annotator = row["task"], row["annotator"]
    db.execute("DELETE FROM agreements WHERE task = ? AND ? IN (first, second)", [task_id, annotator])
    if row["verdict"] not in (Verdict.ACCEPT, Verdict.FIX):
        return
    for other, mask in _others(db, task_id, annotator, row["instruction"]):
        first, second = sorted((annotator, other))
        insert(
            db,
            "agreements",
            {"task": task_id, "first": first, "second": second, "iou": iou(stored_mask(json.loads(row["mask"])), mask)},
        )


def _others(db: Database, task_id: int, annotator: str, instruction: str) -> Iterator[tuple[str, Mask]]:
    rows = db.execute(
        "SELECT heads.annotator, revisions.mask FROM heads JOIN revisions ON revisions.id = heads.revision "
        "WHERE heads.task = ? AND heads.annotator != ? AND heads.verdict IN ('accept', 'fix') "
        "AND revisions.instruction = ?",
        [task_id, annotator, instruction],
    ).fetchall()
    return ((name, stored_mask(json.loads(mask))) for name, mask in rows)
