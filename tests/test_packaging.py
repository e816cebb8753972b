"""The package: its lists of dependencies agree, and a wheel runs outside the checkout, without a network."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import segr1_app
from segr1_app.__main__ import main
from segr1_app.studio.samples import find_samples
from tests.constraints import FILE, ROOT, declared, installed_closure
from tests.e2e.page_calls import Annotator
from tests.e2e.serving import free_port, serving_as

OFFLINE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
"""Proxies that refuse every connection: whatever asks the network fails."""


def listed(name: str) -> set[str]:
    """The requirements in a file for pip, those of the files that it includes left out."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {str(Requirement(line)) for line in lines if line and line[0] not in "#-"}


def pinned() -> dict[str, Version]:
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {name: Version(version) for name, _, version in (line.partition("==") for line in lines)}


def test_the_requirement_files_repeat_pyproject() -> None:
    app = {str(each) for each in declared("train")}
    assert listed("requirements.txt") == app
    assert listed("requirements-dev.txt") == {str(each) for each in declared("dev")} - {
        str(each) for each in declared()
    }
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()


def test_every_requirement_has_an_exact_version_within_its_range() -> None:
    versions = pinned()
    for wanted in declared("train", "dev"):
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), wanted
    assert not [version for version in versions.values() if version.local], "a local version fits one machine only"


@pytest.mark.skipif("CI" not in os.environ, reason="another environment may have other versions")
def test_the_exact_versions_are_those_of_this_run() -> None:
    installed = installed_closure(declared("train", "dev"))
    assert installed == {name: str(version) for name, version in pinned().items()}


@pytest.mark.parametrize(("package", "extras"), [("segr1_app", ()), ("train", ("train",))])
def test_what_a_package_imports_is_declared(package: str, extras: tuple[str, ...]) -> None:
    known = {canonicalize_name(each.name) for each in declared(*extras)}
    # Installed with one that is declared, and fixed by it: the page's server, and what models are read with.
    known |= {"annotated-types", "fastapi", "gradio-client", "starlette", "tokenizers", "hydra-core", "omegaconf"}
    providers = packages_distributions()
    names = set(imported(ROOT / package)) - {"segr1_app", "train"} - sys.stdlib_module_names
    assert not [name for name in names if not known & {canonicalize_name(each) for each in providers[name]}]


def imported(folder: Path) -> Iterator[str]:
    """The top-level modules that the files of a folder import by a statement."""
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield (node.module or "").partition(".")[0]


def test_the_version_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"segr1 {segr1_app.__version__}\n"
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == segr1_app.__version__
    locked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert locked["dynamic"] == ["version"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of an environment with the wheel in it; the dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (site,) = (environment / "lib").glob("python*/site-packages")
    # After the installed package: this environment may have the checkout installed in it.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n", encoding="utf-8")
    return python.parent


def outside(folder: Path, *command: str | Path) -> str:
    """What a command prints, run in a folder outside the checkout and without a network."""
    environ = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "HF_HUB_OFFLINE"}}
    done = subprocess.run(
        command, cwd=folder, env={**environ, **OFFLINE}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_without_its_extra_says_what_to_install() -> None:
    code = "import sys; sys.modules['trl'] = None; import train.grpo"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Training and evaluation need trl: install the package with its extra 'train'" in done.stderr


@pytest.mark.slow
def test_an_installed_wheel_predicts_and_trains_with_the_embedded_models(installed: Path, tmp_path: Path) -> None:
    assert outside(tmp_path, installed / "segr1", "--version") == f"segr1 {segr1_app.__version__}\n"
    where = outside(tmp_path, installed / "python", "-c", "import segr1_app, train; print(segr1_app.__file__, train)")
    assert str(installed.parent) in where
    assert str(ROOT) not in where
    sample = find_samples()[0].path
    outside(tmp_path, installed / "segr1", "predict", sample, "--models", "embedded", "--out", "out")
    record = json.loads((tmp_path / "out" / f"{sample.stem}.prediction.json").read_text(encoding="utf-8"))
    assert record["policy"] == "embedded policy"
    plan = outside(tmp_path, installed / "python", "-m", "train.grpo", "--plan", "--home", "home")
    assert plan


@pytest.mark.slow
def test_an_installed_wheel_serves_the_page(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [str(installed / "segr1"), "app", "--home", "home", "--port", str(port), "--models", "embedded"]
    with serving_as(command, tmp_path, port, {**OFFLINE, "HF_HUB_OFFLINE": "0"}) as (url, _):
        sample = find_samples()[0].path
        outside(tmp_path, installed / "segr1", "import", sample, "--home", "home")
        held = Annotator(url, "Ada").ask("next_task")
        assert held["canvas"]["objects"]
        with urllib.request.urlopen(f"{url}studio/canvas/canvas.js", timeout=60) as answer:
            assert answer.read() == (ROOT / "segr1_app/ui/static/canvas/canvas.js").read_bytes()


def test_every_place_that_names_a_version_of_a_tool_names_the_same() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert f"rev: v{pinned()['ruff']}\n" in hooks
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert "bash .ci/run" in workflow
    front = (ROOT / "README.md").read_text(encoding="utf-8").split("---")[1]
    assert f"sdk_version: {pinned()['gradio']}\n" in front
