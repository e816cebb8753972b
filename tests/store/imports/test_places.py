"""Sources of imports: addresses that fsspec opens, instructions next to pictures, HEIC, brushes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import ipc

from segr1_app.domain import ImageSize
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.importing import import_paths
from segr1_app.store.exchange.outcomes import ImportReport
from segr1_app.store.exchange.readers.brush_runs import decode_brush
from tests.store.imports.files import (
    CAT,
    MASK,
    PLACE,
    annotation,
    bring,
    coco,
    corners,
    draw,
    image,
    instructions,
    truths,
    write_json,
)
from tests.store.imports.test_pairing import draw_mask
from tests.store.imports.test_readers import pack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    draw(folder / "images" / "a.png")
    write_json(folder / "annotations" / "instances.json", coco([image()], [annotation([corners(*PLACE)])]))
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(folder: Path) -> Iterator[str]:
    pack(folder, "zip").rename(folder / "in.zip")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def from_address(store: AnnotationStore, address: str) -> ImportReport:
    account = ImportReport()
    for _ in import_paths(store, [address], "it", report=account):
        pass
    return account


def test_a_folder_at_an_address_is_imported(store: AnnotationStore, folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in folder.rglob("*"):
        if path.is_file():
            memory.pipe(f"/segr1-test/{path.relative_to(folder)}", path.read_bytes())
    assert from_address(store, "memory://segr1-test").left_out == []
    ((key, mask),) = truths(store).items()
    assert key == ("a.png", CAT)
    assert np.array_equal(mask, MASK)


def test_an_archive_at_an_address_is_imported(store: AnnotationStore, served: str) -> None:
    pytest.importorskip("aiohttp")
    assert from_address(store, f"{served}/in.zip").left_out == []
    assert np.array_equal(truths(store)["a.png", CAT], MASK)
    (reported,) = from_address(store, f"{served}/nothing.zip").left_out
    assert reported == f"There are no files at {served}/nothing.zip, or it cannot be reached."


class _Failing(_Quiet):
    """Refuses, or breaks off in the middle of a file."""

    def do_GET(self) -> None:
        if "cut" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"PK")
        else:
            self.send_error(500)

    do_HEAD = do_GET  # noqa: N815 - the name that the server calls


@pytest.mark.parametrize("name", ["refused.zip", "refused/", "cut.zip"])
def test_a_server_that_fails_is_named(store: AnnotationStore, name: str) -> None:
    pytest.importorskip("aiohttp")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{name}"
        (reported,) = from_address(store, address).left_out
        server.shutdown()
    assert f"{address} cannot be read" in reported


@pytest.mark.parametrize(
    ("module", "address"), [("aiohttp", "https://example.org/set.zip"), ("s3fs", "s3://bucket/set")]
)
def test_the_package_that_an_address_needs_is_named(
    store: AnnotationStore, monkeypatch: pytest.MonkeyPatch, module: str, address: str
) -> None:
    monkeypatch.setattr(sys.modules["fsspec.registry"], "_registry", {})
    for name in ("fsspec.implementations.http", module):
        monkeypatch.setitem(sys.modules, name, None)
    (reported,) = from_address(store, address).left_out
    assert module in reported
    assert "need these packages" in reported


def test_an_address_without_its_package_says_so(store: AnnotationStore) -> None:
    (reported,) = from_address(store, "nosuch://bucket/set").left_out
    assert "nosuch" in reported


def test_instructions_beside_pictures_are_asked(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    draw(folder / "images" / "a.png")
    (folder / "masks").mkdir()
    Image.fromarray(MASK).save(folder / "masks" / "a.png")
    write_json(folder / "instructions.json", {"a": "Segment the left cup.", "b": 7})
    account = bring(store, folder)
    assert np.array_equal(truths(store)["a.png", "Segment the left cup."], MASK)
    assert "the instruction of b is not used" in account.left_out[0]


def test_a_heic_picture_is_read_where_its_package_is_installed(store: AnnotationStore, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    heif.from_pillow(Image.fromarray(pixels)).save(tmp_path / "phone.heic", quality=90)
    account = bring(store, tmp_path / "phone.heic")
    assert (account.pictures, account.left_out) == (1, [])


def test_a_brush_of_label_studio_is_read() -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    runs = brush.mask2rle(MASK.astype(np.uint8) * 255)
    assert np.array_equal(decode_brush([int(value) for value in runs], ImageSize(64, 48)), MASK)


@pytest.mark.parametrize("runs", [[], [0, 0, 48, 0], [1] * 40, "runs", [300, 2], None, [0, 0, 48, 0, 57, 27, 255, 6]])
def test_a_brush_that_is_cut_off_is_refused(runs: object) -> None:
    with pytest.raises(ValueError, match="its brush"):
        decode_brush(runs, ImageSize(64, 48))


def test_a_bad_line_of_metadata_is_named_and_the_rest_is_imported(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for seed, name in enumerate("abc"):
        draw(folder / f"{name}.png", seed)
    draw_mask(folder / "b_mask.png")
    lines = [
        '{"file_name": "a.png"}',
        "{broken",
        '{"file_name": "b.png", "mask": "b_mask.png", "instruction": "it"}',
        "[]",
    ]
    (folder / "metadata.jsonl").write_text("\n".join([*lines, '{"file_name": "c.png"}']))
    account = bring(store, folder)
    assert account.pictures == 3
    assert account.truths == 1, "a column that the first line lacks is read, too"
    first, second = account.left_out
    assert first.startswith(f"{folder}/metadata.jsonl line 2 is left out: it is not JSON")
    assert second == f"{folder}/metadata.jsonl line 4 is left out: it is not an object with columns."


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_both_kinds_of_arrow_files_are_read(store: AnnotationStore, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "in"
    content = draw(tmp_path / "a.png").read_bytes()
    folder.mkdir()
    table = pa.table({"image": [content], "instruction": ["Who purrs?"]})
    with (folder / "data.arrow").open("wb") as target:
        open_writer = ipc.new_stream if kind == "stream" else ipc.new_file
        with open_writer(target, table.schema) as writer:
            writer.write_table(table)
    assert bring(store, folder).left_out == []
    assert [words for _, words in instructions(store)] == ["Who purrs?"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_labels_of_yolo_come_in_any_encoding(store: AnnotationStore, tmp_path: Path, encoding: str) -> None:
    folder = tmp_path / "in"
    draw(folder / "a.png")
    (folder / "a.txt").write_bytes("0 0.1 0.1 0.6 0.1 0.6 0.6\r\n".encode(encoding))
    (folder / "data.yaml").write_text("names: [cat]\n")
    assert bring(store, folder).truths == 1


def test_a_list_of_classes_that_cannot_be_read_is_named(store: AnnotationStore, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    draw(folder / "a.png")
    (folder / "a.txt").write_text("0 0.1 0.1 0.6 0.1 0.6 0.6\n")
    (folder / "data.yaml").write_text("names: [cat\n")
    assert "have no names (data.yaml cannot be read)" in bring(store, folder).left_out[-1]
