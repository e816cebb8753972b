"""Make the previews of pictures that the page shows."""

from __future__ import annotations

import io
import threading
from pathlib import Path

from cachetools import LRUCache, cachedmethod
from PIL import Image

from segr1_app.domain import ImageSize
from segr1_app.files.atomic import whole_file
from segr1_app.images.pictures import Picture
from segr1_app.store import AnnotationStore
from segr1_app.store.connection import translate_errors

PREVIEW_SIDE = 2048
"""Longest side in pixels of the picture that the page shows."""
LIVE_SIDE = 1024
"""Longest side in pixels of the masks on a canvas."""
MEMORY = 192 * 2**20
"""Size in bytes of the cache of pictures; as many as the largest accepted picture has."""


class RecentPictures:
    """The store's pictures, with a cache of recent ones, because reading a large one takes a second.

    Args:
        store: the store with the pictures.
    """

    def __init__(self, store: AnnotationStore) -> None:
        self._store = store
        self._held: LRUCache[str, Picture] = LRUCache(MEMORY, getsizeof=lambda picture: picture.pixels.nbytes)
        self._changed = threading.Condition()

    # With the condition, whoever asks for a picture that is being read waits for it: decoding takes several times what
    # the picture itself does, and many people are given the same picture at once.
    @cachedmethod(lambda self: self._held, condition=lambda self: self._changed)
    def get(self, sha256: str) -> Picture:
        """A stored picture.

        Raises:
            StoreError: when it cannot be read.
        """
        return self._store.picture(sha256)


def preview_of(picture: Picture, cache: Path) -> Path:
    """A JPEG preview of a picture in ``cache``, made once.

    Raises:
        StoreError: when the disk is full or read-only.
    """
    preview = cache / f"{picture.sha256}.jpg"
    if not preview.exists():
        image = Image.fromarray(picture.pixels)
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        # Encoded in memory first: when Pillow's encoder writes to a file itself, its error does not give the reason.
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=92)
        # Written atomically, because somebody else may request the same picture meanwhile.
        with translate_errors(), whole_file(preview, lasting=False) as file:
            file.write(encoded.getbuffer())
    return preview


def live_size(image_wh: ImageSize) -> ImageSize:
    """The size of masks sent to a canvas: about screen resolution, and fast to compute."""
    scale = min(1.0, LIVE_SIDE / max(image_wh))
    return ImageSize(max(1, round(image_wh.width * scale)), max(1, round(image_wh.height * scale)))
