"""Many threads, many processes, kills, full disks and read-only files: nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from segr1_app.domain import StoreBusyError, StoreDamagedError, StoreError, StoreFullError, StoreReadOnlyError
from segr1_app.settings.config import ASSETS
from segr1_app.store import AnnotationStore, Task
from segr1_app.store.connection import connect
from tests.disks import files_no_larger_than
from tests.store.values import corrected, picture, rectangle

ROOT = ASSETS.parent


def client(kind: str, home: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.clients", kind, str(home), name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def home(store: AnnotationStore, tmp_path: Path) -> Path:
    """The data folder of ``store``, with 200 tasks."""
    sha256 = store.add_picture(picture(), "p")
    for number in range(200):
        store.add_task(sha256, f"thing {number}")
    return tmp_path / "home"


@pytest.mark.slow
def test_sixteen_processes_share_two_hundred_tasks(store: AnnotationStore, home: Path) -> None:
    workers = [client("work", home, f"person {number}") for number in range(16)]
    lines = [line.split() for worker in workers for line in worker.communicate(timeout=300)[0].splitlines()]
    assert [worker.returncode for worker in workers] == [0] * 16
    held = Counter(line[1] for line in lines if line[0] == "held")
    assert held == {str(number): 1 for number in range(1, 201)}
    saved = {int(revision): int(task) for kind, revision, *rest in lines if kind == "saved" for task in rest}
    assert {revision.id: revision.task_id for task in store.tasks() for revision in store.history(task.id)} == saved
    assert store.statistics().total.done == 200
    assert list(store.verify()) == []


@pytest.mark.slow
def test_twenty_kills_lose_no_acknowledged_save(store: AnnotationStore, home: Path) -> None:
    acknowledged: dict[int, str] = {}
    for round_ in range(20):
        victim = client("save", home, "ann")
        assert victim.stdout is not None
        # Let it save a few times, another number each round, and then for a moment that hits it anywhere.
        lines = [victim.stdout.readline() for _ in range(1 + round_ % 3)]
        time.sleep(0.003 * round_)
        victim.send_signal(signal.SIGKILL)
        lines += victim.stdout.readlines()
        victim.wait()
        acknowledged |= {int(line.split()[0]): line.split()[1] for line in lines if line.endswith("\n")}
    stored = {revision.id: revision.content_hash for revision in store.history(1)}
    assert len(acknowledged) >= 20
    assert acknowledged.items() <= stored.items()
    assert list(store.verify()) == []


@pytest.mark.slow
def test_processes_that_start_together_agree_on_the_schema(tmp_path: Path) -> None:
    workers = [client("work", tmp_path / "home", f"person {number}") for number in range(6)]
    for worker in workers:
        worker.communicate(timeout=120)
    assert [worker.returncode for worker in workers] == [0] * 6


def test_threads_share_one_store(store: AnnotationStore, home: Path) -> None:
    del home
    held: list[int] = []

    def work(name: str) -> None:
        for _ in range(10):
            task = store.lease_next(name)
            assert task is not None
            held.append(task.id)
            store.save(task.id, name, corrected(rectangle(0, 0, 5, 5)))

    threads = [threading.Thread(target=work, args=[f"person {number}"]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held) == list(range(1, 81))
    assert list(store.verify()) == []


def test_a_full_database_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    db = connect(tmp_path / "segr1.db")
    store = AnnotationStore(db, tmp_path / "pictures")
    task = store.add_task(store.add_picture(picture(), "p"), "the cat")
    store.put_draft(task.id, "ann", "precious")
    # Without pages that are free already.
    db.execute("VACUUM")
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages + 1}")
    comment = "long " * 2000
    with pytest.raises(StoreFullError, match="free some disk space"):
        store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5), comment=comment))
    draft = store.get_draft(task.id, "ann")
    assert draft is not None
    assert draft.content == "precious"
    assert store.history(task.id) == []
    db.execute(f"PRAGMA max_page_count = {pages + 100}")
    store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5), comment=comment))
    assert list(store.verify()) == []
    store.close()


def test_a_full_disk_says_so_and_keeps_what_it_has(store: AnnotationStore, task: Task) -> None:
    first = store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    store.put_draft(task.id, "ann", "precious")
    wal = store.picture_path(task.sha256).parent.parent / "segr1.db-wal"
    with files_no_larger_than(wal.stat().st_size + 100):
        with pytest.raises(StoreFullError, match="free some disk space"):
            store.save(task.id, "ann", corrected(rectangle(0, 0, 6, 6)), parent_id=first.id)
        assert store.get_draft(task.id, "ann") is not None
        current = store.current(task.id)
        assert current is not None
        assert current.id == first.id
    with files_no_larger_than(200), pytest.raises(StoreFullError):
        store.add_picture(picture(7), "large")
    assert [path.suffix for path in store.picture_path(task.sha256).parent.iterdir()] == [".png"]
    store.save(task.id, "ann", corrected(rectangle(0, 0, 6, 6)), parent_id=first.id)
    assert list(store.verify()) == []


def test_a_read_only_database_says_so_and_can_be_read(store: AnnotationStore, task: Task, tmp_path: Path) -> None:
    store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    store.put_draft(task.id, "ben", "precious")
    uri = f"file:{tmp_path / 'home' / 'segr1.db'}?mode=ro"
    read_only = AnnotationStore(Database(sqlite3.connect(uri, uri=True)), tmp_path / "home" / "pictures")
    with pytest.raises(StoreReadOnlyError, match="make the data folder and the files in it writable"):
        read_only.save(task.id, "ben", corrected(rectangle(0, 0, 5, 5)))
    assert len(read_only.history(task.id)) == 1
    assert read_only.get_draft(task.id, "ben") is not None
    assert list(read_only.verify()) == []
    read_only.close()


def test_a_database_that_stays_locked_says_so(store: AnnotationStore, task: Task, tmp_path: Path) -> None:
    database = tmp_path / "home" / "segr1.db"
    hasty = AnnotationStore(Database(sqlite3.connect(database, timeout=0.1)), tmp_path / "home" / "pictures")
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="try again"):
            hasty.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
        assert hasty.task(task.id) == store.task(task.id)
    hasty.close()


def test_what_is_not_a_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "segr1.db").write_bytes(os.urandom(5000))
    with pytest.raises(StoreDamagedError, match="not an annotation database"):
        AnnotationStore.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="data folder"):
        AnnotationStore.open(tmp_path / "file")
