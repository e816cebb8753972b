"""Trainings as the app sees them: real processes of ``python -m train.grpo``, and the files they leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from segr1_app.domain import Mask, ModelError, SettingsError, StoreFullError
from segr1_app.files.json_files import read_json, write_json
from segr1_app.geometry import encode_rle
from segr1_app.models.host import LoadedModels, ModelHost
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.models.selection import embedded_pair
from segr1_app.settings.config import Settings
from segr1_app.store import AnnotationStore
from segr1_app.studio.samples import find_samples
from segr1_app.studio.training_run import TrainingRequest
from segr1_app.studio.trainings import (
    AFTER,
    BEFORE,
    CONFIG,
    ELSEWHERE,
    LOG,
    METRICS,
    PROCESS,
    RESULT,
    Trainings,
    note_process,
)
from segr1_app.ui.handlers.train import TrainingHandlers
from tests.disks import files_no_larger_than

PATIENCE_SECONDS = 600


def wait_until_it_ends(trainings: Trainings) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while trainings.running() and time.monotonic() < deadline:
        time.sleep(0.2)


def test_without_trainings_everything_says_so(tmp_path: Path) -> None:
    settings = embedded_pair(Settings(home=tmp_path, device="cpu"))
    trainings = Trainings(tmp_path)
    assert trainings.names() == []
    assert trainings.running() is None
    for wrong in (trainings.stop, lambda: trainings.read("../.."), lambda: trainings.changes("x")):
        with pytest.raises(SettingsError, match=r"No training|no training"):
            wrong()
    with pytest.raises(SettingsError, match="steps"):
        trainings.start(settings, 0, TrainingRequest())


ROWS = {
    "pair": ("p", "scenes", ""),
    "correction": ("p", "feedback", "c1"),
    "another correction": ("p", "feedback", "c2"),
    "photograph": ("q", "photographs", ""),
    "changed photograph": ("r", "photographs", ""),
}
"""Pictures, sources and content hashes of held-out rows; all ask the same, the first three of the same picture."""


def answers(mask: Mask, ious: Mapping[str, float], **others: Mask) -> dict[str, Any]:
    """Held-out answers as a training writes them: to every row of the same mask, but for ``others``."""
    fields = ("image_id", "source", "content_hash")
    return {
        "answers": [
            dict(zip(fields, row, strict=True))
            | {"instruction": "Segment it.", "iou": ious.get(name), "mask": encode_rle(others.get(name, mask))}
            for name, row in ROWS.items()
        ]
    }


def test_changes_are_reported_row_by_row_what_became_worse_first_and_what_cannot_be_judged_last(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "20260101-000000"
    mask: Mask = np.eye(4, dtype=bool)
    write_json(folder / PROCESS, {"pid": 2**22 + 1, "started": 0.0, "command": []})
    write_json(folder / BEFORE, answers(mask, {"pair": 0.5, "correction": 0.5, "another correction": 0.5}))
    better_and_worse = {"pair": 0.6, "correction": 0.25, "another correction": 0.5}
    write_json(folder / AFTER, answers(mask, better_and_worse, **{"changed photograph": ~mask}))
    changes = Trainings(tmp_path).changes(folder.name)
    assert [change.source for change in changes] == ["feedback", "feedback", "scenes", "photographs", "photographs"]
    assert [change.gain for change in changes] == [-0.25, 0.0, pytest.approx(0.1), None, None]
    assert [change.old_new_iou for change in changes] == [1, 1, 1, 0, 1]


def test_a_policy_that_is_not_whole_is_not_put_to_use(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "20260101-000000"
    write_json(folder / PROCESS, {"pid": 2**22 + 1, "started": 0.0, "command": []})
    write_json(folder / RESULT, {})
    (folder / LOG).touch()
    trainings = Trainings(tmp_path)
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        trainings.trained(folder.name)
    (folder / "policy" / "pytorch_model_fsdp_0").mkdir(parents=True)
    with pytest.raises(ModelError, match="sharded policy"):
        trainings.trained(folder.name)


def test_a_training_of_a_terminal_is_followed_and_stopped_but_resumed_there(tmp_path: Path) -> None:
    folder, trainings = tmp_path / "runs" / "20260101-000000", Trainings(tmp_path)
    write_json(folder / CONFIG, {"steps": 7})
    (folder / METRICS).write_text('{"step": 1, "reward": 0.5}\n')
    run = trainings.read(folder.name)
    assert (run.state, run.steps, run.curve, run.resumable) == ("stopped", 7, ((1, 0.5),), False)
    assert run.last_words == ELSEWHERE
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        note_process(folder, process.pid)
        assert trainings.read(folder.name).state == "running"
        with pytest.raises(SettingsError, match="is running"):
            trainings.start(embedded_pair(Settings(home=tmp_path, device="cpu")), 1, TrainingRequest())
        with pytest.raises(SettingsError, match="is running"):
            trainings.resume(folder.name)
        trainings.stop()
        assert not psutil.pid_exists(process.pid)
    with pytest.raises(SettingsError, match="in a terminal"):
        trainings.resume(folder.name)
    # As one of the app's, it is known by its command; done, it is nobody's to go on with.
    note_process(folder, os.getpid(), command=[])
    assert trainings.read(folder.name).state == "running"
    write_json(folder / RESULT, {"after": {}})
    assert trainings.read(folder.name).state == "done"
    assert trainings.running() is None


def test_the_page_trains_what_the_app_works_with_now(tmp_path: Path, pipeline: Pipeline) -> None:
    asked = Settings(home=tmp_path, policy="someone/large", segmenter="facebook/sam2.1-hiera-large", device="cpu")
    embedded = embedded_pair(asked)

    def load(settings: Settings) -> LoadedModels:
        if settings != embedded:
            raise ModelError("no network")
        return LoadedModels(pipeline, "cpu", "")

    models, trainings = ModelHost(asked, load), Trainings(tmp_path)
    with AnnotationStore.open(tmp_path) as store:
        handlers = TrainingHandlers(trainings, models, store, tmp_path)
        # Only now does the app know that it has to do with the embedded models.
        models.pipeline()
        handlers.start_training()
        name = trainings.running()
        trainings.stop()
    command = read_json(tmp_path / "runs" / str(name) / PROCESS)["command"]
    given = {option: command[command.index(option) + 1] for option in ("--policy", "--segmenter", "--device")}
    assert given == {"--policy": embedded.policy, "--segmenter": embedded.segmenter, "--device": "cpu"}
    # How many steps are useful depends on the policy: the command's configurations know it.
    assert "--max-steps" not in command


@pytest.mark.slow
def test_a_training_is_stopped_found_again_resumed_and_compared(tmp_path: Path) -> None:
    AnnotationStore.open(tmp_path).close()
    settings = embedded_pair(Settings(home=tmp_path, device="cpu"))
    trainings = Trainings(tmp_path)
    name = trainings.start(settings, 1, TrainingRequest())
    assert trainings.running() == name
    with pytest.raises(SettingsError, match="is running"):
        trainings.start(settings, 1, TrainingRequest())
    with pytest.raises(SettingsError, match="not done"):
        trainings.trained(name)
    # Another start of the app finds the training that goes on.
    later = Trainings(tmp_path)
    assert later.running() == name
    later.stop()
    assert trainings.running() is None
    assert later.read(name).state == "stopped"

    later.resume(name)
    assert later.running() == name
    wait_until_it_ends(later)
    run = later.read(name)
    assert run.state == "done", run.last_words
    assert run.steps == 1
    assert [step for step, _ in run.curve] == [1]
    assert run.before is not None
    assert run.after is not None
    changes = later.changes(name)
    scored = [change for change in changes if change.gain is not None]
    assert len(scored) == run.after["pairs"]["count"] > 0
    assert [change.source for change in changes[len(scored) :]] == ["photographs"] * len(find_samples())
    assert all(change.picture.is_file() for change in changes)
    role, made = later.trained(name)
    assert role == "policy"
    VlmPolicy.load(made, device="cpu")
    with pytest.raises(SettingsError, match="is done"):
        later.resume(name)


@pytest.mark.slow
def test_a_segmenter_is_trained_and_listed_with_the_policies(tmp_path: Path) -> None:
    AnnotationStore.open(tmp_path).close()
    trainings, settings = Trainings(tmp_path), embedded_pair(Settings(home=tmp_path, device="cpu"))
    write_json(tmp_path / "runs" / "20260101-000000" / CONFIG, {"steps": 7})
    name = trainings.start(settings, 2, TrainingRequest("segmenter"))
    assert trainings.names() == ["20260101-000000", name]
    assert name.startswith("segmenter-")
    with pytest.raises(SettingsError, match="no new segmenter yet"):
        trainings.trained(name)
    trainings.stop()
    assert trainings.read(name).state == "stopped"
    trainings.resume(name)
    wait_until_it_ends(trainings)
    run = trainings.read(name)
    assert (run.state, run.learns, run.steps, run.saved) == ("done", "segmenter", 2, 0), run.last_words
    assert [step for step, _ in run.curve] == [1, 2]
    assert run.objects is not None
    assert run.objects["scenes"]["objects"] > 0
    assert (run.before, run.after, trainings.changes(name)) == (None, None, [])
    role, made = trainings.trained(name)
    assert role == "segmenter"
    assert trainings.made(str(made)) == name
    Sam2Segmenter.load(made, device="cpu")
    (made / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no complete segmenter"):
        trainings.trained(name)


@pytest.mark.slow
def test_the_plan_is_the_command_lines(tmp_path: Path) -> None:
    AnnotationStore.open(tmp_path).close()
    plan = Trainings(tmp_path).plan(embedded_pair(Settings(home=tmp_path, device="cpu")), TrainingRequest())
    assert "held out" in plan
    assert "no corrections" in plan


def test_a_full_disk_starts_no_training_and_leaves_no_folder(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path)
    for size in (0, 200):  # nothing can be written, or the command but not the process's number beside it
        with files_no_larger_than(size), pytest.raises(StoreFullError, match="disk is full"):
            trainings.start(Settings(home=tmp_path, device="cpu"), 1, TrainingRequest(corrections=False))
        assert trainings.names() == []
        assert trainings.running() is None
        assert not any((tmp_path / "runs").iterdir())
