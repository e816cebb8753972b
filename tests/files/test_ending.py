"""How an interrupted command ends."""

from __future__ import annotations

import argparse
import signal

import pytest

from segr1_app.files.ending import INTERRUPTED
from segr1_app.files.logs import report_errors


def test_an_interrupted_command_ends_with_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    def command(_: argparse.Namespace) -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    assert report_errors(command, argparse.Namespace()) == INTERRUPTED == 130
    (record,) = caplog.records
    assert record.message == "Stopped."
    assert record.exc_info is None
