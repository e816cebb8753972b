"""Settings: arguments win over the environment, the environment over the defaults."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from segr1_app.domain import SettingsError
from segr1_app.settings.config import Settings, add_home_argument, add_model_arguments, add_server_arguments


def parse(*arguments: str, **environ: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_home_argument(parser, environ)
    add_model_arguments(parser, environ)
    add_server_arguments(parser, environ)
    return Settings.from_arguments(parser.parse_args(arguments))


def test_defaults_are_the_embedded_pair_on_this_machine_only() -> None:
    settings = parse()
    assert settings == Settings()
    assert (settings.host, settings.port, settings.share) == ("127.0.0.1", 7860, False)
    assert (settings.models, settings.policy, settings.segmenter) == ("auto", "auto", "auto")
    assert settings.home == Path(".segr1")


def test_arguments_win_over_the_environment() -> None:
    environ = {"SEGR1_HOME": "from-env", "SEGR1_PORT": "8000", "SEGR1_POLICY": "geshang/Seg-R1-3B"}
    assert parse(**environ) == Settings(home=Path("from-env"), port=8000, policy="geshang/Seg-R1-3B")
    assert parse("--home", "given", "--port", "9000", **environ).home == Path("given")
    assert parse("--home", "given", "--port", "9000", **environ).port == 9000


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="70000"):
        parse("--port", "70000")
    with pytest.raises(SettingsError, match="float31 must be one of auto"):
        parse(SEGR1_DTYPE="float31")
    with pytest.raises(SettingsError, match="huge must be one of auto, embedded, full"):
        parse(SEGR1_MODELS="huge")
    with pytest.raises(SettingsError, match="klingon must be one of auto, cfcamo"):
        parse(SEGR1_DIALECT="klingon")
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="is a file"):
        parse("--home", str(tmp_path / "file"))
    with pytest.raises(SystemExit):
        parse(SEGR1_PORT="eighty")
