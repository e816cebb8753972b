"""Files that many processes write at once: a reader always sees one complete version."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from segr1_app.files.atomic import PARTIAL, remove_partial, whole_file, whole_folder, whole_path
from segr1_app.files.json_files import read_json, write_json
from segr1_app.settings.promotion import PROMOTED_FILES, promote

WRITES, THREADS, PROCESSES = 300, 3, 6


def test_json_file_survives_three_threads_of_300_writes(tmp_path: Path) -> None:
    path, failures = tmp_path / "process.json", []

    def write(number: int) -> None:
        for turn in range(WRITES):
            try:
                write_json(path, {"by": number, "turn": turn, "filling": "x" * 2000})
                assert read_json(path)["filling"] == "x" * 2000
            except Exception as error:  # noqa: BLE001 - counted, whatever it is
                failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert read_json(path)["turn"] == WRITES - 1
    assert [file.name for file in tmp_path.iterdir()] == ["process.json"]


def test_json_file_survives_six_processes(tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    program = (
        "import sys; from pathlib import Path; from segr1_app.files.json_files import write_json\n"
        "for turn in range(50): write_json(Path(sys.argv[1]), {'by': int(sys.argv[2]), 'filling': 'x' * 2000})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, path, str(number)]) for number in range(PROCESSES)]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            assert read_json(path)["filling"] == "x" * 2000
    assert [writer.returncode for writer in writers] == [0] * PROCESSES
    assert [file.name for file in tmp_path.iterdir()] == ["process.json"]


def test_nothing_is_left_of_a_file_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with suppress(ZeroDivisionError), whole_file(path, lasting=True) as file:
        file.write(b"half of it")
        raise ZeroDivisionError
    with pytest.raises(TypeError):
        write_json(path, {"not": object()})
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_files_have_the_permissions_of_any_new_file_unless_they_are_private(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_json(tmp_path / "shared.json", {})
        write_json(tmp_path / "own.json", {}, private=True)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"shared.json": 0o644, "own.json": 0o600}


def test_writers_that_open_files_by_name_get_one(tmp_path: Path) -> None:
    with whole_path(tmp_path / "weights", lasting=False) as partial:
        assert partial.parent == tmp_path
        assert partial.suffix == PARTIAL
        partial.write_bytes(b"weights")
        assert not (tmp_path / "weights").exists()
    assert (tmp_path / "weights").read_bytes() == b"weights"


def test_promotions_of_many_threads_leave_a_list(tmp_path: Path) -> None:
    threads = [threading.Thread(target=promote, args=(tmp_path, "policy", f"policy-{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads((tmp_path / PROMOTED_FILES["policy"]).read_text())[-1].startswith("policy-")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    with suppress(ZeroDivisionError), whole_folder(folder) as partial:
        (partial / "weights").write_bytes(b"half of them")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with whole_folder(folder) as partial:
        (partial / "weights").write_bytes(b"weights")
        assert not folder.exists()
    assert (folder / "weights").read_bytes() == b"weights"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_another_writer_finished_stays(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    theirs = whole_folder(folder)
    (theirs.__enter__() / "file").write_bytes(b"theirs")
    with ExitStack() as mine:
        (mine.enter_context(whole_folder(folder)) / "file").write_bytes(b"mine")
        theirs.__exit__(None, None, None)
        with pytest.raises(FileExistsError):
            mine.close()
    assert (folder / "file").read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [folder]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from segr1_app.files.atomic import whole_file, whole_folder\n"
        "path = Path(sys.argv[1])\n"
        "with whole_folder(path) as folder, whole_file(path, lasting=False):\n"
        "    (folder / 'weights').write_bytes(b'half'); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "a[1]"], check=False)
    others = [tmp_path / "a1", tmp_path / "a[1].json", tmp_path / "a[1]x.part"]
    for other in others:
        other.write_bytes(b"")
    assert len(list(tmp_path.iterdir())) == 5
    remove_partial(tmp_path / "a[1]")
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_an_interruption_before_the_first_byte_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fcntl, "flock", interrupted)
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "weights", lasting=False):
        pytest.fail("nothing is written")
    assert list(tmp_path.iterdir()) == []
