"""How commands handle data folders, folders of pictures, and a pipe that is closed early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from segr1_app.cli import main
from segr1_app.cli.predict import find_pictures
from segr1_app.domain import SettingsError
from segr1_app.files.ending import BROKEN_PIPE
from segr1_app.files.folders import walk
from segr1_app.settings.config import ASSETS
from segr1_app.store import AnnotationStore
from segr1_app.studio.samples import find_samples
from tests.disks import bound_by_permissions
from tests.store.values import corrected, picture, rectangle

ROOT = ASSETS.parent
ODD_NAMES = ("a#b", "c?d", "e%20f", "g h", "é松🐿")
READERS: dict[str, Sequence[str]] = {
    "stats": ["stats"],
    "verify": ["verify"],
    "export": ["export", "coco", "{out}"],
    "backup": ["backup", "{out}"],
}


def fill(home: Path) -> None:
    with AnnotationStore.open(home) as store:
        task = store.add_task(store.add_picture(picture(), "p.jpg"), "the cat")
        store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))


def arguments(command: str, out: Path, home: Path) -> list[str]:
    return [*(part.format(out=out) for part in READERS[command]), "--home", str(home)]


@pytest.mark.parametrize("command", [*READERS, "preannotate"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_mistyped_data_folder_is_refused_and_not_made(
    command: str, exists: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "segr"
    if exists:
        home.mkdir()
    given = [command, "--home", str(home)] if command == "preannotate" else arguments(command, tmp_path / "out", home)
    assert main(given) == 1
    printed = capsys.readouterr()
    assert f"There are no annotations in '{home}'" in printed.err
    assert "--home" in printed.err
    assert printed.out == ""
    assert list(tmp_path.rglob("*")) == ([home] if exists else [])


@pytest.mark.parametrize("command", READERS)
def test_a_data_folder_that_may_not_be_written_to_is_read(command: str, tmp_path: Path) -> None:
    home = tmp_path / "c?d#e%20"
    fill(home)
    entries = [home, *home.rglob("*")]
    for entry in entries:
        entry.chmod(entry.stat().st_mode & ~0o222)
    try:
        done = subprocess.run(
            [*bound_by_permissions(), "-m", "segr1_app", *arguments(command, tmp_path / "out", home)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for entry in entries:
            entry.chmod(entry.stat().st_mode | 0o200)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert set(home.rglob("*")) == set(entries[1:])
    if command == "backup":
        with AnnotationStore.open_existing(tmp_path / "out") as copy:
            assert [task.picture_name for task in copy.tasks()] == ["p.jpg"]
            assert list(copy.verify()) == []


def test_a_store_in_use_is_read_where_it_may_not_be_written_to(tmp_path: Path) -> None:
    home = tmp_path / "home"
    fill(home)
    with AnnotationStore.open(home) as store:
        store.add_task(store.add_picture(picture(1), "later.jpg"), "the cat")
        entries = [home, *home.iterdir()]
        for entry in entries:
            entry.chmod(entry.stat().st_mode & ~0o222)
        try:
            done = subprocess.run(
                [*bound_by_permissions(), "-m", "segr1_app", "stats", "--home", str(home)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            for entry in entries:
                entry.chmod(entry.stat().st_mode | 0o200)
    assert "1 of 2 tasks are decided." in done.stdout, done.stderr


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_of_data_folders_are_not_addresses(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / name / "home"
    fill(home)
    for command in READERS:
        assert main(arguments(command, tmp_path / name / command, home)) == 0
    for form in ("hf", "jsonl", "masks"):
        assert main(["export", form, str(tmp_path / name / form), "--home", str(home)]) == 0
        again = ["import", str(tmp_path / name / form), "--home", str(tmp_path / name / f"{form} home")]
        assert main(again) == 0, capsys.readouterr().err


def test_predicting_twice_into_the_folder_of_the_pictures_takes_no_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.open(find_samples()[0].path).convert("RGB").save(tmp_path / "animal.png")
    for number in range(2):
        assert main(["predict", str(tmp_path), "--out", str(tmp_path)]) == 0
        printed = capsys.readouterr()
        assert "1 of 1 pictures done" in printed.out
        assert ("2 masks and overlays of an earlier prediction" in printed.err) == (number == 1)
    assert len(list(tmp_path.iterdir())) == 4
    (tmp_path / "animal.png").unlink()
    with pytest.raises(SettingsError, match="2 masks and overlays of an earlier prediction"):
        find_pictures([tmp_path])


def test_one_rule_says_what_counts_in_a_folder(tmp_path: Path) -> None:
    for name in ("._a.jpg", ".thumbs/a.jpg", "__MACOSX/a.jpg", "Thumbs.db", "a.jpg", "below/b.jpg"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.jpg").touch()
    root = tmp_path / "root"
    (root / "file.jpg").symlink_to(tmp_path / "elsewhere" / "c.jpg")
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    (root / "circle").symlink_to(root)
    (root / "dead.jpg").symlink_to("nowhere.jpg")
    walked = walk(root, deep=True)
    assert [str(file.relative_to(root)) for file in walked.files] == ["a.jpg", "below/b.jpg", "dead.jpg", "file.jpg"]
    assert [link.name for link in walked.links] == ["circle", "folder"]
    assert walked.hidden == 4
    assert "4 hidden or system entries were left out." in walked.notes
    found = find_pictures([root])
    assert [file.name for file in found.files] == ["a.jpg", "dead.jpg", "file.jpg"]
    assert found.notes == ("4 hidden or system entries were left out.",)


@pytest.mark.parametrize("command", [["stats"], ["stats", "--json"], ["verify"], ["predict", "--help"]])
def test_output_that_is_read_no_further_ends_a_command_quietly(command: list[str], tmp_path: Path) -> None:
    fill(tmp_path)
    given = command if "--help" in command else [*command, "--home", str(tmp_path)]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "segr1_app", *given],
            cwd=ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    # Of a help text argparse itself ignores that it could not be written.
    assert (done.stderr, done.returncode) == ("", 0 if "--help" in command else BROKEN_PIPE)


def test_a_command_that_is_told_to_end_removes_its_temporary_files(tmp_path: Path) -> None:
    fill(tmp_path / "home")
    script = (
        "import os, signal, sys\n"
        "from segr1_app.cli import main\n"
        "from segr1_app.store import AnnotationStore\n"
        "AnnotationStore.revision = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments("export", out, tmp_path / "home")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr == ""
    assert not out.exists()
    assert main(arguments("export", out, tmp_path / "home")) == 0
    assert json.loads(next(out.rglob("instances_*.json")).read_text())["annotations"]
