"""``python app.py`` under sixteen people at once: nobody gets another one's task, and no save is lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from segr1_app.store import AnnotationStore
from tests.e2e.serving import ROOT, serving
from tests.store.values import picture, prediction

pytestmark = pytest.mark.slow

PEOPLE, PICTURES, TASKS = 16, 20, 200


def fill(home: Path) -> None:
    """Tasks as ``preannotate`` leaves them: ten for each picture."""
    with AnnotationStore.open(home) as store:
        pictures = [store.add_picture(picture(seed), f"{seed}.png") for seed in range(PICTURES)]
        for number in range(TASKS):
            asked = f"thing {number // PICTURES}"
            task = store.add_task(pictures[number % PICTURES], asked)
            store.add_prediction(task.id, prediction(instruction=asked), "checkpoint")


def test_sixteen_people_share_two_hundred_tasks_over_http(tmp_path: Path) -> None:
    home = tmp_path / "data"
    fill(home)
    with serving(tmp_path) as (url, _):
        people = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.page_calls", url, f"person {number}"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(PEOPLE)
        ]
        reported = [line.split("\t") for each in people for line in each.communicate(timeout=600)[0].splitlines()]
        assert [each.returncode for each in people] == [0] * PEOPLE
    held = Counter(int(task) for kind, task, *_ in reported if kind == "held")
    assert held == dict.fromkeys(range(1, TASKS + 1), 1), "a task was held twice, or never"

    acknowledged = {(int(line[1]), int(line[2]), *line[3:]) for line in reported if line[0] == "saved"}
    with closing(sqlite3.connect(home / "segr1.db")) as database:
        query = "SELECT id, task, verdict, comment FROM revisions"
        assert set(database.execute(query)) == acknowledged
        for left_over in ("drafts", "leases"):
            assert database.execute(f"SELECT count(*) FROM {left_over}").fetchone() == (0,)
    with AnnotationStore.open(home) as store:
        assert store.statistics().open_tasks == 0
        assert len(store.statistics().by_annotator) == PEOPLE, "everybody came to a task"
        assert list(store.verify()) == []
