"""A database whose files are deleted or replaced while it is open: no save is acknowledged that is not stored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from segr1_app.domain import StoreError
from segr1_app.store import AnnotationStore
from tests.store.values import corrected, picture, rectangle


@pytest.mark.parametrize("gone", ["segr1.db", "segr1.db-wal"])
def test_a_save_into_a_deleted_file_is_refused(tmp_path: Path, gone: str) -> None:
    with AnnotationStore.open(tmp_path) as store:
        task = store.add_task(store.add_picture(picture(), "photo.png"), "the cat")
        first = store.save(task.id, "Ada", corrected(rectangle(1, 1, 9, 9)))
        (tmp_path / gone).unlink()
        with pytest.raises(StoreError, match="was deleted or replaced while it was open, so nothing was saved"):
            store.save(task.id, "Ada", corrected(rectangle(1, 1, 5, 5)), parent_id=first.id)
        with pytest.raises(StoreError, match="deleted or replaced"):
            store.statistics()


@pytest.mark.parametrize("gone", ["segr1.db", "segr1.db-wal"])
def test_the_first_save_into_a_deleted_file_is_refused(tmp_path: Path, gone: str) -> None:
    with AnnotationStore.open(tmp_path) as store:
        sha256 = store.add_picture(picture(), "photo.png")
    with AnnotationStore.open_existing(tmp_path) as store:
        (tmp_path / gone).unlink()
        with pytest.raises(StoreError, match="deleted or replaced"):
            store.add_task(sha256, "the cat")


def test_a_save_into_a_moved_folder_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "data"
    with AnnotationStore.open(home) as store:
        sha256 = store.add_picture(picture(), "photo.png")
        home.rename(tmp_path / "moved")
        with pytest.raises(StoreError, match="deleted or replaced"):
            store.add_task(sha256, "the cat")
        # Another store in its place is not the one that is open.
        with AnnotationStore.open(home) as other:
            other.add_picture(picture(), "photo.png")
        with pytest.raises(StoreError, match="deleted or replaced"):
            store.add_task(sha256, "the cat")


def test_a_save_into_a_replaced_file_is_refused(tmp_path: Path) -> None:
    with AnnotationStore.open(tmp_path) as store:
        store.add_picture(picture(), "photo.png")
        shutil.copyfile(tmp_path / "segr1.db", tmp_path / "copy")
        (tmp_path / "copy").replace(tmp_path / "segr1.db")
        with pytest.raises(StoreError, match="deleted or replaced"):
            store.add_picture(picture(), "photo.png")
