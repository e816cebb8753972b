"""An interrupted import or export: what was imported stays, the next one continues, nothing is left over."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segr1_app.cli import main
from segr1_app.files.atomic import PARTIAL, remove_abandoned, whole_file
from segr1_app.store import AnnotationStore
from tests.store.values import corrected

PICTURES = 300


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Grey pictures, which become PNGs: there is something to write."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (200, 300), dtype=np.uint8)
    for number in range(PICTURES):
        pixels[0, 0], pixels[0, 1] = number % 256, number // 256
        Image.fromarray(pixels).save(folder / f"{number:03d}.png", compress_level=0)
    return folder


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "segr1_app", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(condition: object, process: subprocess.Popen[str]) -> None:
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_import_that_is_stopped_goes_on_with_the_same_command(
    photographs: Path, tmp_path: Path, how: signal.Signals
) -> None:
    home = tmp_path / "home"
    command = ("import", str(photographs), "--home", str(home))
    process = started(*command)
    wait_for(lambda: (home / "pictures").is_dir() and len(list((home / "pictures").iterdir())) > 5, process)
    process.send_signal(how)
    _, reported = process.communicate(timeout=120)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[how]
    if how is not signal.SIGKILL:
        assert "Traceback" not in reported
        assert "Give the same command again to continue: nothing is imported twice." in reported
        assert not list(home.rglob(f"*{PARTIAL}"))
    with AnnotationStore.open(home) as store:
        assert not list(home.rglob(f"*{PARTIAL}"))
        before = store.statistics().tasks
        assert 5 <= before < PICTURES
        assert list(store.verify()) == []
    assert main(command) == 0
    with AnnotationStore.open(home) as store:
        assert store.statistics().tasks == PICTURES
        assert len(list((home / "pictures").iterdir())) == PICTURES


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_export_that_is_stopped_blocks_nothing(photographs: Path, tmp_path: Path, how: signal.Signals) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    assert main(["import", str(photographs), "--home", str(home)]) == 0
    with AnnotationStore.open(home) as store:
        for task in list(store.tasks()):
            store.save(task.id, "Ada", corrected(np.ones((200, 300), dtype=bool)))
    command = ("export", "coco", str(out), "--home", str(home))
    process = started(*command)
    wait_for(lambda: out.is_dir() and len(list(out.rglob("*.png"))) > 5, process)
    process.send_signal(how)
    _, reported = process.communicate(timeout=120)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[how]
    assert "Traceback" not in reported
    assert out.exists() == (how is signal.SIGKILL)
    assert main(command) == 0
    assert sorted(path.name for path in out.iterdir()) == ["annotations", "images"]
    assert len(list(out.rglob("*.png"))) == PICTURES


def test_only_files_that_nobody_writes_any_more_are_removed(tmp_path: Path) -> None:
    (tmp_path / f"a.png.0123{PARTIAL}").write_bytes(b"what a killed process left")
    with whole_file(tmp_path / "b.png", lasting=True) as file:
        file.write(b"going on")
        remove_abandoned(tmp_path)
        assert [path.name[:5] for path in tmp_path.iterdir()] == ["b.png"]
    assert (tmp_path / "b.png").read_bytes() == b"going on"
    remove_abandoned(tmp_path / "not there")
