"""Damaged run folders: the Train tab reads the intact files and names the others."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from segr1_app.domain import SettingsError, StoreFullError
from segr1_app.settings.config import Settings
from segr1_app.studio import trainings as module
from segr1_app.studio.training_run import TrainingRequest
from segr1_app.studio.trainings import (
    AFTER,
    BEFORE,
    CONFIG,
    LOG,
    METRICS,
    PICTURES,
    PROCESS,
    RESULT,
    Trainings,
    note_process,
)
from tests.disks import files_no_larger_than

RLE = {"size": [2, 2], "counts": "04"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished training."""
    folder = tmp_path / "runs" / "20260101-000000"
    (folder / PICTURES).mkdir(parents=True)
    (folder / PICTURES / "a.jpg").write_bytes(b"")
    answer = {"image_id": "a", "source": "x", "instruction": "the cat", "mask": RLE, "iou": 0.5}
    files = {
        CONFIG: {"steps": 2},
        RESULT: {"after": {"all": {"iou": 0.6}}},
        BEFORE: {"scores": {"all": {"iou": 0.5}}, "answers": [answer]},
        AFTER: {"answers": [answer]},
        PROCESS: {"pid": 1, "started": 0.0, "command": [sys.executable, "-m", "train.grpo"]},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / METRICS).write_text('{"step": 1, "reward": 0.5}\n{"step": 2, "reward": 0.6}\n')
    (folder / LOG).write_text("done\n")
    return folder


def _folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] + b"\n"),
    "deep": lambda path: path.write_bytes(b"[" * 100_000 + b"\n"),
    "null": lambda path: path.write_bytes(b"null\n"),
    "a list": lambda path: path.write_bytes(b"[1, 2]\n"),
    "a folder": _folder_instead,
    "a broken link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
}


@pytest.mark.parametrize("name", [CONFIG, METRICS, BEFORE, RESULT, PROCESS])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_named_and_the_rest_is_read(run: Path, name: str, damage: Callable[[Path], object]) -> None:
    damage(run / name)
    trainings = Trainings(run.parent.parent)
    assert trainings.names() == [run.name]
    assert trainings.running() is None
    found = trainings.read(run.name)
    # Metrics are one file that may be empty, or end anywhere.
    if (run / name).exists() and not (name == METRICS and found.problems == ()):
        assert name in " ".join(found.problems)
    assert found.last_words == "done"
    assert name == METRICS or found.curve == ((1, 0.5), (2, 0.6))
    assert name == CONFIG or found.steps == 2
    assert name == BEFORE or found.before == {"all": {"iou": 0.5}}


def test_metrics_of_which_some_lines_are_whole(run: Path) -> None:
    with (run / METRICS).open("a") as file:
        file.write(
            '{"step": 3, "rew\n{"step": "4", "reward": 1}\n{"step": 5, "reward": NaN}\n{"step": 6, "reward": 0.7}\n7'
        )
    found = Trainings(run.parent.parent).read(run.name)
    assert found.curve == ((1, 0.5), (2, 0.6), (6, 0.7))
    assert found.problems == ("'metrics.jsonl' has 3 lines that cannot be read.",)


@pytest.mark.parametrize("name", [BEFORE, AFTER])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_changes_of_damaged_answers_are_refused_in_words(
    run: Path, name: str, damage: Callable[[Path], object]
) -> None:
    assert len(Trainings(run.parent.parent).changes(run.name)) == 1
    damage(run / name)
    with pytest.raises(SettingsError, match=rf"{name}|not done"):
        Trainings(run.parent.parent).changes(run.name)


@pytest.mark.parametrize(
    "more",
    [
        {"image_id": "../../secret"},
        {"mask": {"size": [2, 2], "counts": "0"}},
        {"mask": None},
        {"iou": 1e308},
        {"source": 7},
    ],
    ids=str,
)
def test_answers_that_lead_elsewhere_are_left_out(run: Path, more: dict[str, object]) -> None:
    (run.parent / "secret.jpg").write_bytes(b"")
    before = json.loads((run / BEFORE).read_text())
    bad = {**before["answers"][0], **more}
    (run / BEFORE).write_text(json.dumps({**before, "answers": [bad, *before["answers"]]}))
    (run / AFTER).write_text(json.dumps({"answers": [bad, *before["answers"]]}))
    (change,) = Trainings(run.parent.parent).changes(run.name)
    assert change.picture == run / PICTURES / "a.jpg"


@pytest.mark.parametrize("command", [["/bin/sh", "-c", "true"], "train", [1], None, [], [sys.executable, "-c", "1"]])
def test_only_the_command_of_a_training_is_resumed(run: Path, command: object) -> None:
    (run / RESULT).unlink()
    (run / PROCESS).write_text(json.dumps({"pid": 1, "started": 0.0, "command": command}))
    with pytest.raises(SettingsError, match="does not contain the command of a training run"):
        Trainings(run.parent.parent).resume(run.name)


@pytest.mark.parametrize("pid", [-1, 0, 2**40, True, "1", None, 1.5])
def test_an_invalid_process_is_not_running(run: Path, pid: object) -> None:
    (run / RESULT).unlink()
    (run / PROCESS).write_text(json.dumps({"pid": pid, "started": 0.0}))
    assert Trainings(run.parent.parent).running() is None


def test_a_training_is_known_after_the_clock_was_set(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / RESULT).unlink()
    note_process(run, os.getpid())
    boot, created = psutil.boot_time(), psutil.Process.create_time
    # What a clock that is set back by an hour does to both.
    monkeypatch.setattr(psutil, "boot_time", lambda: boot - 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) - 3600)
    assert Trainings(run.parent.parent).running() == run.name


def test_names_go_on_when_the_clock_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainings = Trainings(tmp_path)
    monkeypatch.setattr(Trainings, "_command", lambda *_, **__: [sys.executable, "-c", "pass"])
    monkeypatch.setattr(time, "strftime", lambda *_: "20260101-000000")
    names = []
    for _ in range(3):
        names.append(trainings.start(Settings(), 1, TrainingRequest(corrections=False)))
        assert trainings._child is not None
        trainings._child.wait(timeout=60)
    assert names == sorted(set(names)) == trainings.names()


def test_a_full_disk_leaves_neither_a_process_nor_half_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = Trainings(tmp_path)
    monkeypatch.setattr(Trainings, "_command", lambda *_, **__: [sys.executable, "-c", "import time; time.sleep(600)"])
    before = set(psutil.Process().children())
    with files_no_larger_than(16), pytest.raises(StoreFullError):
        trainings.start(Settings(), 1, TrainingRequest(corrections=False))
    assert set(psutil.Process().children()) == before
    assert trainings.names() == []
    assert not any((tmp_path / "runs").iterdir())


def test_a_disk_that_fills_up_when_it_runs_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainings = Trainings(tmp_path)
    monkeypatch.setattr(Trainings, "_command", lambda *_, **__: [sys.executable, "-c", "import time; time.sleep(600)"])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "note_process", full)
    before = set(psutil.Process().children())
    with pytest.raises(StoreFullError):
        trainings.start(Settings(), 1, TrainingRequest(corrections=False))
    assert set(psutil.Process().children()) == before
    assert not any((tmp_path / "runs").iterdir())


def test_a_folder_that_may_not_be_read_hides_no_other(run: Path) -> None:
    other = shutil.copytree(run, run.parent / "20260102-000000")
    other.chmod(0)
    try:
        assert run.name in Trainings(run.parent.parent).names()
    finally:
        other.chmod(0o755)
