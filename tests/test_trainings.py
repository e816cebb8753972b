"""Trainings as the app sees them: real processes of ``python -m train.grpo``, and what they leave behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from segr1_app.choosing import embedded_pair
from segr1_app.config import DEFAULT_POLICY, Settings
from segr1_app.domain import SettingsError
from segr1_app.policy import VlmPolicy
from segr1_app.trainings import Trainings

PATIENCE_SECONDS = 600


def wait_until_it_ends(trainings: Trainings) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while trainings.running() and time.monotonic() < deadline:
        time.sleep(0.2)


def test_without_trainings_everything_says_so(tmp_path: Path) -> None:
    trainings = Trainings(embedded_pair(Settings(home=tmp_path, device="cpu")))
    assert trainings.names() == []
    assert trainings.running() is None
    for wrong in (trainings.stop, lambda: trainings.read("../.."), lambda: trainings.changes("x")):
        with pytest.raises(SettingsError, match=r"No training|no training"):
            wrong()
    with pytest.raises(SettingsError, match="steps"):
        trainings.start(str(DEFAULT_POLICY), 0, include_feedback=True)


@pytest.mark.slow
def test_a_training_is_stopped_found_again_resumed_and_compared(tmp_path: Path) -> None:
    settings = embedded_pair(Settings(home=tmp_path, device="cpu"))
    trainings = Trainings(settings)
    name = trainings.start(str(DEFAULT_POLICY), 1, include_feedback=True)
    assert trainings.running() == name
    with pytest.raises(SettingsError, match="is running"):
        trainings.start(str(DEFAULT_POLICY), 1, include_feedback=True)
    with pytest.raises(SettingsError, match="not done"):
        trainings.policy(name)
    # Another start of the app finds the training that goes on.
    later = Trainings(settings)
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
    assert len(changes) == run.after["pairs"]["count"] > 0
    assert [change.gain for change in changes] == sorted(change.gain for change in changes)
    assert all(change.picture.is_file() for change in changes)
    VlmPolicy.load(later.policy(name), device="cpu")
    with pytest.raises(SettingsError, match="is done"):
        later.resume(name)


@pytest.mark.slow
def test_the_plan_is_the_command_lines(tmp_path: Path) -> None:
    plan = Trainings(embedded_pair(Settings(home=tmp_path, device="cpu"))).plan()
    assert "held out" in plan
    assert "no corrections" in plan
