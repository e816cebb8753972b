"""Numbers out of bounds are refused wherever they come from, and do no harm if a database already has them."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segr1_app.domain import StoreDamagedError, StoreError, UnknownRecordError
from segr1_app.store import AnnotationStore, Correction, Task, Verdict
from segr1_app.store.limits import MAX_CLICKS, MAX_COMMENT, MAX_DRAFT, MAX_SECONDS, MAX_SUM
from segr1_app.store.record_schema import JSON_COLUMNS
from segr1_app.store.records import Numbers
from segr1_app.store.reports import work_record
from segr1_app.store.revisions import revision_hash
from segr1_app.store.rows import to_json, truth_hash
from tests.store.conftest import Clock
from tests.store.values import corrected, picture, prediction, rectangle

HUGE = 2**63 - 36
NO_CLICKS: list[Any] = [HUGE, MAX_CLICKS + 1, -1, True, 1.0, 10**30, math.nan]
NO_SECONDS: list[Any] = [math.nan, math.inf, -math.inf, -1e-9, 1e308, MAX_SECONDS * 1.01, True]


@pytest.mark.parametrize("clicks", NO_CLICKS)
def test_clicks_have_bounds(clicks: Any) -> None:
    with pytest.raises(StoreError, match="clicks"):
        Correction(Verdict.SKIP, clicks=clicks)


@pytest.mark.parametrize("seconds", NO_SECONDS)
def test_seconds_have_bounds(seconds: Any) -> None:
    with pytest.raises(StoreError, match="seconds"):
        Correction(Verdict.SKIP, seconds=seconds)


def test_texts_have_bounds(store: AnnotationStore, task: Task) -> None:
    with pytest.raises(StoreError, match="comment"):
        Correction(Verdict.SKIP, comment="x" * (MAX_COMMENT + 1))
    with pytest.raises(StoreError, match="limit"):
        store.put_draft(task.id, "ann", "x" * (MAX_DRAFT + 1))
    name = store.picture_info(store.add_picture(picture(3), "x" * 10**6)).name
    assert name == "x" * 1000


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_numbers_beyond_sqlite_are_unknown_records(store: AnnotationStore, number: int) -> None:
    for ask in (store.task, store.prediction, store.revision, store.history, store.holder):
        with pytest.raises(UnknownRecordError):
            ask(number)
    with pytest.raises(StoreError):
        store.picture_info("\ud800")


@pytest.mark.parametrize("confidence", [math.nan, math.inf, 1e308])
def test_predictions_have_finite_numbers(store: AnnotationStore, task: Task, confidence: float) -> None:
    with pytest.raises(StoreError, match="finite"):
        store.add_prediction(task.id, prediction(confidence=confidence), "c" * 64)
    with pytest.raises(StoreError, match="finite"):
        store.add_prediction(task.id, replace(prediction(), seconds={"policy": confidence}), "c" * 64)
    assert list(store.verify()) == []


@pytest.fixture
def poisoned(tmp_path: Path, clock: Clock) -> Path:
    """A home in which another program, or an earlier version, saved numbers far out of bounds."""
    home = tmp_path / "home"
    with AnnotationStore.open(home, clock=clock) as store:
        sha256 = store.add_picture(picture(), "photo.jpg")
        tasks = [store.add_task(sha256, f"the cat {number}") for number in range(3)]
        for task in tasks:
            number = store.add_prediction(task.id, prediction(instruction=task.instruction), "c" * 64)
            store.save(task.id, "ann", corrected(rectangle(5, 10, 25, 19)), prediction_id=number)
    with sqlite3.connect(home / "segr1.db") as db:
        db.execute("DROP TRIGGER revisions_no_update")
        db.execute("UPDATE revisions SET clicks = ?, seconds = 9e999, created_at = 1e300 WHERE id = 1", [HUGE])
        db.execute("UPDATE revisions SET clicks = ?, seconds = 1e308, policy_iou = 1e308 WHERE id = 2", [HUGE])
        db.execute("UPDATE tallies SET clicks = ?, seconds = 9e999, latest = ?, revisions = ?", [HUGE, HUGE, HUGE])
        db.execute(
            "INSERT INTO tallies SELECT 'eve', policy_id, checkpoint_hash, day, verdict, latest, revisions, "
            "clicks, seconds, compared, -9e999 FROM tallies"
        )
        db.execute("UPDATE agreements SET iou = 9e999")
    db.close()
    return home


def test_statistics_of_a_poisoned_store_are_finite(poisoned: Path) -> None:
    with AnnotationStore.open(poisoned) as store:
        found = store.statistics()
        for tally in (found.total, *found.by_annotator.values(), *found.by_day.values()):
            json.dumps(work_record(tally), allow_nan=False)
            assert 0 <= tally.clicks <= 2 * MAX_SUM
        json.dumps(list(store.agreement().by_task.values()), allow_nan=False)


def test_a_poisoned_store_goes_on_working(poisoned: Path) -> None:
    with AnnotationStore.open(poisoned) as store:
        first = store.history(1)[0]
        assert first.correction.clicks == MAX_CLICKS
        assert first.correction.seconds == MAX_SECONDS
        again = store.save(1, "ann", corrected(rectangle(1, 1, 9, 9)), parent_id=first.id)
        restored = store.restore(first.id, "ann", parent_id=again.id)
        assert (restored.mask == first.mask).all()
        assert store.restore(2, "ben").correction.clicks == 0
        assert len(store.decided()) == 3
        assert len(list(store.feedback())) == 3
        store.backup(poisoned.parent / "copy")


def test_verify_names_the_rows(poisoned: Path) -> None:
    with AnnotationStore.open(poisoned) as store:
        problems = "\n".join(store.verify())
    assert "Row 1 of revisions: its content" in problems
    assert "Row 2 of revisions: its content does not have the digest it was stored with; its seconds" in problems
    assert "Row 3 of revisions" not in problems


def test_a_store_poisoned_under_an_older_schema_is_counted_again(poisoned: Path) -> None:
    with sqlite3.connect(poisoned / "segr1.db") as db:
        # As a version before the bounds left it.
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm007_bounded_tallies'")
    db.close()
    with AnnotationStore.open(poisoned) as store:
        found = store.statistics()
        assert found.total.clicks == 2 * MAX_CLICKS + 3
        assert found.total.seconds == 2 * MAX_SECONDS + 8
        assert found.by_annotator.keys() == {"ann"}
        problems = list(store.verify())
    assert not [problem for problem in problems if "counted" in problem]


BAD_NUMBERS: list[tuple[str, tuple[Any, ...], Any]] = [
    *(("revisions", ("clicks",), value) for value in NO_CLICKS),
    *(("revisions", ("seconds",), value) for value in NO_SECONDS),
    ("revisions", ("id",), True),
    ("revisions", ("id",), 1.0),
    ("revisions", ("task",), 2**64),
    ("revisions", ("policy_iou",), 1e308),
    ("revisions", ("created_at",), 1e308),
    ("revisions", ("created_at",), math.nan),
    ("revisions", ("objects", 0, "points", 0, 0), 1e308),
    ("revisions", ("objects", 0, "points", 0, 2), True),
    ("revisions", ("objects", 0, "box", 1), math.inf),
    ("revisions", ("objects", 0, "segmented", "counts"), "0"),
    ("revisions", ("objects", 0, "segmented", "counts"), "o" * 40),
    ("revisions", ("objects", 0, "segmented", "size"), [10**9, 10**9]),
    ("revisions", ("objects", 0, "painted"), {"size": [30, 40], "counts": "1000000"}),
    ("revisions", ("mask", "size"), [30.0, 40]),
    ("revisions", ("annotator",), "al\u202eice"),
    ("revisions", ("annotator",), "x" * 2000),
    ("revisions", ("verdict",), "maybe"),
    ("revisions", ("reason",), "because"),
    ("revisions", ("blame",), "nobody"),
    ("revisions", ("content_hash",), "../../etc/passwd"),
    ("predictions", ("confidence",), 1e308),
    ("predictions", ("confidence",), math.nan),
    ("predictions", ("policy_width",), 2**63),
    ("predictions", ("seconds", "policy"), -1),
    ("predictions", ("objects", 0, "mask", "counts"), "~"),
    ("predictions", ("objects", 0, "confidence"), "high"),
    ("tasks", ("created_at",), -1),
    ("tasks", ("picture",), "../../etc/passwd"),
    ("tasks", ("instruction",), "the\x00cat"),
    ("choices", ("created_at",), math.inf),
    ("ground_truths", ("mask", "size"), [True, 40]),
    ("ground_truths", ("mask", "counts"), "0"),
    ("pictures", ("sha256",), "../../etc/passwd"),
]


@pytest.mark.parametrize(("table", "place", "value"), BAD_NUMBERS)
def test_records_from_outside_are_checked_as_own_writes_are(
    tmp_path: Path, table: str, place: tuple[Any, ...], value: Any
) -> None:
    with AnnotationStore.open(tmp_path / "one") as store:
        sha256 = store.add_picture(picture(), "photo.jpg")
        task = store.add_task(sha256, "the cat", rectangle(1, 1, 5, 5))
        number = store.add_prediction(task.id, prediction(), "c" * 64)
        revision = store.save(task.id, "ann", corrected(rectangle(5, 10, 25, 19)), prediction_id=number)
        store.choose_current(task.id, revision.id, "rev")
        records = json.loads(json.dumps(list(store.records())))
    numbers = Numbers()
    with AnnotationStore.open(tmp_path / "two") as store:
        store.add_picture(picture(), "photo.jpg")
        for record in records:
            if record["table"] != table:
                store.absorb(record, numbers)
                continue
            inner = record
            for part in place[:-1]:
                inner = inner[part]
            inner[place[-1]] = value
            if place[-1] in ("counts", "size", "painted") and isinstance(value, str | dict | list):
                predicted = next(each["content_hash"] for each in records if each["table"] == "predictions")
                _digest_again(record, sha256, predicted)
            with pytest.raises(StoreError, match="record"):
                store.absorb(record, numbers)
            break
        assert list(store.verify()) == []


def _digest_again(record: dict[str, Any], sha256: str, predicted: str) -> None:
    """Whoever changes a record makes a new digest for it."""
    row = {**record, **{name: to_json(record[name]) for name in JSON_COLUMNS[record["table"]]}}
    if record["table"] == "ground_truths":
        record["content_hash"] = truth_hash(sha256, record["instruction"], row["mask"])
    elif record["table"] == "revisions":
        record["content_hash"] = revision_hash({**row, "prediction_hash": predicted}, sha256)


def test_a_picture_without_a_digest_breaks_nothing_but_itself(tmp_path: Path) -> None:
    home, name = tmp_path / "home", "../../etc/passwd"
    with AnnotationStore.open(home) as store:
        store.add_task(store.add_picture(picture(), "photo.jpg"), "the cat")
    with sqlite3.connect(home / "segr1.db") as db:
        db.execute("INSERT INTO pictures VALUES (?, 'x', 40, 30, 0, NULL)", [name])
    db.close()
    with AnnotationStore.open(home) as store:
        assert [problem for problem in store.verify() if "Row 2 of pictures" in problem]
        for ask in (store.picture, store.picture_path):
            with pytest.raises(StoreDamagedError, match="not a digest"):
                ask(name)
        assert [name in problem for problem in store.backup(tmp_path / "copy")] == [True]
    with AnnotationStore.open(tmp_path / "copy") as copy:
        assert len(list(copy.tasks())) == 1
