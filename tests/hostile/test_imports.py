"""Imports of files that no tool writes give one sentence and status 1, no crash, and bounded memory."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from segr1_app.cli.main import main
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.readers import arrow_child, arrow_rows
from tests.store.values import picture


def png() -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture().pixels).save(content, "PNG")
    return content.getvalue()


def coco(segmentation: str = "[[1,1,9,1,9,9]]", more: str = "") -> bytes:
    return (
        '{"images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}], '
        '"categories": [{"id": 1, "name": "cat"}], "annotations": [{"id": 1, "image_id": 1, "category_id": 1, '
        f'"segmentation": {segmentation}{more}}}]}}'
    ).encode()


def runs(counts: str) -> str:
    return f'{{"size": [30, 40], "counts": {counts}}}'


LONG, DEEP = "9" * 5000, 20_000
HOSTILE_COCO: dict[str, bytes] = {
    "an integer of 5,000 digits": coco(more=f', "area": {LONG}'),
    "an integer of 5,000 digits first": f'{{"x": {LONG}, "images": [], "annotations": []}}'.encode(),
    "an id of 5,000 digits": coco().replace(b'"id": 1', f'"id": {LONG}'.encode()),
    "nested lists": coco("[" * DEEP + "]" * DEEP),
    "nested objects": coco('{"a":' * DEEP + "1" + "}" * DEEP),
    "100,000 brackets": b"[" * 100_000,
    "runs of 1e300": coco(runs("[1e300]")),
    "negative runs": coco(runs("[-5, 1205]")),
    "runs that do not add up": coco(runs("[5, 5]")),
    "runs that overflow": coco(runs(f"[{2**63 - 1}, {2**63 - 1}, 1202]")),
    "runs of text": coco(runs('["a"]')),
    "runs of booleans": coco(runs("[true]")),
    "compressed runs past the end": coco(runs('"0000"')),
    "compressed runs of other characters": coco(runs('"\\u0000\\u00ff"')),
    "no runs": coco(runs("null")),
    "a size of 10**9": coco('{"size": [1000000000, 1000000000], "counts": [0]}'),
    "coordinates of 1e308": coco("[[1e308, 1, -1e308, 9, 9, 1e308]]"),
    "coordinates of 1e400": coco("[[1e400, 1, 2, 9, 9, 3]]"),
    "a text for a polygon": coco('"polygon"'),
    "half a file": coco()[:-40],
    "NUL": coco().replace(b"cat", b"c\\u0000at")[:-1],
}


@pytest.mark.parametrize("content", HOSTILE_COCO.values(), ids=HOSTILE_COCO)
def test_a_hostile_coco_file_is_refused_in_words(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("annotations.json", content)
        packed.writestr("a.png", png())
    refused(archive, tmp_path, capsys)


def test_the_385_bytes_that_killed_the_process(tmp_path: Path) -> None:
    archive = tmp_path / "killer.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.json", f'{{"images": [{LONG}], "annotations": [], "categories": []}}')
    done = subprocess.run(
        [sys.executable, "-m", "segr1_app", "import", archive, "--home", tmp_path / "home"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "digits" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def _names(*entries: tuple[str, bytes, int]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content, mode in entries:
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(info, content)

    return write


def _truncated(path: Path) -> None:
    _names(("a.png", png(), 0o644))(path)
    path.write_bytes(path.read_bytes()[:-30])


def _encrypted(path: Path) -> None:
    _names(("a.png", png(), 0o644))(path)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(mark) + offset
        content[place : place + 2] = struct.pack("<H", 1)
    path.write_bytes(content)


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(3):
            with packed.open(f"{number}.png", "w", force_zip64=True) as file:
                for _ in range(400):
                    file.write(bytes(2**20))


ARCHIVES: dict[str, Callable[[Path], None]] = {
    "an absolute name": _names(("/etc/passwd.png", png(), 0o644)),
    "a name that leads out": _names(("../../a.png", png(), 0o644)),
    "a Windows name": _names(("..\\a.png", png(), 0o644), ("C:/a.png", png(), 0o644)),
    "a link": _names(("a.png", b"/etc/passwd", 0o120777)),
    "half of it": _truncated,
    "a password": _encrypted,
    "a bomb": _bomb,
    "none": lambda path: path.write_bytes(b"PK\x05\x06"),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("write", ARCHIVES.values(), ids=ARCHIVES)
def test_a_hostile_archive_is_refused_in_words(
    write: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "export.zip")
    refused(tmp_path / "export.zip", tmp_path, capsys)


TABLES: dict[str, dict[str, list[Any]]] = {
    "no bytes": {"image": [{"bytes": None, "path": None}]},
    "a text for a picture": {"image": ["a.png"]},
    "numbers for pictures": {"image": [1]},
    "lists for pictures": {"image": [[1, 2]]},
    "a path of this machine": {"image": [{"bytes": None, "path": "/etc/passwd"}]},
    "a damaged picture": {"image": [{"bytes": b"x", "path": None}]},
    "a number for an instruction": {"image": [{"bytes": png(), "path": None}], "instruction": [2**62]},
    "a text for a mask": {"image": [{"bytes": png(), "path": None}], "mask": ["x"]},
}


@pytest.mark.parametrize("columns", TABLES.values(), ids=TABLES)
def test_a_hostile_table_is_read_without_a_crash(
    columns: dict[str, list[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    main(["import", str(tmp_path / "data.parquet"), "--home", str(tmp_path / "home")])
    printed = "".join(capsys.readouterr())
    assert "Traceback" not in printed
    assert "root:" not in printed


def imported(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and output of an import of one file."""
    status = main(["import", str(tmp_path / name), "--home", str(tmp_path / "home")])
    return status, "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("died_of", "words"),
    [
        ("import os; os.abort()", "fails within Arrow"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "fails within Arrow"),
        ("print('[\"row\", {')", "cannot be read to its end"),
        ("raise SystemExit('the footer is odd')", "the footer is odd"),
    ],
)
def test_a_table_that_crashes_what_reads_it_is_refused(
    died_of: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = tmp_path / "crashing.py"
    crashing.write_text(died_of, encoding="utf-8")
    monkeypatch.setattr(arrow_child, "__file__", str(crashing))
    pq.write_table(pa.table({"image": [png()]}), tmp_path / "data.parquet")
    status, printed = imported(tmp_path, "data.parquet", capsys)
    assert status == 1
    assert words in printed


def test_a_table_that_grows_beyond_bounds_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow_rows, "MOST_BYTES", 900 * 2**20)
    pq.write_table(pa.table({"image": [bytes(300 * 2**20)]}), tmp_path / "data.parquet", compression="zstd")
    assert (tmp_path / "data.parquet").stat().st_size < 2**20
    status, printed = imported(tmp_path, "data.parquet", capsys)
    assert status == 1
    assert "it takes too much memory" in printed


