"""The speed of a large annotation store: a million revisions, copied by SQL from one that was saved normally."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sqlite_utils import Database

from segr1_app.domain import Box, ImageSize, Mask, ObjectMask, ObjectPrompt, Point, Prediction
from segr1_app.store import AnnotatedObject, AnnotationStore, Correction, QueueOrder, Task, Verdict
from segr1_app.store.store import DATABASE_NAME
from tests.benchmarks.models import scene, seconds

REVISIONS = 1_000_000
OPEN_TASKS = 50_000
LISTED = 50
PROMPT = ObjectPrompt(Box(190, 110, 450, 370), (Point(320, 240, 1), Point(300, 200, 1), Point(20, 20, 0)))


def disc(width: int, height: int, radius: float) -> Mask:
    y, x = np.mgrid[:height, :width]
    mask: Mask = (x - width / 2) ** 2 + (y - height / 2) ** 2 < radius**2
    return mask


def store_speed(rounds: int, revisions: int = REVISIONS) -> dict[str, float]:
    """Median milliseconds of the store's hot paths with ``revisions`` revisions of 640x480 pictures."""
    mask = disc(640, 480, 120)
    correction = Correction(Verdict.FIX, (AnnotatedObject(PROMPT, mask),), seconds=9, clicks=3)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        _fill(home, revisions, mask, correction)
        return _measure(home, correction, rounds)


def _fill(home: Path, revisions: int, mask: Mask, correction: Correction) -> None:
    with AnnotationStore.open(home) as store:
        sha256 = store.add_picture(scene(640, 480, seed=1), "scene.png")
        task = store.add_task(sha256, "the disc", disc(640, 480, 125))
        prediction_id = store.add_prediction(task.id, _prediction(mask), "checkpoint")
        store.save(task.id, "somebody", correction, prediction_id=prediction_id)
    _multiply(Database(home / DATABASE_NAME), revisions)


def _measure(home: Path, correction: Correction, rounds: int) -> dict[str, float]:
    with AnnotationStore.open(home) as store:

        def next_task(order: QueueOrder) -> Callable[[int], object]:
            return lambda round_: store.lease_next(f"{order} {round_}", order)

        open_tasks = [task for _, task in zip(range(rounds + 1), store.tasks(open_only=True), strict=False)]

        def save(round_: int) -> object:
            task: Task = open_tasks[round_ + 1]
            return store.save(task.id, "somebody", correction, prediction_id=task.prediction_id)

        return {
            **{f"next task, {order}, ms": _median(next_task(order), rounds) for order in QueueOrder},
            "save, ms": _median(save, rounds),
            "statistics, ms": _median(lambda _: store.statistics(), rounds),
            "agreement, ms": _median(lambda _: store.agreement(), rounds),
            "review list, ms": _median(lambda _: store.decided(limit=LISTED), rounds),
            "review list, a verdict that is rare, ms": _median(
                lambda _: store.decided(verdict=Verdict.REJECT, limit=LISTED), rounds
            ),
            "review list, the same of one person, ms": _median(
                lambda _: store.decided(annotator="person 4", verdict=Verdict.REJECT, limit=LISTED), rounds
            ),
        }


def _median(call: Callable[[int], object], rounds: int) -> float:
    times = [seconds(lambda round_=round_: call(round_)) for round_ in range(-1, rounds)]
    return statistics.median(times[1:]) * 1000


def _prediction(mask: Mask) -> Prediction:
    return Prediction(
        image_size=ImageSize(640, 480),
        instruction="the disc",
        completion="<think> a disc on noise </think> <bbox>[190,110,450,370]</bbox>",
        policy_size=ImageSize(640, 480),
        reasoning="a disc on noise",
        objects=(PROMPT,),
        problems=(),
        well_formed=True,
        masks=(ObjectMask(mask, 0.9),),
        mask=mask,
        policy_id="policy",
        segmenter_id="segmenter",
    )


def _multiply(db: Database, revisions: int) -> None:
    """Copy the first task, prediction and revision: 16 people, 3 checkpoints, 250 days; some tasks are left open."""
    tasks = revisions + OPEN_TASKS
    # A throwaway database of this process alone: no journal, no waiting for the disk.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -500000"):
        db.execute(f"PRAGMA {pragma}")
    with db.atomic():
        db.execute(
            f"""{_numbers(tasks)}
            INSERT INTO tasks (id, picture, instruction, created_at, confidence, disagreement)
            SELECT i, picture, 'disc ' || i, created_at, i * 7919 % 10007 / 10007.0, i * 104729 % 9973 / 9973.0
            FROM n, tasks WHERE tasks.id = 1"""
        )
        words = {"instruction": "'disc ' || i"}
        _copy(
            db, "predictions", {"id": "i", "task": "i", **words, "checkpoint_hash": "'checkpoint ' || (i % 3)"}, tasks
        )
        _copy(
            db,
            "revisions",
            {
                "id": "i",
                "task": "i",
                **words,
                "annotator": "'person ' || (i % 16)",
                "prediction": "i",
                "verdict": "CASE i % 4 WHEN 0 THEN 'fix' ELSE 'accept' END",
                "created_at": "created_at + 86400 * (i % 250)",
            },
            revisions,
        )
        db.execute("UPDATE tasks SET prediction = id WHERE id > 1")
        db.execute("INSERT INTO heads SELECT task, annotator, id, verdict FROM revisions WHERE id > 1")
        db.execute("UPDATE tasks SET current = id WHERE id BETWEEN 2 AND ?", [revisions])
        db.execute(
            """INSERT INTO tallies SELECT annotator, policy_id, checkpoint_hash, date(r.created_at, 'unixepoch'),
                verdict, count(*), count(*), sum(clicks), sum(r.seconds), count(*), sum(1 - policy_iou)
            FROM revisions AS r JOIN predictions AS p ON p.id = r.prediction WHERE r.id > 1 GROUP BY 1, 2, 3, 4, 5"""
        )
    db.close()


def _numbers(last: int) -> str:
    return f"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {last})"


def _copy(db: Database, table: str, changed: dict[str, str], last: int) -> None:
    columns = [column.name for column in db[table].columns]
    values = ", ".join(changed.get(name, name) for name in columns)
    db.execute(
        f"{_numbers(last)} INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM n, {table} WHERE id = 1"
    )
