"""What training reads: the revision that counts of every decided task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from segr1_app.domain import ImageSize
from segr1_app.store.rows import read_prompt
from segr1_app.store.values import Blame, Feedback, RejectReason, Verdict

PAGE = 256
"""Tasks read at a time: neither the lock nor the memory is held for all of them."""

_QUERY = """
    SELECT revisions.*, tasks.picture, pictures.width, pictures.height,
        p.mask AS predicted, p.objects AS before, p.completion, p.reasoning, p.checkpoint_hash
    FROM tasks JOIN revisions ON revisions.id = tasks.current
    JOIN pictures ON pictures.sha256 = tasks.picture
    LEFT JOIN predictions AS p ON p.id = revisions.prediction
    WHERE tasks.id > ? AND tasks.current IS NOT NULL ORDER BY tasks.id LIMIT ?
"""


def feedback_page(db: Database, after: int) -> list[Feedback]:
    """The next `PAGE` feedbacks of tasks numbered above ``after``; within the caller's transaction."""
    return [_read(row) for row in db.query(_QUERY, [after, PAGE])]


def _read(row: Mapping[str, Any]) -> Feedback:
    verdict = Verdict(row["verdict"])
    rejected = verdict is Verdict.REJECT
    objects = tuple(read_prompt(record) for record in json.loads(row["objects"]))
    before = tuple(read_prompt(record) for record in json.loads(row["before"] or "[]"))
    same_prompts = [(old.box, old.points) for old in before] == [(new.box, new.points) for new in objects]
    return Feedback(
        task_id=row["task"],
        revision_id=row["id"],
        sha256=row["picture"],
        image_size=ImageSize(row["width"], row["height"]),
        # The revision's own words, which the mask answers.
        instruction=row["instruction"],
        annotator=row["annotator"],
        verdict=verdict,
        reason=RejectReason(row["reason"]) if row["reason"] else None,
        mask_rle=None if rejected else json.loads(row["mask"]),
        rejected_rle=json.loads(row["predicted"]) if rejected and row["predicted"] else None,
        objects=() if rejected else objects,
        unedited=verdict is Verdict.ACCEPT and row["policy_iou"] == 1 and same_prompts,
        policy_iou=row["policy_iou"],
        blame=Blame(row["blame"]) if row["blame"] else None,
        reasoning=row["reasoning"] or "",
        completion=row["completion"] or "",
        checkpoint_hash=row["checkpoint_hash"] or "",
        content_hash=row["content_hash"],
    )
