"""Imports of archives with masks, archives of exports and datasets of the hub, and what is refused."""

from __future__ import annotations

import json
import stat
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from segr1_app.domain import DatasetError, Mask, SegR1Error
from segr1_app.geometry import encode_rle
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.coco_export import export_coco
from segr1_app.store.exchange.exporting import ExportReport
from segr1_app.store.exchange.hf_export import export_hf
from segr1_app.store.exchange.importing import import_hub, import_paths
from segr1_app.store.exchange.jsonl import export_jsonl
from segr1_app.store.exchange.mask_export import export_masks
from segr1_app.store.exchange.outcomes import IMPORTED, Outcome, Result
from tests.store.hub import Hub, serve_hub
from tests.store.values import corrected, picture, rectangle

MASK = rectangle(3, 3, 30, 25) & ~rectangle(8, 8, 14, 12)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures, and a mask."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed, name in enumerate("abc"):
        Image.fromarray(picture(seed).pixels).save(folder / f"{name}.png")
    Image.fromarray(MASK).save(folder / "mask.bmp")
    return folder


def packed(archive: Path, files: dict[str, Path]) -> Path:
    with zipfile.ZipFile(archive, "w") as made:
        for name, file in files.items():
            made.writestr(name, file.read_bytes())
    return archive


def truth(store: AnnotationStore, seed: int, instruction: str = "it") -> Mask | None:
    return store.ground_truth(picture(seed).sha256, instruction)


def taken(outcomes: Iterator[Outcome]) -> tuple[int, list[str]]:
    """How many were imported without comment, and the messages about the others."""
    reported = list(outcomes)
    return reported.count(IMPORTED), [
        each.message for each in reported if each.message and each.result is not Result.REMARK
    ]


def test_an_archive_brings_its_masks(store: AnnotationStore, pictures: Path, tmp_path: Path) -> None:
    mask = pictures / "mask.bmp"
    archive = packed(
        tmp_path / "pairs.zip",
        {
            "set/train/masks/x.bmp": mask,
            "set/train/images/x.png": pictures / "a.png",
            "set/val/images/x.png": pictures / "b.png",
            "y.png": pictures / "c.png",
            "masks/y.bmp": mask,
            "masks/z.bmp": mask,
        },
    )
    assert taken(import_paths(store, [archive], "it")) == (3, [f"{archive}:masks/z.bmp: there is no picture called z."])
    first, last = truth(store, 0), truth(store, 2)
    assert first is not None
    assert last is not None
    assert np.array_equal(first, MASK)
    assert np.array_equal(last, MASK)
    assert truth(store, 1) is None, "a mask of another folder is another picture's"
    assert [task.picture_name for task in store.tasks()] == ["x.png", "x.png", "y.png"]


def test_masks_come_as_files_beside_the_pictures(store: AnnotationStore, pictures: Path, tmp_path: Path) -> None:
    loose = tmp_path / "a.bmp"
    loose.write_bytes((pictures / "mask.bmp").read_bytes())
    more = packed(tmp_path / "masks.zip", {"whatever/b.bmp": pictures / "mask.bmp"})
    paths = [pictures / f"{name}.png" for name in "abc"]
    assert taken(import_paths(store, paths, "it", [loose, more])) == (3, [])
    assert [truth(store, seed) is not None for seed in range(3)] == [True, True, False]


@pytest.mark.parametrize("index", ["stem,other\nx,y\n", '"stem,instruction\nx', "\x80"])
def test_an_index_of_something_else_changes_nothing(
    store: AnnotationStore, pictures: Path, tmp_path: Path, index: str
) -> None:
    (tmp_path / "index.csv").write_bytes(index.encode("latin-1"))
    files = {"images/x.png": pictures / "a.png", "index.csv": tmp_path / "index.csv"}
    reported = [*import_paths(store, [packed(tmp_path / "a.zip", files)], "it")]
    assert reported[-1] == IMPORTED
    assert [
        "index.csv: its instructions are not used: it cannot be read" in each.message for each in reported[:-1]
    ] == ([True] if index == "\x80" else [])
    assert [task.instruction for task in store.tasks()] == ["it"]


def _as_coco(folder: Path, mask: Mask) -> Path:
    part = {"image_id": 1, "category_id": 1, "instruction": "it", "segmentation": encode_rle(mask)}
    images = [{"id": 1, "file_name": "a.png"}]
    content = {"images": images, "annotations": [part], "categories": [{"id": 1, "name": "x"}]}
    (folder / "coco.json").write_text(json.dumps(content))
    return folder / "coco.json"


