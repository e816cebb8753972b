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
from segr1_app.cli.predict import find_pictures
from segr1_app.settings.config import ASSETS
from segr1_app.studio.samples import find_samples
from tests.hostile.pictures import tiff_with_a_fraction

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


@pytest.mark.slow
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


def test_every_picture_of_a_folder_is_done_or_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "photographs", tmp_path / "out"
    folder.mkdir()
    picture = Image.open(find_samples()[0].path).convert("RGB")
    picture.save(folder / "first.jfif", "JPEG")
    (folder / "hostile.tiff").write_bytes(tiff_with_a_fraction())
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (folder / "folder.png").mkdir()
    picture.save(folder / "third.mpo", "MPO")
    assert main(["predict", str(folder), "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "2 of 4 pictures done" in printed.out
    hostile, phone = printed.err.splitlines()[-2:]
    assert "hostile.tiff' is damaged" in hostile
    assert "phone.heic' is not a picture that can be read" in phone
    assert {path.name.partition(".")[0] for path in out.iterdir()} == {"first", "third"}


def test_pictures_are_known_by_all_usual_endings(tmp_path: Path) -> None:
    names = {"a.avif", "b.heic", "c.JFIF", "d.jpe", "e.mpo", "f.tif", "g.webp", "h.PNG"}
    for name in names | {"notes.txt"}:
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert {path.name for path in find_pictures([tmp_path]).files} == names


def test_results_that_cannot_be_written_are_named_and_the_others_are_there(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "animal.mask.png").mkdir(parents=True)
    (out / "animal.png.overlay.png").symlink_to("/dev/full")
    Image.open(folder / "animal.jpg").save(folder / "broken.png")
    assert main(["predict", str(folder), "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "1 of 3 pictures done" in printed.out
    blocked, full = printed.err.splitlines()[-2:]
    assert blocked.startswith(f"{folder / 'animal.jpg'}: ")
    assert "animal.mask.png' cannot be written (Is a directory)" in blocked
    assert full.startswith(f"{folder / 'animal.png'}: ")
    assert "cannot be written (No space left on device)" in full
    assert (out / "broken.prediction.json").is_file()


def test_a_folder_of_one_picture_shows_the_progress_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.open(find_samples()[0].path).convert("RGB").save(folder / "animal.jpg")
    assert main(["predict", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "1/1" in capsys.readouterr().err


def test_one_picture_needs_no_progress_bar(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(folder / "animal.jpg"), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "1 of 1 pictures done" in printed.out
    assert "1/1" not in printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.jpg"], "absent.jpg"),
        (["."], "no pictures"),
        (["photo.jpg", "--instruction", " "], "instruction is empty"),
        (["photo.jpg", "--instruction", "Find the zebra."], "never taught 'zebra'"),
        (["photo.jpg", "--policy", "./nowhere"], "nowhere"),
        (["photo.jpg", "--segmenter", "nobody/none"], "nobody/none"),
        (["photo.jpg", "--out", "photo.jpg"], "photo.jpg"),
        (["photo.jpg", "--device", "cuda:7"], "cuda:7"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[0] != ".":
        Image.new("RGB", (40, 30), "teal").save("photo.jpg")
    assert main(["predict", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().endswith((".", ")"))


def test_help_is_quick_and_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["predict", "--help"])
    text = capsys.readouterr().out
    for option in ("PATH", "--instruction", "--out", "--home", "--policy", "--segmenter", "--device"):
        assert option in text
