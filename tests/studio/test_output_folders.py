"""Downloads and previews on a full disk: one sentence, and no incomplete file is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from segr1_app.domain import StoreFullError
from segr1_app.studio.output_folders import new_downloads
from segr1_app.studio.previews import preview_of
from tests.disks import files_no_larger_than
from tests.store.values import picture


def test_a_download_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    with new_downloads(tmp_path, "run-") as made:
        (made / "mask.png").write_bytes(bytes(2000))
    assert list(tmp_path.iterdir()) == [made]
    with files_no_larger_than(1000):
        with pytest.raises(StoreFullError, match="free some disk space"), new_downloads(tmp_path, "run-") as failed:
            (failed / "mask.png").write_bytes(bytes(2000))
        with pytest.raises(StoreFullError, match="free some disk space"):
            preview_of(picture(), tmp_path)
    assert list(tmp_path.iterdir()) == [made]
    assert preview_of(picture(), tmp_path).stat().st_size > 1000
