"""``python -m segr1_app predict`` with the embedded models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segr1_app.cli import main
from segr1_app.config import ASSETS
from segr1_app.samples import find_samples

ROOT = ASSETS.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs of one stem, a broken one and a text."""
    target = tmp_path / "photographs"
    target.mkdir()
    sample = Image.open(find_samples()[0].path).convert("RGB")
    sample.save(target / "animal.jpg")
    sample.rotate(90).save(target / "animal.png")
    (target / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (target / "notes.txt").write_text("no picture")
    return target


def test_a_folder_goes_on_past_a_bad_file_and_names_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "deep"
    done = subprocess.run(
        [sys.executable, "-m", "segr1_app", "predict", str(folder), "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "2 of 3 pictures done" in done.stdout
    assert "broken.png" in done.stderr.splitlines()[-1]
    assert "3/3" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in out.iterdir()} == {
        f"animal{ending}.{kind}" for ending in ("", ".png") for kind in ("mask.png", "overlay.png", "prediction.json")
    }
    record = json.loads((out / "animal.prediction.json").read_text())
    mask = np.asarray(Image.open(out / "animal.mask.png"))
    assert mask.shape == (record["image_size"]["height"], record["image_size"]["width"])
    assert record["policy"] == "embedded policy"


def test_one_picture_needs_no_progress_bar(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(folder / "animal.jpg"), "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert "1 of 1 pictures done" in told.out
    assert "picture/s" not in told.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["absent.jpg"], "absent.jpg"),
        (["."], "no pictures"),
        (["photo.jpg", "--instruction", " "], "instruction is empty"),
        (["photo.jpg", "--policy", "./nowhere"], "nowhere"),
        (["photo.jpg", "--segmenter", "nobody/none"], "nobody/none"),
        (["photo.jpg", "--out", "photo.jpg"], "photo.jpg"),
        (["photo.jpg", "--device", "cuda:7"], "cuda:7"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[0] != ".":
        Image.new("RGB", (40, 30), "teal").save("photo.jpg")
    assert main(["predict", *arguments]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.strip().endswith((".", ")"))


def test_help_is_quick_and_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["predict", "--help"])
    text = capsys.readouterr().out
    for option in ("PATH", "--instruction", "--out", "--home", "--policy", "--segmenter", "--device"):
        assert option in text
