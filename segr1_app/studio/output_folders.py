"""Create folders for the page's downloads, inside the folder from which gradio serves files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from segr1_app.store.connection import translate_errors


@contextmanager
def new_downloads(cache: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``cache`` for downloads; deleted again when the block fails.

    Raises:
        StoreError: when the disk is full or read-only.
    """
    with translate_errors(), ExitStack() as undoing:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=cache))
        undoing.callback(shutil.rmtree, folder)
        yield folder
        undoing.pop_all()
