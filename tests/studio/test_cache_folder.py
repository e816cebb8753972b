"""The folder of uploads and downloads stays small, and nothing in use is deleted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from segr1_app.studio.cache_folder import (
    HOUR,
    KEPT_SECONDS,
    SPARED_SECONDS,
    UPLOAD_SECONDS,
    CacheFolder,
    folder_bytes,
    in_use,
    keep_upload,
    release_upload,
)


def put(folder: Path, name: str, age: float, size: int = 10) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(size))
    for path in (file, file.parent) if file.parent != folder else (file,):
        os.utime(path, (1e6 - age, 1e6 - age))
    return file


def test_what_is_old_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, clock=lambda: 1e6)
    old_upload = put(tmp_path, f"{'a' * 64}/a.png", UPLOAD_SECONDS + 1)
    new_upload = put(tmp_path, f"{'b' * 64}/b.png", HOUR)
    imported = put(tmp_path, f"{'c' * 64}/c.zip", 10 * HOUR)
    old_run = put(tmp_path, "run-x/mask.png", KEPT_SECONDS + 1)
    new_run = put(tmp_path, "run-y/mask.png", 3 * HOUR)
    preview = put(tmp_path, f"{'d' * 64}.jpg", 3 * HOUR)
    with in_use([imported]):
        folder.sweep()
        assert [path.exists() for path in (old_upload, new_upload, imported)] == [False, True, True]
        assert [path.exists() for path in (old_run, new_run, preview)] == [False, True, True]
    folder.sweep()
    assert not imported.parent.exists()
    folder.close()


def test_an_upload_goes_soon_after_it_was_imported_unless_it_is_used_again(tmp_path: Path) -> None:
    imported, shown, other = (put(tmp_path, f"{name * 64}/a.png", 0) for name in "abc")
    download = put(tmp_path, "run-x/mask.png", 0)
    for path in (imported, shown, download):
        release_upload(path)
    keep_upload(shown)
    keep_upload(other)
    assert download.stat().st_mtime == 1e6
    now = time.time()
    for after, left in ((SPARED_SECONDS - 60, [True, True, True]), (SPARED_SECONDS + 60, [False, True, True])):
        folder = CacheFolder(tmp_path, clock=lambda after=after: now + after)
        folder.sweep()
        folder.close()
        assert [path.exists() for path in (imported, shown, other)] == left


def test_of_too_much_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.studio.cache_folder.MAX_BYTES", 20_000)
    files = [put(tmp_path, f"run-{age}/mask.png", age, size=4_000) for age in (4 * HOUR, 3 * HOUR, 60)]
    folder = CacheFolder(tmp_path, clock=lambda: 1e6)
    folder.sweep()
    assert [file.exists() for file in files] == [False, True, True]
    folder.close()


def test_a_start_clears_it_unless_another_process_is_there(tmp_path: Path) -> None:
    left = put(tmp_path, "run-x/mask.png", 0)
    one = CacheFolder(tmp_path)
    one.start()
    assert not left.exists()
    mine = put(tmp_path, "run-y/mask.png", 0)
    other = CacheFolder(tmp_path)
    other.start()
    assert mine.exists()
    one.close()
    other.close()
    third = CacheFolder(tmp_path)
    third.start()
    assert not mine.exists()
    third.close()
    assert folder_bytes(tmp_path) < 10_000
