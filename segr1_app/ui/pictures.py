"""Pictures as the page shows them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from PIL import Image

from segr1_app.images import Picture

PREVIEW_SIDE = 2048
"""Longest side in pixels of the picture that the page shows."""


def preview_of(picture: Picture, cache: Path) -> Path:
    """A JPEG of a picture in ``cache``, made once."""
    preview = cache / f"{picture.sha256}.jpg"
    if not preview.exists():
        image = Image.fromarray(picture.pixels)
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        # Whole or not at all: somebody else may ask for the same picture meanwhile.
        handle, name = tempfile.mkstemp(dir=cache, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            image.save(file, "JPEG", quality=92)
        Path(name).replace(preview)
    return preview
