"""What a training reads from the store: the current revision of every decided task, or the revisions that an earlier
training used."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlite_utils import Database

from segr1_app.domain import ImageSize
from segr1_app.geometry import Rle, encode_rle
from segr1_app.store.rows import read_object, stored_prompt
from segr1_app.store.values import Blame, Feedback, RejectReason, Verdict

PAGE = 256
"""Tasks read at a time, so that neither lock nor memory is held for all of them."""

_COUNTS = "revisions.id = tasks.current"
_CHOSEN = "revisions.task = tasks.id AND revisions.content_hash IN (SELECT value FROM json_each(?))"
_QUERY = """
    SELECT revisions.*, tasks.picture, pictures.width, pictures.height,
        p.mask AS predicted, p.objects AS before, p.completion, p.reasoning, p.checkpoint_hash
    FROM tasks JOIN revisions ON {which}
    JOIN pictures ON pictures.sha256 = tasks.picture
    LEFT JOIN predictions AS p ON p.id = revisions.prediction
    WHERE tasks.id > ? ORDER BY tasks.id LIMIT ?
"""


def feedback_page(db: Database, after: int, only: Collection[str] | None = None) -> list[Feedback]:
    """The next `PAGE` feedbacks of tasks numbered above ``after``; within the caller's transaction.

    Args:
        db: the database.
        after: number of a task.
        only: content hashes of the revisions to read, at most one per task, whether they are still current or not;
            None for the current ones.
    """
    if only is None:
        rows = db.query(_QUERY.format(which=_COUNTS), [after, PAGE])
    else:
        rows = db.query(_QUERY.format(which=_CHOSEN), [json.dumps(sorted(only)), after, PAGE])
    return [_read(row) for row in rows]


def _read(row: Mapping[str, Any]) -> Feedback:
    verdict = Verdict(row["verdict"])
    rejected = verdict is Verdict.REJECT
    records = json.loads(row["objects"])
    objects = tuple(stored_prompt(record) for record in records)
    before = tuple(stored_prompt(record) for record in json.loads(row["before"] or "[]"))
    same_prompts = [(old.box, old.points) for old in before] == [(new.box, new.points) for new in objects]
    return Feedback(
        task_id=row["task"],
        revision_id=row["id"],
        sha256=row["picture"],
        image_size=ImageSize(row["width"], row["height"]),
        # The revision's own instruction, which the mask answers.
        instruction=row["instruction"],
        annotator=row["annotator"],
        verdict=verdict,
        reason=RejectReason(row["reason"]) if row["reason"] else None,
        mask_rle=None if rejected else json.loads(row["mask"]),
        rejected_rle=json.loads(row["predicted"]) if rejected and row["predicted"] else None,
        objects=() if rejected else objects,
        object_rles=() if rejected else tuple(map(_object_rle, records)),
        unedited=verdict is Verdict.ACCEPT and row["policy_iou"] == 1 and same_prompts,
        policy_iou=row["policy_iou"],
        blame=Blame(row["blame"]) if row["blame"] else None,
        reasoning=row["reasoning"] or "",
        completion=row["completion"] or "",
        checkpoint_hash=row["checkpoint_hash"] or "",
        content_hash=row["content_hash"],
    )


def _object_rle(record: Mapping[str, Any]) -> Rle:
    """The mask of an `object_record`, still encoded where nobody painted."""
    if record["painted"] is None and record["erased"] is None:
        segmented: Rle = record["segmented"]
        return segmented
    return encode_rle(read_object(record).mask)
