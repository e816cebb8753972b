"""Tasks, their ground truth and their predictions; within the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from sqlite_utils import Database

from segr1_app.domain import ImageSize, Mask, Prediction, StoreError, UnknownRecordError
from segr1_app.geometry import encode_rle
from segr1_app.images.pictures import Picture
from segr1_app.language.codec import check_instruction
from segr1_app.language.typed_text import one_line, storable
from segr1_app.metrics import iou
from segr1_app.store.limits import MAX_PICTURE_NAME, MAX_SCORE, MAX_SECONDS, is_number
from segr1_app.store.rows import (
    content_hash,
    one,
    prediction_row,
    read_task,
    stored_mask,
    to_json,
    truth_hash,
)
from segr1_app.store.values import SampledCompletion, StoredPicture, Task

TASK_QUERY = """
    SELECT tasks.*, pictures.name, pictures.width, pictures.height
    FROM tasks JOIN pictures ON pictures.sha256 = tasks.picture
"""


def insert(db: Database, table: str, row: dict[str, Any]) -> int:
    """Add a row to one of the store's own tables and return its number."""
    names = ", ".join(row)
    marks = ", ".join(f":{name}" for name in row)
    return int(db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", row).lastrowid or 0)


def add_picture(db: Database, picture: Picture, name: str, original: str | None, now: float) -> None:
    """Add a picture's row; an existing one keeps its name, and gets the name of the file that is there now."""
    db.execute(
        "INSERT INTO pictures (sha256, name, width, height, added_at, original) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET original = excluded.original",
        [picture.sha256, storable(name[:MAX_PICTURE_NAME]), *picture.size, now, original],
    )


def set_original(db: Database, sha256: str, original: str | None) -> None:
    """Record which file a picture has now; see `StoredPicture`."""
    db.execute("UPDATE pictures SET original = ? WHERE sha256 = ?", [original, sha256])


def picture_row(db: Database, sha256: str) -> StoredPicture:
    """The row of a picture.

    Raises:
        UnknownRecordError: when there is none.
    """
    found = find_picture(db, sha256)
    if found is None:
        raise UnknownRecordError(f"There is no picture {sha256[:12]!r} in this store.")
    return found


def find_picture(db: Database, sha256: str) -> StoredPicture | None:
    """The row of a picture; None when there is none."""
    for row in db.query("SELECT * FROM pictures WHERE sha256 = ?", [sha256]):
        size = ImageSize(row["width"], row["height"])
        return StoredPicture(sha256, row["name"], size, row["added_at"], row["original"])
    return None


def add_task(db: Database, sha256: str, instruction: str, now: float) -> int:
    """The task of a picture and an instruction, added when there is none yet."""
    picture_row(db, sha256)
    words = check_instruction(instruction)
    for (known,) in db.execute("SELECT id FROM tasks WHERE picture = ? AND instruction = ?", [sha256, words]):
        return int(known)
    return insert(db, "tasks", {"picture": sha256, "instruction": words, "created_at": now})


def set_instruction(db: Database, task_id: int, instruction: str) -> None:
    """Change what a task asks for; predictions and decisions for the old instruction no longer count."""
    task, words = task_of(db, task_id), check_instruction(instruction)
    if words == task.instruction:
        return
    if any(db.execute("SELECT 1 FROM tasks WHERE picture = ? AND instruction = ?", [task.sha256, words])):
        raise StoreError("This picture already has a task with that instruction: open that one instead.")
    db.execute(
        "UPDATE tasks SET instruction = ?, prediction = NULL, confidence = NULL, disagreement = NULL WHERE id = ?",
        [words, task_id],
    )
    set_current(db, task_id)


CURRENT: Final = """
    coalesce(
        (SELECT choices.revision FROM choices LEFT JOIN revisions ON revisions.id = choices.revision
            WHERE choices.task = tasks.id
            AND (choices.revision IS NULL OR revisions.instruction = tasks.instruction)
            ORDER BY choices.id DESC LIMIT 1),
        (SELECT max(id) FROM (
            SELECT max(id) AS id, verdict FROM revisions
            WHERE task = tasks.id AND instruction = tasks.instruction GROUP BY annotator
        ) WHERE verdict != 'skip')
    )
"""
"""The number of the current revision: the reviewer's choice, else the latest decision among everyone's newest.

Only revisions made for the task's present instruction can be current, so that a task with a new instruction is open,
and old decisions count again when the old instruction returns.
"""


def set_current(db: Database, task_id: int) -> None:
    """Recompute the current revision of a task."""
    db.execute(f"UPDATE tasks SET current = {CURRENT} WHERE id = ?", [task_id])


def task_of(db: Database, task_id: int) -> Task:
    """The task with this number."""
    return read_task(one(db.query(f"{TASK_QUERY} WHERE tasks.id = ?", [task_id]), f"task {task_id}"))


def set_ground_truth(db: Database, sha256: str, instruction: str, mask: Mask) -> None:
    """Store a mask as the ground truth of a picture under an instruction, replacing an earlier one."""
    size = picture_row(db, sha256).size
    if mask.dtype != np.bool_ or mask.shape != (size.height, size.width):
        raise StoreError(
            f"The mask is {mask.dtype} {mask.shape}, the picture {size.width} x {size.height} pixels: they must match."
        )
    words, rle = check_instruction(instruction), to_json(encode_rle(mask))
    db.execute(
        "INSERT INTO ground_truths (picture, instruction, mask, content_hash) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET mask = excluded.mask, content_hash = excluded.content_hash",
        [sha256, words, rle, truth_hash(sha256, words, rle)],
    )


def ground_truth(db: Database, sha256: str, instruction: str) -> Mask | None:
    """The mask stored by `set_ground_truth`."""
    found = db.execute(
        "SELECT mask FROM ground_truths WHERE picture = ? AND instruction = ?", [sha256, one_line(instruction)]
    ).fetchone()
    return stored_mask(json.loads(found[0])) if found else None


def add_prediction(
    db: Database,
    task: Task,
    prediction: Prediction,
    checkpoint_hash: str,
    *,
    samples: Sequence[SampledCompletion],
    now: float,
) -> int:
    """Store a prediction and make it the task's, if it was made for the instruction the task has now."""
    if tuple(prediction.image_size) != tuple(task.image_size):
        raise StoreError(f"The prediction is of a picture of {prediction.image_size}, the task's is {task.image_size}.")
    numbers = [found.confidence for found in prediction.masks] + [each.reward or 0.0 for each in samples]
    if not all(is_number(number, MAX_SCORE, least=-MAX_SCORE) for number in numbers):
        raise StoreError("The prediction's confidences and rewards are not finite numbers: it is not stored.")
    if not all(is_number(spent, MAX_SECONDS) for spent in prediction.seconds.values()):
        raise StoreError("The prediction's times are not finite numbers of seconds: it is not stored.")
    row = prediction_row(prediction, checkpoint_hash, samples, now)
    confidence = min((found.confidence for found in prediction.masks), default=0.0)
    spread = disagreement(samples)
    row |= {"confidence": confidence, "disagreement": spread}
    row["content_hash"] = content_hash({**row, "picture": task.sha256})
    prediction_id = insert(db, "predictions", {**row, "task": task.id})
    if one_line(prediction.instruction) == task.instruction:
        db.execute(
            "UPDATE tasks SET prediction = ?, confidence = ?, disagreement = ? WHERE id = ?",
            [prediction_id, confidence, spread, task.id],
        )
    return prediction_id


def disagreement(samples: Sequence[SampledCompletion]) -> float | None:
    """How much sampled completions disagree.

    Returns:
        1 minus the mean pairwise IoU of their masks, plus the standard deviation of their rewards if they have any;
        None for fewer than two samples.
    """
    if len(samples) < 2:
        return None
    apart = 1 - float(np.mean([iou(a.mask, b.mask) for a, b in combinations(samples, 2)]))
    rewards = [each.reward for each in samples if each.reward is not None]
    return apart + float(np.std(rewards)) if rewards else apart
