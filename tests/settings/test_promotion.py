"""The models of a data folder: the named one, else the promoted one, else none; policy and segmenter alike."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from segr1_app.domain import ModelRole, SettingsError
from segr1_app.settings.config import AUTO, Settings, add_home_argument, add_model_arguments
from segr1_app.settings.promotion import PROMOTED_FILES, go_back, promote, promoted

both = pytest.mark.parametrize("role", PROMOTED_FILES)


def models_of(home: Path, *arguments: str, environ: dict[str, str] | None = None) -> dict[ModelRole, str]:
    parser = argparse.ArgumentParser()
    add_home_argument(parser, {})
    add_model_arguments(parser, environ or {})
    settings = Settings.from_arguments(parser.parse_args(["--home", str(home), *arguments]))
    return {"policy": settings.policy, "segmenter": settings.segmenter}


@both
def test_the_promoted_model_is_the_default_until_one_goes_back(tmp_path: Path, role: ModelRole) -> None:
    home = tmp_path / "home"
    assert models_of(home) == {"policy": AUTO, "segmenter": AUTO}
    promote(home, role, "first")
    promote(home, role, "second")
    assert models_of(home) == {"policy": AUTO, "segmenter": AUTO} | {role: "second"}
    assert promoted(home, role) == "second"
    assert models_of(home, f"--{role}", "mine")[role] == "mine"
    assert models_of(home, environ={f"SEGR1_{role.upper()}": "theirs"})[role] == "theirs"
    go_back(home, role)
    assert models_of(home)[role] == "first"
    go_back(home, role)
    assert models_of(home)[role] == AUTO
    with pytest.raises(SettingsError, match=f"nothing to roll back: no {role}"):
        go_back(home, role)


@both
@pytest.mark.parametrize("content", ["{", '"a policy"', "[1]", "", "\x00", "[" * 5000, "null", '{"a": 1}'])
def test_a_damaged_file_is_named_and_keeps_nothing_from_starting(
    tmp_path: Path, role: ModelRole, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / PROMOTED_FILES[role]
    file.write_text(content)
    assert models_of(tmp_path)[role] == AUTO
    assert promoted(tmp_path, role) is None
    assert caplog.text.count(f"{file.name}'") == 1
    for change in (lambda: promote(tmp_path, role, "model"), lambda: go_back(tmp_path, role)):
        with pytest.raises(SettingsError, match=file.name):
            change()
    assert file.read_text() == content


@both
def test_a_folder_in_its_place_is_named(tmp_path: Path, role: ModelRole, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / PROMOTED_FILES[role]).mkdir()
    assert models_of(tmp_path)[role] == AUTO
    assert PROMOTED_FILES[role] in caplog.text
