"""The page's imports, without a page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segr1_app.domain import StoreError
from segr1_app.store import AnnotationStore
from segr1_app.studio.cache_folder import SPARED_SECONDS, UPLOAD_SECONDS
from segr1_app.ui.handlers.imports import ImportHandlers
from tests.store.values import picture, rectangle


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnnotationStore]:
    with AnnotationStore.open(tmp_path / "home") as store:
        yield store


@pytest.fixture
def imports(store: AnnotationStore, tmp_path: Path) -> ImportHandlers:
    return ImportHandlers(store, tmp_path / "cache")


def upload(folder: Path, name: str, pixels: np.ndarray) -> str:
    """A file as gradio keeps it: in a folder of its own."""
    folder.mkdir(parents=True)
    Image.fromarray(pixels).save(folder / name)
    return str(folder / name)


def test_what_was_imported_is_kept_for_minutes(imports: ImportHandlers, tmp_path: Path) -> None:
    file = upload(tmp_path / "cache" / ("a" * 64), "a.png", picture(0).pixels)
    assert imports.add_pictures([file], "it")["added"] == 1
    assert 0 < UPLOAD_SECONDS - (time.time() - Path(file).stat().st_mtime) <= SPARED_SECONDS


def test_masks_come_with_the_pictures(imports: ImportHandlers, store: AnnotationStore, tmp_path: Path) -> None:
    cache, reports = tmp_path / "cache", []
    files = [upload(cache / "1", "a.png", picture(0).pixels), upload(cache / "2", "b.png", picture(1).pixels)]
    masks = [upload(cache / "3", "a.png", rectangle(0, 0, 9, 9)), upload(cache / "4", "c.png", rectangle(0, 0, 9, 9))]
    done = imports.add_pictures(files, "it", masks, on_progress=reports.append)
    summary = "New: 2 pictures, 2 tasks, 1 ground-truth mask, 0 boxes, 0 points; 0 duplicates; 1 record left out."
    assert done == {"added": 2, "summary": summary, "problems": ["c.png: there is no picture called c."]}, (
        "no folder of the server is named"
    )
    truth = store.ground_truth(picture(0).sha256, "it")
    assert truth is not None
    assert np.array_equal(truth, rectangle(0, 0, 9, 9))
    assert [(now.done, now.total, now.unit) for now in reports] == [(0, 2, "pictures"), (1, 2, "pictures")]


def test_what_was_not_uploaded_is_not_read(imports: ImportHandlers, tmp_path: Path) -> None:
    outside = upload(tmp_path / "outside", "a.png", picture(0).pixels)
    for files, masks in (([outside], []), ([], [outside]), ([f"{tmp_path}/cache/../outside/a.png"], [])):
        with pytest.raises(StoreError, match="is not an upload"):
            imports.add_pictures(files, "it", masks)


@pytest.mark.parametrize("rows", [0, -1, 10**9])
def test_rows_are_limited(imports: ImportHandlers, rows: int) -> None:
    with pytest.raises(StoreError, match="rows at a time"):
        imports.add_dataset("ada/nests", "it", rows)
