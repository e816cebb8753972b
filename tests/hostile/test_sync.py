"""What a hostile remote must not be able to do: kill the sync, stop local pushes, or write what the app itself would
not.
"""

from __future__ import annotations

import json
import logging
import resource
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from segr1_app.domain import RemoteError, StoreDamagedError
from segr1_app.store import AnnotationStore
from segr1_app.sync import FolderRemote, Scheduler, Synchroniser
from tests.store.values import corrected, picture, prediction, rectangle

OF_ALL = picture(1).sha256.encode()
"""The picture of the store whose lines hostile ones are put among."""
HOSTILE_LINES: dict[str, bytes] = {
    "50,000 brackets": b"[" * 50_000,
    "50,000 closed brackets": b"[" * 50_000 + b"]" * 50_000,
    "half a line": b'{"table": "tas',
    "no object": b"7",
    "nothing": b"",
    "no UTF-8": b'{"table": "\xff"}',
    "UTF-16": '{"table": "tasks", "at": 0}'.encode("utf-16"),
    "NUL": b"\0" * 100,
    "NaN": b'{"table": "tasks", "at": NaN}',
    "1e400": b'{"table": "tasks", "at": 1e400}',
    "a long integer": b'{"table": "tasks", "at": ' + b"9" * 5000 + b"}",
    "one name twice": b'{"table": "tasks", "at": 0, "at": 1}',
    "a table of lists": b'{"table": ["tasks"], "at": 0}',
    "an unknown table": b'{"table": "sqlite_master", "at": 0}',
    "a path": b'{"table": "pictures", "at": 0, "sha256": "../../etc/passwd", "name": "x", "width": 1, "height": 1, '
    b'"added_at": 0}',
    "a lone surrogate": b'{"table": "tasks", "at": 0, "picture": "\\ud800", "instruction": "\\ud800", "created_at": 0}',
    "a dict for a text": b'{"table": "tasks", "at": 0, "picture": {}, "instruction": [], "created_at": 0}',
    "an empty instruction": b'{"table": "tasks", "at": 0, "picture": "%s", "instruction": "", "created_at": 0}'
    % OF_ALL,
    "a long instruction": b'{"table": "tasks", "at": 0, "picture": "%s", "instruction": "%s", "created_at": 0}'
    % (OF_ALL, b"x" * 100_000),
    "a choice by a number": b'{"table": "choices", "at": 0, "picture": 1, "asked": 2, "reviewer": 3, "created_at": 0}',
}


def fill(store: AnnotationStore, seed: int) -> None:
    sha256 = store.add_picture(picture(seed), f"{seed}.jpg")
    task = store.add_task(sha256, "the cat", rectangle(5, 10, 25, 20))
    number = store.add_prediction(task.id, prediction(), "c" * 64)
    store.save(task.id, "Ada", corrected(rectangle(1, 2, 9, 9)), prediction_id=number)


@pytest.mark.parametrize("line", HOSTILE_LINES.values(), ids=HOSTILE_LINES)
def test_a_hostile_line_stops_neither_the_others_nor_ones_own(tmp_path: Path, line: bytes) -> None:
    remote = FolderRemote(tmp_path / "remote")
    with AnnotationStore.open(tmp_path / "first") as first, AnnotationStore.open(tmp_path / "second") as second:
        fill(first, 1)
        own = Synchroniser(first, remote, tmp_path)
        own.sync()
        (file,) = (tmp_path / "remote" / "records").iterdir()
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join([lines[0], line + b"\n", *lines[1:]]))
        fill(second, 2)
        synchroniser = Synchroniser(second, remote, tmp_path)
        problems = synchroniser.sync()
        assert len(problems) == 1
        assert len(problems[0]) < 500
        assert "left out" in synchroniser.state.failure
        assert synchroniser.state.waiting == 0
        assert second.statistics().tasks == 2
        assert synchroniser.sync() == []
        assert own.sync() == []
        assert first.statistics().tasks == 2
        assert [*first.verify(), *second.verify()] == []
        second.backup(tmp_path / "copy")


def test_a_damaged_picture_stops_only_what_needs_it(tmp_path: Path) -> None:
    remote = FolderRemote(tmp_path / "remote")
    with AnnotationStore.open(tmp_path / "first") as first, AnnotationStore.open(tmp_path / "second") as second:
        fill(first, 1)
        fill(first, 2)
        Synchroniser(first, remote, tmp_path).sync()
        damaged = next((tmp_path / "remote" / "pictures").rglob("*.png"))
        damaged.write_bytes(b"not a picture")
        fill(second, 3)
        synchroniser = Synchroniser(second, remote, tmp_path)
        with pytest.raises(StoreDamagedError, match="remote copy of picture"):
            synchroniser.sync()
        assert "remote copy of picture" in synchroniser.state.failure
        assert synchroniser.state.waiting == 0
        assert second.statistics().tasks == 2


