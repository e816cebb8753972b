"""``deploy`` with a hub over real HTTP, and its messages without one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi, SpaceHardware

from segr1_app.cli import main
from segr1_app.cli.deploy import ROOT, Step, shipped
from segr1_app.settings.config import FULL_POLICY, FULL_SEGMENTER
from tests.writable_hub import TOKEN, Hub, serving_hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serving_hub(tmp_path / "hub") as served:
        yield served


def deploy(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "segr1_app", "deploy", *arguments]
    variables = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    return subprocess.run(command, env={**variables, **environ}, capture_output=True, text=True, check=False)


def test_a_dry_run_lists_every_step_and_needs_no_network(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["ada/studio", "--private", "--dataset", "ada/work", "--hardware", "a100-large", "--dry-run"]
    assert main(["deploy", *arguments]) == 0
    text = capsys.readouterr().out
    steps = [line[3:] for line in text.splitlines() if line[:1].isdigit()]
    assert [step.partition(",")[0] for step in steps] == [
        "Create the private Space ada/studio",
        "Request the hardware a100-large",
        "Create the private dataset ada/work",
        "Set the secret HF_TOKEN of ada/studio",
        "Set the variable SEGR1_MODELS of ada/studio to full",
        "Set the variable SEGR1_DATASET of ada/studio to ada/work",
        f"Upload {len(shipped())} files ({sum(file.stat().st_size for file in shipped()) / 2**20:.0f} MiB) of {ROOT}",
    ]
    assert "nothing is changed, no network is used" in text
    assert main(["deploy", "ada/studio", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "dataset" not in text
    assert "hardware" not in text
    # A Space that had a GPU before goes back to the small models.
    assert main(["deploy", "ada/studio", "--hardware", "cpu-basic", "--dry-run"]) == 0
    assert "SEGR1_MODELS of ada/studio to embedded" in capsys.readouterr().out


@pytest.mark.slow
def test_a_space_is_made_of_what_runs(hub: Hub) -> None:
    for _ in range(2):
        done = deploy("ada/studio", "--dataset", "ada/work", "--hardware", "t4-small", **hub.environ)
        assert done.returncode == 0, done.stderr
    assert [(made["name"], made["type"]) for made in hub.created] == [("studio", "space"), ("work", "dataset")]
    assert hub.created[0]["hardware"] == "t4-small"
    assert hub.created[1]["visibility"] == "private"
    settings = {(where, content.get("key") or "flavor"): content for where, content in hub.settings}
    assert settings["ada/studio/secrets", "HF_TOKEN"]["value"] == TOKEN
    assert settings["ada/studio/variables", "SEGR1_DATASET"]["value"] == "ada/work"
    assert settings["ada/studio/variables", "SEGR1_MODELS"]["value"] == "full"
    assert settings["ada/studio/hardware", "flavor"]["flavor"] == "t4-small"
    space = hub.repo("spaces", "ada/studio")
    there = {file.relative_to(space) for file in space.rglob("*") if file.is_file()}
    assert there == {file.relative_to(ROOT) for file in shipped()}
    # What was uploaded starts: no module of it was left behind.
    started = subprocess.run(
        [sys.executable, "app.py", "--help"],
        cwd=space,
        env={**os.environ, "PYTHONPATH": str(space)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr


@pytest.mark.slow
def fine_grained(kind: str, name: str) -> dict[str, Any]:
    scope = {"entity": {"type": kind, "name": name}, "permissions": ["repo.content.read", "repo.write"]}
    return {"role": "fineGrained", "fineGrained": {"global": [], "scoped": [scope]}}


@pytest.mark.parametrize("token", [{"role": "write"}, {"role": "read"}, fine_grained("user", "ada")])
def test_a_token_for_everything_is_not_handed_over_unless_allowed(
    token: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps_done = []
    monkeypatch.setattr(HfApi, "whoami", lambda *_, **__: {"name": "ada", "auth": {"accessToken": token}})
    monkeypatch.setattr("huggingface_hub.get_token", lambda: TOKEN)
    monkeypatch.setattr("segr1_app.cli.deploy.plan", lambda *_: [Step("a step", lambda _: steps_done.append("done"))])
    arguments = ["deploy", "ada/studio", "--dataset", "ada/work"]
    assert main(arguments) != 0
    assert steps_done == []
    assert main([*arguments, "--broad-token"]) == 0
    assert steps_done == ["done"]
    token.clear()
    token.update(fine_grained("dataset", "ada/work"))
    assert main(arguments) == 0


def test_what_is_missing_is_said_in_a_sentence(hub: Hub, tmp_path: Path) -> None:
    without = deploy("ada/studio", **{**hub.environ, "HF_TOKEN": "", "HF_HOME": str(tmp_path)})
    assert (without.returncode, without.stderr.count("\n")) == (1, 1)
    assert "hf auth login" in without.stderr
    wrong = deploy("ada/studio", **{**hub.environ, "HF_TOKEN": "hf_other"})
    assert "is not writable" in wrong.stderr
    hub.public.add("ada/work")
    public = deploy("ada/studio", "--dataset", "ada/work", **hub.environ)
    assert (public.returncode, public.stderr.count("\n")) == (1, 1)
    assert "'ada/work' is public, and so would the annotations be" in public.stderr
    assert not hub.settings, "no token was handed over"
    assert "must look like OWNER/NAME" in deploy("studio").stderr
    assert "must be one of cpu-basic" in deploy("ada/studio", "--hardware", "abacus", "--dry-run").stderr
    assert "of ada/studio to full" in deploy("ada/studio", "--hardware", "zero-a10g", "--dry-run").stdout


def test_the_front_matter_is_what_a_space_needs() -> None:
    _, front, text = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    card = yaml.safe_load(front)
    assert (card["sdk"], card["hf_oauth"]) == ("gradio", True)
    # The code's licence is not that of the weights: the card names neither alone, and links to what says so.
    assert (card["license"], card["license_link"]) == ("other", "README.md#licence-and-citation")
    assert (
        "The code is under [Apache-2.0](LICENSE). The weights in `assets/models/`"
        in text.partition("## Licence and citation")[2]
    )
    assert (ROOT / card["app_file"]).is_file()
    assert set(card["models"]) == {FULL_POLICY, FULL_SEGMENTER}
    assert card["suggested_hardware"] in list(SpaceHardware)
    assert len(card["short_description"]) <= 60, "the hub refuses a longer one"
    # Of those that this code runs on, the one that ZeroGPU has, too.
    assert card["python_version"] == "3.12"
    # The version that a Space installs is one that this project allows.
    import gradio

    assert card["sdk_version"].split(".")[:2] == gradio.__version__.split(".")[:2]
