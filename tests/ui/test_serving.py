"""The app as a separate process: its health, its shutdown, and losing its disk."""

from __future__ import annotations

import json
import shutil
import signal
import time
import urllib.request
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from segr1_app.store import AnnotationStore
from tests.e2e.serving import serving
from tests.scenes import ellipse_scene
from tests.writable_hub import serving_hub

pytestmark = pytest.mark.slow


def annotate(url: str, file: Path) -> int:
    """Import a picture and accept what the models make of it; returns the revision's number."""
    studio = Client(url, verbose=False)
    studio.predict([handle_file(file)], "the egg", api_name="/add_pictures")
    task = studio.predict("Ada", "imported", api_name="/next_task")
    answer = studio.predict(
        annotator="Ada", task=task["task"], verdict="skip", objects=[], parent=task["parent"], api_name="/save_decision"
    )
    return int(answer["revision"])


def test_a_disk_that_is_wiped_under_a_killed_app_costs_nothing_that_was_synced(tmp_path: Path) -> None:
    photograph = tmp_path / "egg.png"
    Image.fromarray(ellipse_scene(64, 48, (0.5, 0.5), (0.3, 0.3), seed=0)[0].pixels).save(photograph)
    home = tmp_path / "data"
    with serving_hub(tmp_path / "hub") as hub:
        arguments = ["--dataset", "ada/work", "--sync-seconds", "0.5", "--log", "json"]
        with serving(tmp_path, *arguments, **hub.environ) as (url, process):
            with urllib.request.urlopen(f"{url}healthz") as answer:
                assert json.load(answer)["status"] == "ok"
            annotate(url, photograph)
            with AnnotationStore.open(home) as store:
                (saved,) = store.history(1)
                deadline = time.monotonic() + 30
                while store.journal.waiting("ada/work"):
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            process.send_signal(signal.SIGKILL)
            process.wait()
        events = [json.loads(line) for line in (tmp_path / "app.log").read_text().splitlines() if line[0] == "{"]
        assert any(each["message"].startswith("The embedded models run, because ") for each in events)
        (event,) = [each for each in events if each.get("endpoint") == "save_decision"]
        assert (event["act"], event["level"]) == ("annotate", "info")
        shutil.rmtree(home)

        with serving(tmp_path, *arguments, **hub.environ) as (url, process):
            restored = Client(url, verbose=False).predict(1, api_name="/history")
            assert [(each["annotator"], each["verdict"]) for each in restored] == [("Ada", "skip")]
            # What is saved just before the end is pushed before it.
            Client(url, verbose=False).predict("Grace", 1, "the whole egg", api_name="/set_instruction")
            process.terminate()
            assert process.wait(timeout=60) == 0
        shutil.rmtree(home)
        with serving(tmp_path, *arguments, **hub.environ), AnnotationStore.open(home) as store:
            assert store.task(1).instruction == "the whole egg"
            assert store.history(1)[0].content_hash == saved.content_hash
            assert list(store.verify()) == []
