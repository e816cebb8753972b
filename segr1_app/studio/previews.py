"""Make the previews of pictures that the page shows."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from weakref import WeakValueDictionary

import cv2
from cachetools import LRUCache, cachedmethod
from PIL import Image

from segr1_app.domain import ImageSize
from segr1_app.files.atomic import whole_file
from segr1_app.geometry import size_within
from segr1_app.images.pictures import Picture
from segr1_app.store import AnnotationStore
from segr1_app.store.connection import translate_errors

PREVIEW_SIDE = 2048
"""Longest side in pixels of the picture that the page shows."""
LIVE_SIDE = 1024
"""Longest side in pixels of the masks on a canvas."""
MEMORY = 96 * 2**20
"""Size in bytes of the cache of pictures beyond those that are on canvases; two of a dozen megapixels."""
AT_A_TIME = 2
"""How many previews are made at the same time: people open the same large picture together."""
_MAKING = threading.BoundedSemaphore(AT_A_TIME)


class RecentPictures:
    """The store's pictures, with a cache of recent ones, because reading a large one takes a second.

    A picture that is in use elsewhere, such as on a canvas, is found too, so that it is in memory only once.

    Args:
        store: the store with the pictures.
    """

    def __init__(self, store: AnnotationStore) -> None:
        self._store = store
        self._held: LRUCache[str, Picture] = LRUCache(MEMORY, getsizeof=lambda picture: picture.pixels.nbytes)
        self._used: WeakValueDictionary[str, Picture] = WeakValueDictionary()
        self._changed = threading.Condition()

    # With the condition, whoever asks for a picture that is being read waits for it: decoding takes several times what
    # the picture itself does, and many people are given the same picture at once.
    @cachedmethod(lambda self: self._held, condition=lambda self: self._changed)
    def get(self, sha256: str) -> Picture:
        """A stored picture.

        Raises:
            StoreError: when it cannot be read.
        """
        found = self._used.get(sha256)
        if found is None:
            found = self._used[sha256] = self._store.picture(sha256)
        return found


def preview_of(picture: Picture, cache: Path) -> Path:
    """A JPEG preview of a picture in ``cache``, made once.

    Raises:
        StoreError: when the disk is full or read-only.
    """
    preview = preview_path(picture.sha256, cache)
    if preview.exists():
        return preview
    with _MAKING:
        if not preview.exists():
            # Not by Pillow, which would first copy the whole picture.
            small = cv2.resize(picture.pixels, size_within(picture.size, PREVIEW_SIDE), interpolation=cv2.INTER_AREA)
            # Encoded in memory first: when Pillow's encoder writes to a file itself, its error gives no reason.
            encoded = io.BytesIO()
            Image.fromarray(small).save(encoded, "JPEG", quality=92)
            # Written atomically, because another process may make the same one.
            with translate_errors(), whole_file(preview, lasting=False) as file:
                file.write(encoded.getbuffer())
    return preview


def preview_path(sha256: str, cache: Path) -> Path:
    """Where `preview_of` puts the preview of the picture with this digest."""
    return cache / f"{sha256}.jpg"


def live_size(image_wh: ImageSize) -> ImageSize:
    """The size of masks sent to a canvas: about screen resolution, and fast to compute."""
    return size_within(image_wh, LIVE_SIDE)
