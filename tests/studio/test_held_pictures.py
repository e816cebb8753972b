"""What is held in memory of the pictures that people work on."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segr1_app.domain import ObjectMask, PictureError, StoreError
from segr1_app.geometry import encode_rle
from segr1_app.images.pictures import picture_from_array
from segr1_app.store import AnnotationStore, rows
from segr1_app.studio import previews
from segr1_app.studio.previews import RecentPictures, preview_of
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
    masked = [
        replace(
            covered,
            picture=picture_from_array(bare.picture.pixels),
            prediction=replace(prediction(), masks=tuple(replace(each, mask=each.mask.copy()) for each in masks)),
        )
        for _ in range(3)
    ]
    sessions = CanvasSessions(memory=2 * covered.nbytes)
    keys = [sessions.begin(each) for each in masked]
    assert sessions.get(keys[2]) is masked[2]
    with pytest.raises(PictureError, match="expired"):
        sessions.get(keys[0])
    tiny = CanvasSessions(memory=1)
    assert tiny.get(tiny.begin(covered)) is covered


def test_what_several_canvases_share_counts_once() -> None:
    shared, others = CanvasSession(picture()), [CanvasSession(picture_from_array(picture().pixels)) for _ in range(3)]
    sessions = CanvasSessions(memory=2 * shared.nbytes)
    many = [sessions.begin(shared) for _ in range(20)]
    assert sessions.get(many[0]) is shared
    first, second = (sessions.begin(each) for each in others[:2])
    for key in many:
        with pytest.raises(PictureError, match="expired"):
            sessions.get(key)
    assert sessions.get(first) is others[0]
    sessions.begin(others[2])
    assert sessions.get(first) is others[0]
    with pytest.raises(PictureError, match="expired"):
        sessions.get(second)


def test_a_picture_on_a_canvas_is_in_memory_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MEMORY", 1)
    with AnnotationStore.open(tmp_path) as store:
        sha256 = store.add_picture(picture(), "photo.png")
        recent = RecentPictures(store)
        on_canvas = recent.get(sha256)
        assert recent.get(sha256) is on_canvas
        store.picture_path(sha256).unlink()
        del on_canvas
        gc.collect()
        with pytest.raises(StoreError, match="There is no file"):
            recent.get(sha256)


def test_a_mask_in_use_is_in_memory_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.zeros((40, 30), dtype=bool)
    mask[3:9, 5:20] = True
    used = rows.stored_mask(encode_rle(mask))
    rows.stored_mask.cache.clear()
    assert rows.stored_mask(encode_rle(mask)) is used
    rows.stored_mask.cache.clear()
    del used
    monkeypatch.setattr(rows, "decode_rle", lambda _: ~mask)
    assert np.array_equal(rows.stored_mask(encode_rle(mask)), ~mask)
    rows.stored_mask.cache.clear()


def test_a_preview_that_many_ask_for_at_once_is_made_by_two_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resize, all_ask, made = previews.cv2.resize, threading.Barrier(8), []

    def counted(*arguments: object, **options: object) -> object:
        made.append(threading.get_ident())
        time.sleep(0.1)
        return resize(*arguments, **options)

    monkeypatch.setattr(previews.cv2, "resize", counted)

    def ask(_: int) -> Path:
        all_ask.wait()
        return preview_of(picture(), tmp_path)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert len(made) <= 2
