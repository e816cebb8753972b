"""On ZeroGPU what needs the GPU runs in a forked process, and everything else without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from segr1_app.space import has_zero_gpu
from segr1_app.ui import models

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(("value", "told"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_zero_gpu_is_known_by_its_variable(value: str, *, told: bool) -> None:
    assert has_zero_gpu({"SPACES_ZERO_GPU": value}) is told


def test_elsewhere_nothing_is_borrowed_and_no_package_is_needed() -> None:
    assert not has_zero_gpu({})
    assert "spaces" not in sys.modules
    assert models.has_zero_gpu() is False


@pytest.mark.slow
def test_policy_and_encoder_run_in_another_process_and_clicks_in_this_one(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT / "tests" / "zerogpu"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"SPACES_ZERO_GPU": "true", "PYTHONPATH": path}
    command = [sys.executable, "-m", "tests.zerogpu.borrowing", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["pieces"] > 1
    assert told["same_text"]
    assert told["same_mask"]
    assert told["same_click"]
    assert told["stages"] == ["decode", "encode", "policy", "total"]
    assert told["ran_here"] == []
    assert "instruction" in told["refusal"].lower()
    assert told["begun"] == 2
    assert told["same_after_a_change"]
