"""What is held in memory of the pictures that people work on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segr1_app.domain import ObjectMask, PictureError
from segr1_app.store import AnnotationStore
from segr1_app.studio.previews import RecentPictures
from segr1_app.studio.sessions import CanvasSession, CanvasSessions
from tests.store.values import picture, prediction


def test_a_picture_that_many_ask_for_at_once_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AnnotationStore.open(tmp_path) as store:
        sha256 = store.add_picture(picture(), "photo.png")
        read, all_ask, reads = store.picture, threading.Barrier(8), []

        def counted(name: str) -> object:
            reads.append(name)
            return read(name)

        monkeypatch.setattr(store, "picture", counted)
        recent = RecentPictures(store)

        def ask(_: int) -> object:
            all_ask.wait()
            return recent.get(sha256)

        with ThreadPoolExecutor(8) as pool:
            assert len({id(found) for found in pool.map(ask, range(8))}) == 1
    assert reads == [sha256]


def test_masks_count_as_memory_like_pictures() -> None:
    bare = CanvasSession(picture())
    size = bare.picture.size
    masks = tuple(ObjectMask(np.zeros((size.height, size.width), dtype=bool), 0.5) for _ in range(30))
    covered = replace(bare, prediction=replace(prediction(), masks=masks))
    assert covered.nbytes > 10 * bare.nbytes
    sessions = CanvasSessions(memory=2 * covered.nbytes)
    keys = [sessions.begin(covered) for _ in range(3)]
    assert sessions.get(keys[2]) is covered
    with pytest.raises(PictureError, match="expired"):
        sessions.get(keys[0])
    tiny = CanvasSessions(memory=1)
    assert tiny.get(tiny.begin(covered)) is covered
