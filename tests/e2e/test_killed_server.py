"""The server is killed in the middle of saves, over and over: what it acknowledged is there afterwards.

Starting ``python app.py`` takes seconds, nearly all of which goes into imports. So they are done once, in a process
that forks, and each server is a fork of it: ``app.main`` in a process of its own, with models that it loads itself.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
import time
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from app import main
from segr1_app.store import AnnotationStore
from tests.e2e.page_calls import Annotator
from tests.e2e.serving import free_port, wait_until_served
from tests.store.values import picture, prediction

pytestmark = pytest.mark.slow

KILLS = 20
NAMES = ("Ada", "Bea", "Cyd")
IMPORTED = ["segr1_app.ui", "segr1_app.models.pipeline", "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl"]


@dataclass
class Saves:
    """The acknowledged saves (revision, task, annotator and comment of each), and the unanswered ones."""

    acknowledged: list[tuple[int, int, str, str]] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    _one_more: threading.Condition = field(default_factory=threading.Condition)
    _all_here: threading.Barrier = field(default_factory=lambda: threading.Barrier(len(NAMES), timeout=120))

    def until_killed(self, url: str, name: str, task: int) -> None:
        """Save one revision on top of the other as fast as possible."""
        annotator = Annotator(url, name)
        held = annotator.ask("open_task", task=task)
        self._all_here.wait()
        mine = [revision for revision, _, saved_by, _ in self.acknowledged if saved_by == name]
        assert (held["parent"] or 0) >= max(mine, default=0), "an acknowledged save is gone"
        while True:
            comment = f"{name}, on {held['parent']}"
            try:
                saved = annotator.decide(held, "fix", comment)
            except urllib.error.HTTPError:
                raise
            except (OSError, HTTPException):
                self.unanswered.append(comment)
                return
            held["parent"] = saved["revision"]
            with self._one_more:
                self.acknowledged.append((saved["revision"], task, name, comment))
                self._one_more.notify()

    def wait_for(self, more: int) -> None:
        """Wait until this many more were acknowledged."""
        with self._one_more:
            wanted = len(self.acknowledged) + more
            assert self._one_more.wait_for(lambda: len(self.acknowledged) >= wanted, timeout=120)


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ForkServerContext:
    """Processes that have imported everything already."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "data" / "cache"))  # gradio reads it when it is imported
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


@contextmanager
def killed_at_the_end(processes: ForkServerContext, home: Path) -> Iterator[str]:
    """A server over ``home``, and its end by SIGKILL."""
    port = free_port()
    server = processes.Process(target=main, args=[["--home", str(home), "--port", str(port)]])
    server.start()
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_until_served(url, server.is_alive)
        yield url
    finally:
        server.kill()
        server.join()


def test_twenty_kills_of_the_server_lose_no_acknowledged_save(processes: ForkServerContext, tmp_path: Path) -> None:
    home, saves = tmp_path / "data", Saves()
    with AnnotationStore.open(home) as store:
        for task, name in enumerate(NAMES, start=1):
            assert store.add_task(store.add_picture(picture(), "p"), f"thing of {name}").id == task
            store.add_prediction(task, prediction(instruction=f"thing of {name}"), "checkpoint")
    with ThreadPoolExecutor(len(NAMES)) as people:
        for round_ in range(KILLS):
            with killed_at_the_end(processes, home) as url:
                at_work = [people.submit(saves.until_killed, url, name, 1 + n) for n, name in enumerate(NAMES)]
                # Let it save a few times, another number each round, and then for a moment that hits it anywhere.
                saves.wait_for(1 + round_ % 3)
                time.sleep(0.004 * round_)
            for each in at_work:
                each.result(timeout=60)
    assert len(saves.unanswered) == KILLS * len(NAMES), "each kill was in the middle of everybody's save"
    with closing(sqlite3.connect(home / "segr1.db")) as database:
        stored = set(database.execute("SELECT id, task, annotator, comment FROM revisions"))
    assert len(saves.acknowledged) >= KILLS
    assert set(saves.acknowledged) <= stored
    with AnnotationStore.open(home) as store:
        assert list(store.verify()) == []