def _as_masks(folder: Path, mask: Mask) -> Path:
    files = {name: folder / name for name in ("images/a.png", "masks/a.png")}
    for file in files.values():
        file.parent.mkdir(exist_ok=True)
    files["images/a.png"].write_bytes((folder / "a.png").read_bytes())
    Image.fromarray(mask).save(files["masks/a.png"])
    return packed(folder / "pairs.zip", files)


def _as_rows(folder: Path, mask: Mask) -> Path:
    Image.fromarray(mask).save(folder / "mask.png")
    image, truth = ({"bytes": (folder / f"{name}.png").read_bytes(), "path": None} for name in ("a", "mask"))
    parquet.write_table(pa.Table.from_pylist([{"image": image, "mask": truth}]), folder / "rows.parquet")
    return folder / "rows.parquet"


def _as_records(folder: Path, mask: Mask) -> Path:
    out = folder / f"store {mask.sum()}"
    with AnnotationStore.open(folder / f"home {mask.sum()}") as other:
        other.add_task(other.add_picture(picture(0), "a.png"), "it", mask)
        if not out.exists():
            export_jsonl(other, out)
    return out


@pytest.mark.parametrize("form", [_as_coco, _as_masks, _as_rows, _as_records])
def test_another_true_mask_in_place_of_one_is_reported(
    store: AnnotationStore, pictures: Path, form: Callable[[Path, Mask], Path]
) -> None:
    for _ in range(2):
        assert taken(import_paths(store, [form(pictures, MASK)], "it"))[1] == [], "the same mask replaces nothing"
    other = rectangle(0, 0, 4, 4)
    outcomes = list(import_paths(store, [form(pictures, other)], "it"))
    (reported,) = [outcome for outcome in outcomes if outcome.message]
    assert "its ground-truth mask replaced another one for 'it'" in reported.message
    assert reported.result is Result.IMPORTED
    now = truth(store, 0)
    assert now is not None
    assert np.array_equal(now, other)


@pytest.mark.parametrize("export", [export_coco, export_masks, export_hf, export_jsonl])
def test_an_archive_of_an_export_comes_back(
    store: AnnotationStore, tmp_path: Path, export: Callable[[AnnotationStore, Path], ExportReport]
) -> None:
    task = store.add_task(store.add_picture(picture(0), "sub/p.jpg"), "it", MASK)
    store.save(task.id, "ann", corrected(MASK))
    export(store, tmp_path / "out")
    folder = tmp_path / "out"
    files = {f"deep/{path.relative_to(folder)}": path for path in folder.rglob("*") if path.is_file()}
    with AnnotationStore.open(tmp_path / "other") as other:
        added, problems = taken(import_paths(other, [packed(tmp_path / "export.zip", files)], "unused"))
        assert (added > 0, problems) == (True, [])
        back = truth(other, 0)
        assert back is not None
        assert np.array_equal(back, MASK)
        assert list(other.verify()) == []


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "a/../../out.png", "..\\out.png", "C:/out.png"])
def test_an_archive_that_would_lead_out_of_itself_is_refused(
    store: AnnotationStore, pictures: Path, tmp_path: Path, name: str
) -> None:
    archive = packed(tmp_path / "bad.zip", {"good.png": pictures / "a.png", name: pictures / "b.png"})
    added, (reported,) = taken(import_paths(store, [archive, pictures / "c.png"], "it"))
    assert "refused, because its entry" in reported
    assert added == 1, "what came along is taken all the same"
    assert [task.picture_name for task in store.tasks()] == ["c.png"]


