"""The policy of a data folder: the named one, else the promoted one, else none."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from segr1_app.domain import SettingsError
from segr1_app.settings.config import AUTO, Settings, add_home_argument, add_model_arguments
from segr1_app.settings.promotion import PROMOTED_FILE, go_back, promote, promoted_policy


def policy_of(home: Path, *arguments: str, environ: dict[str, str] | None = None) -> str:
    parser = argparse.ArgumentParser()
    add_home_argument(parser, {})
    add_model_arguments(parser, environ or {})
    return Settings.from_arguments(parser.parse_args(["--home", str(home), *arguments])).policy


def test_the_promoted_policy_is_the_default_until_one_goes_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert policy_of(home) == AUTO
    promote(home, "first")
    promote(home, "second")
    assert policy_of(home) == promoted_policy(home) == "second"
    assert policy_of(home, "--policy", "mine") == "mine"
    assert policy_of(home, environ={"SEGR1_POLICY": "theirs"}) == "theirs"
    go_back(home)
    assert policy_of(home) == "first"
    go_back(home)
    assert policy_of(home) == AUTO
    with pytest.raises(SettingsError, match="nothing to roll back"):
        go_back(home)


@pytest.mark.parametrize("content", ["{", '"a policy"', "[1]", "", "\x00", "[" * 5000, "null", '{"a": 1}'])
def test_a_damaged_file_is_named_and_keeps_nothing_from_starting(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / PROMOTED_FILE).write_text(content)
    assert policy_of(tmp_path) == AUTO
    assert promoted_policy(tmp_path) is None
    assert caplog.text.count("promoted.json") == 1
    for change in (lambda: promote(tmp_path, "policy"), lambda: go_back(tmp_path)):
        with pytest.raises(SettingsError, match=r"promoted\.json"):
            change()
    assert (tmp_path / PROMOTED_FILE).read_text() == content


def test_a_folder_in_its_place_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / PROMOTED_FILE).mkdir()
    assert policy_of(tmp_path) == AUTO
    assert "promoted.json" in caplog.text
