"""On ZeroGPU what needs the GPU runs in a forked process, and everything else without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from segr1_app.domain import ModelError
from segr1_app.models import host as models
from segr1_app.models.host import LoadedModels, ModelHost
from segr1_app.models.pipeline import Pipeline
from segr1_app.settings.config import Settings
from segr1_app.settings.space import has_zero_gpu
from tests.e2e.serving import serving
from tests.scenes import ellipse_scene

ROOT = Path(__file__).resolve().parents[2]
ZERO = {
    "SPACES_ZERO_GPU": "true",
    "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "zerogpu"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
}


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_zero_gpu_is_known_by_its_variable(value: str, *, expected: bool) -> None:
    assert has_zero_gpu({"SPACES_ZERO_GPU": value}) is expected


def test_elsewhere_nothing_is_borrowed_and_no_package_is_needed() -> None:
    assert not has_zero_gpu({})
    assert "spaces" not in sys.modules
    assert models.has_zero_gpu() is False


@pytest.mark.slow
def test_policy_and_encoder_run_in_another_process_and_clicks_in_this_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.zerogpu.borrowing", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | ZERO, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["pieces"] > 1
    assert report["same_text"]
    assert report["same_mask"]
    assert report["same_click"]
    assert report["stages"] == ["decode", "encode", "policy", "total"]
    assert report["ran_here"] == []
    assert "instruction" in report["refusal"].lower()
    assert report["no_gpu"].startswith("ZeroGPU provides no GPU for this: ")
    assert report["begun"] == 2
    assert report["same_after_a_change"]


@pytest.mark.slow
def test_the_app_has_its_models_before_it_is_served(tmp_path: Path) -> None:
    """They can be loaded in the main thread only; see `tests.zerogpu.spaces`."""
    photograph = tmp_path / "egg.png"
    Image.fromarray(ellipse_scene(320, 240, (0.3, 0.6), (0.2, 0.25))[0].pixels).save(photograph)
    asked = {"SEGR1_MODELS": "embedded", "SEGR1_DTYPE": "float32"}
    with serving(tmp_path, **ZERO, **asked) as (url, _):
        with urllib.request.urlopen(f"{url}healthz") as answer:
            assert json.load(answer)["models"] == "ready"
        found = Client(url, verbose=False).predict(
            handle_file(photograph), "Identify and segment all the primary objects.", api_name="/predict"
        )
    assert found["objects"], (tmp_path / "app.log").read_text()


def test_other_models_need_another_start(monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline) -> None:
    host = ModelHost(Settings(models="embedded"), lambda _: LoadedModels(pipeline, "cuda:0", ""))
    host.load_here()
    assert host.status.state == "ready"
    monkeypatch.setattr(models, "has_zero_gpu", lambda: True)
    with pytest.raises(ModelError, match="when the Space starts: set its variables SEGR1_MODELS"):
        host.switch(policy="a/b")
    assert host.pipeline() is pipeline
