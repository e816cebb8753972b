"""The ``sync`` command against a hub over real HTTP, each time in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segr1_app.store import AnnotationStore
from tests.store.values import corrected, picture, prediction, rectangle
from tests.writable_hub import Hub, serving_hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serving_hub(tmp_path / "hub") as served:
        yield served


def sync(home: Path, environ: dict[str, str], dataset: str = "ada/work") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "segr1_app", "sync", "--home", str(home), "--dataset", dataset]
    return subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_disk_that_is_wiped_gets_back_what_was_synced(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with AnnotationStore.open(home) as store:
        task = store.add_task(store.add_picture(picture(), "photo.jpg"), "the cat")
        number = store.add_prediction(task.id, prediction(), "c0ffee")
        saved = store.save(task.id, "Ada", corrected(rectangle(1, 2, 9, 9)), prediction_id=number)
    done = sync(home, hub.environ)
    assert done.returncode == 0, done.stderr
    assert [made["visibility"] for made in hub.created] == ["private"]
    shutil.rmtree(home)
    done = sync(home, hub.environ)
    assert done.returncode == 0, done.stderr
    with AnnotationStore.open(home) as store:
        (again,) = store.history(1)
        assert again.content_hash == saved.content_hash
        assert store.picture(task.sha256).sha256 == task.sha256
        assert list(store.verify()) == []


@pytest.mark.slow
def test_what_keeps_the_hub_from_taking_it_is_said_in_a_sentence(hub: Hub, tmp_path: Path) -> None:
    with AnnotationStore.open(tmp_path / "home") as store:
        store.add_picture(picture(), "photo.jpg")
    wrong = sync(tmp_path / "home", {**hub.environ, "HF_TOKEN": "hf_other"})
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "HF_TOKEN" in wrong.stderr
    away = sync(tmp_path / "home", {**hub.environ, "HF_ENDPOINT": "http://127.0.0.1:9"})
    assert "'ada/work' cannot be reached" in away.stderr
    nowhere = sync(tmp_path / "home", hub.environ, dataset="work")
    assert "must look like OWNER/NAME" in nowhere.stderr