def test_a_record_of_a_picture_that_is_nowhere_stops_nothing_else(tmp_path: Path) -> None:
    remote = FolderRemote(tmp_path / "remote")
    with AnnotationStore.open(tmp_path / "first") as first, AnnotationStore.open(tmp_path / "second") as second:
        fill(first, 1)
        Synchroniser(first, remote, tmp_path).sync()
        (file,) = (tmp_path / "remote" / "records").iterdir()
        made_up = json.loads(file.read_bytes().splitlines()[0]) | {"sha256": "0" * 64, "at": 0}
        (file.parent / "hostile.jsonl").write_text(f"{json.dumps(made_up)}\n")
        fill(second, 2)
        synchroniser = Synchroniser(second, remote, tmp_path)
        with pytest.raises(StoreDamagedError, match="000000000000, but no file of it"):
            synchroniser.sync()
        assert synchroniser.state.waiting == 0
        assert second.statistics().tasks == 2


def test_a_damaged_picture_is_not_fetched_every_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote, fetched = FolderRemote(tmp_path / "remote"), []
    fetch = remote.fetch
    monkeypatch.setattr(remote, "fetch", lambda names, folder: (fetched.extend(names), fetch(names, folder)))
    now = [1e9]
    with AnnotationStore.open(tmp_path / "first") as first, AnnotationStore.open(tmp_path / "second") as second:
        fill(first, 1)
        Synchroniser(first, remote, tmp_path).sync()
        (damaged,) = (tmp_path / "remote" / "pictures").rglob("*.png")
        whole = damaged.read_bytes()
        damaged.write_bytes(b"x" * len(whole))
        synchroniser = Synchroniser(second, remote, tmp_path, lambda: now[0])
        for _ in range(3):
            with pytest.raises(StoreDamagedError, match="remote copy of picture"):
                synchroniser.sync()
            now[0] += 60
        assert len(fetched) == 2, "the records and the picture, once"
        # Whoever repairs it need not know of this: it is tried again after an hour, or once anything else changes.
        damaged.write_bytes(whole)
        now[0] += 3600
        assert synchroniser.sync() == []
        assert second.statistics().tasks == 1


def test_a_picture_of_another_size_than_its_record_is_refused(tmp_path: Path) -> None:
    remote = FolderRemote(tmp_path / "remote")
    with AnnotationStore.open(tmp_path / "first") as first, AnnotationStore.open(tmp_path / "second") as second:
        fill(first, 1)
        Synchroniser(first, remote, tmp_path).sync()
        (file,) = (tmp_path / "remote" / "records").iterdir()
        file.write_bytes(file.read_bytes().replace(b'"width": 40', b'"width": 41', 1))
        problems = Synchroniser(second, remote, tmp_path).sync()
        assert "another size" in "\n".join(problems)
        assert second.statistics().tasks == 0
        assert list(second.verify()) == []


def test_more_files_than_a_process_may_open(tmp_path: Path) -> None:
    remote = FolderRemote(tmp_path / "remote")
    with AnnotationStore.open(tmp_path / "first") as first:
        fill(first, 1)
        Synchroniser(first, remote, tmp_path).sync()
    (file,) = (tmp_path / "remote" / "records").iterdir()
    for number in range(400):
        (file.parent / f"{number}.jsonl").write_bytes(file.read_bytes())
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
    try:
        with AnnotationStore.open(tmp_path / "second") as second:
            assert Synchroniser(second, remote, tmp_path).sync() == []
            assert second.statistics().tasks == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_links_out_of_the_folder_are_not_part_of_it(tmp_path: Path) -> None:
    remote = FolderRemote(tmp_path / "remote")
    (tmp_path / "secret.jsonl").write_text("the secret\n")
    (tmp_path / "remote" / "records").mkdir(parents=True)
    (tmp_path / "remote" / "records" / "x.jsonl").symlink_to(tmp_path / "secret.jsonl")
    assert remote.files() == {}


def test_no_path_of_this_machine_is_in_what_anybody_may_read(tmp_path: Path) -> None:
    (tmp_path / "copy").touch()
    with AnnotationStore.open(tmp_path / "home") as store:
        synchroniser = Synchroniser(store, FolderRemote(tmp_path / "copy"), tmp_path)
        with pytest.raises(RemoteError):
            synchroniser.sync()
        state = synchroniser.state
    assert state.remote == "the folder 'copy'"
    assert state.failure
    assert str(tmp_path) not in state.remote + state.failure


class Broken(FolderRemote):
    """A remote whose client raises an unexpected error once."""

    failures: list[Any]

    def files(self) -> dict[str, int]:
        if self.failures:
            raise self.failures.pop()
        return super().files()


@pytest.mark.parametrize("failure", [RecursionError("deep"), MemoryError(), KeyError("x")], ids=repr)
def test_the_thread_outlives_what_nobody_foresaw(
    tmp_path: Path, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    remote = Broken(tmp_path / "remote")
    remote.failures = []
    with AnnotationStore.open(tmp_path / "home") as store:
        synchroniser = Synchroniser(store, remote, tmp_path)
        scheduler = Scheduler(synchroniser, 0.05)
        scheduler.start()
        remote.failures = [failure]
        deadline = time.monotonic() + 20
        while "will be retried" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        fill(store, 1)
        while (synchroniser.state.waiting or synchroniser.state.failure) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (synchroniser.state.waiting, synchroniser.state.failure) == (0, "")
        assert any(thread.name == "sync" for thread in threading.enumerate())
        scheduler.stop()
