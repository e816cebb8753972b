"""Files that are written whole or not at all, under a name of their own meanwhile."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PARTIAL = ".part"
"""How the name of a file ends that is still being written; many may write the same one at once."""


@contextmanager
def whole_file(path: Path, *, lasting: bool) -> Iterator[IO[bytes]]:
    """A file to write to, which is at ``path`` when the block has ended well; nothing is left of it otherwise.

    Args:
        path: in a folder that is there.
        lasting: whether it is to outlive a power cut, which takes waiting for the disk.

    Raises:
        OSError: when it cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=PARTIAL)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