@pytest.mark.parametrize(
    "line", [b"[" * 50_000, b'{"file_name": "a.png", "x": ' + b"9" * 5000 + b"}", b'{"file_name": NaN}', b"\xff"]
)
def test_a_hostile_line_of_metadata_is_refused_in_words(
    line: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(png())
    (tmp_path / "set" / "metadata.jsonl").write_bytes(line)
    status, printed = imported(tmp_path, "set", capsys)
    assert status == 1
    assert "line 1 is left out" in printed or "save it as UTF-8" in printed


LINES: dict[str, bytes] = {
    "50,000 brackets": b"[" * 50_000,
    "a long integer": b'{"table": ' + LONG.encode() + b"}",
    "no object": b"7",
    "NaN": b'{"table": "tasks", "created_at": NaN}',
    "one name twice": b'{"table": "tasks", "table": "choices"}',
    "a list for a name": b'{"table": "pictures", "sha256": "' + b"a" * 64 + b'", "name": [], "width": 1, "height": 1}',
    "a path": b'{"table": "pictures", "sha256": "../../etc/passwd"}',
    "no UTF-8": b'{"table": "\xff"}',
    "a lone surrogate": b'{"table": "\\ud800"}',
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_hostile_line_keeps_no_other_out(line: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with AnnotationStore.open(tmp_path / "source") as store:
        store.add_task(store.add_picture(picture(), "photo.jpg"), "the cat")
    assert main(["export", "jsonl", str(tmp_path / "out"), "--home", str(tmp_path / "source")]) == 0
    file = tmp_path / "out" / "store.jsonl"
    file.write_bytes(line + b"\n" + file.read_bytes())
    capsys.readouterr()
    assert main(["import", str(file), "--home", str(tmp_path / "home")]) == 1
    printed = "".join(capsys.readouterr())
    assert "Traceback" not in printed
    assert max(map(len, printed.splitlines())) < 600
    with AnnotationStore.open(tmp_path / "home") as store:
        assert store.statistics().tasks == 1
        assert list(store.verify()) == []


def refused(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(path), "--home", str(tmp_path / "home")]) == 1
    printed = "".join(capsys.readouterr())
    assert printed.strip()
    assert "Traceback" not in printed
    assert max(map(len, printed.splitlines())) < 600
    with AnnotationStore.open(tmp_path / "home") as store:
        assert list(store.verify()) == []
        json.dumps([task.instruction for task in store.tasks()])
