"""Pictures as the page shows them."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

from PIL import Image

from segr1_app.images import Picture
from segr1_app.store.connection import told

PREVIEW_SIDE = 2048
"""Longest side in pixels of the picture that the page shows."""


def preview_of(picture: Picture, cache: Path) -> Path:
    """A JPEG of a picture in ``cache``, made once.

    Raises:
        StoreError: when the disk is full or may not be written to.
    """
    preview = cache / f"{picture.sha256}.jpg"
    if not preview.exists():
        image = Image.fromarray(picture.pixels)
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        # In memory first: where Pillow's encoder writes to a file itself, it does not tell why it could not.
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=92)
        # Whole or not at all: somebody else may ask for the same picture meanwhile.
        with told():
            handle, name = tempfile.mkstemp(dir=cache, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(encoded.getbuffer())
                Path(name).replace(preview)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
    return preview