def test_an_archive_with_a_link_is_refused(store: AnnotationStore, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as made:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    assert "is a link" in str(taken(import_paths(store, [tmp_path / "bad.zip"], "it")))


def test_an_archive_that_unpacks_to_more_than_pictures_would_is_refused(
    store: AnnotationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segr1_app.store.exchange.archives.SMALL_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("bomb.png", bytes(2**22))
    assert "far more than pictures would" in str(taken(import_paths(store, [tmp_path / "bomb.zip"], "it")))


def test_a_damaged_archive_says_so_and_the_rest_is_imported(
    store: AnnotationStore, pictures: Path, tmp_path: Path
) -> None:
    archive = packed(tmp_path / "bad.zip", {"a.png": pictures / "a.png", "note.json": pictures / "b.png"})
    content = bytearray(archive.read_bytes())
    content[60] ^= 255
    archive.write_bytes(content)
    added, (reported,) = taken(import_paths(store, [archive, pictures / "c.png"], "it"))
    assert "bad.zip:a.png: it cannot be read" in reported
    assert added == 1


@pytest.fixture
def hub(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A dataset of three rows, a gated one, one that the hub converted, one with other columns, one with nothing."""
    content = [(pictures / f"{name}.png").read_bytes() for name in "abc"]
    rows = [{"image": {"bytes": each, "path": None}, "mask": None, "other": 1} for each in content]
    rows[0]["mask"] = {"bytes": (pictures / "mask.bmp").read_bytes(), "path": None}
    folders = {name: tmp_path / name for name in ("rows", "other", "plain")}
    for folder in folders.values():
        (folder / "data").mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), folders["rows"] / "data" / "train.parquet", row_group_size=1)
    parquet.write_table(pa.table({"photo": [1], "text": ["a"]}), folders["other"] / "data" / "train.parquet")
    (folders["plain"] / "README.md").write_text("nothing here")
    # The other tests must not reach the network, and say so before the library is imported.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serve_hub() as served:
        served.folders = {
            "ada/nests@main": folders["rows"],
            "ada/gated@main": folders["rows"],
            "ada/other@main": folders["other"],
            "ada/plain@main": folders["plain"],
            "ada/converted@main": folders["plain"],
            "ada/converted@refs/convert/parquet": folders["rows"],
        }
        served.gated = {"ada/gated"}
        yield served


@pytest.mark.parametrize("dataset", ["ada/nests", "ada/converted"])
def test_a_dataset_of_the_hub_is_imported_by_its_id(store: AnnotationStore, hub: Hub, dataset: str) -> None:
    assert taken(import_hub(store, dataset, "it", rows=2, token=False, endpoint=hub.url)) == (2, [])
    first = truth(store, 0)
    assert first is not None
    assert np.array_equal(first, MASK)
    assert [task.sha256 for task in store.tasks()] == [picture(0).sha256, picture(1).sha256]
    assert not any("README" in asked for asked in hub.asked)


@pytest.mark.parametrize(
    ("dataset", "reported"),
    [
        ("ada/nobody", "The hub has no dataset 'ada/nobody'"),
        ("ada/gated", "The dataset 'ada/gated' is gated"),
        ("ada/other", "has no column image, only photo, text"),
        ("ada/plain", "holds neither Parquet files nor pictures"),
        ("train/../configs", "is not a dataset's id"),
        ("/etc", "is not a dataset's id"),
        ("ada/a..b", "is not a dataset's id"),
        ("", "is not a dataset's id"),
    ],
)
def test_an_unavailable_dataset_says_why(store: AnnotationStore, hub: Hub, dataset: str, reported: str) -> None:
    with pytest.raises(DatasetError, match=reported):
        list(import_hub(store, dataset, "it", rows=2, token=False, endpoint=hub.url))
    assert list(store.tasks()) == []


def test_what_cannot_even_be_asked_says_so(store: AnnotationStore) -> None:
    with pytest.raises(DatasetError, match="works offline"):
        list(import_hub(store, "ada/nests", "it", rows=2, token=False))
    with pytest.raises(SegR1Error, match="instruction"):
        list(import_hub(store, "ada/nests", " ", rows=2, token=False))


@pytest.mark.slow
def test_without_a_network_there_is_one_sentence(store: AnnotationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # The library tries several times, with pauses.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(DatasetError, match="The hub cannot be reached"):
        list(import_hub(store, "ada/nests", "it", rows=2, token=False, endpoint="http://127.0.0.1:9"))


def test_coco_is_read_in_bounded_memory(store: AnnotationStore, pictures: Path) -> None:
    peaks = []
    segment = [[float(place % 30) for place in range(40)]]
    for number in (100, 1600):
        # All but one belong to a picture that is not there: it is the file that is measured.
        content = {
            "images": [{"id": 99, "file_name": "nowhere.png"}, {"id": 0, "file_name": "a.png"}],
            "annotations": [{"image_id": 99, "category_id": 1, "segmentation": segment}] * number
            + [{"image_id": 0, "category_id": 1, "segmentation": [[3, 3, 9, 3, 9, 9]]}],
            "categories": [{"id": 1, "name": "nest"}],
        }
        (pictures / "coco.json").write_text(json.dumps(content))
        tracemalloc.start()
        assert taken(import_paths(store, [pictures / "coco.json"], "unused"))[0] == 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert truth(store, 0, "Identify and segment the nest.") is not None
    # Sixteen times as many annotations; gathered, they would take megabytes more.
    assert peaks[1] < 1.5 * peaks[0]
