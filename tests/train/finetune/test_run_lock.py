"""One process at a time trains in a folder, and an interruption gives one sentence."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segr1_app.domain import SegR1Error, SettingsError
from segr1_app.settings.config import ASSETS
from train.finetune.run_lock import LOCK, ending_in_words, locked_run

ROOT = ASSETS.parent
HOLD = "import sys; from pathlib import Path; from train.finetune.run_lock import locked_run\n" + (
    "with locked_run(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def test_a_second_process_is_refused_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(SettingsError, match=r"Another process is training in .*run"), locked_run(folder):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    with locked_run(folder):
        (folder / "config.json").touch()
    assert (folder / LOCK).exists()


def test_nothing_is_left_of_a_training_that_wrote_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked_run(tmp_path / "new" / "run"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (KeyboardInterrupt(), "interrupted.*--resume --output-dir"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk .* is full.*--resume --output-dir"),
        (RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0"), "disk .* is full"),
    ],
)
def test_what_ends_a_training_is_a_sentence_with_the_way_on(
    tmp_path: Path, raised: BaseException, message: str
) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(SegR1Error, match=message), ending_in_words(tmp_path):
        raise raised
    with pytest.raises(ValueError, match="other"), ending_in_words(tmp_path):
        raise ValueError("other")
