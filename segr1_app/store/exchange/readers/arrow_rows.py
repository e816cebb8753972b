"""The rows of Parquet and Arrow files, read by another process.

Arrow is written in C++, and these files come from anybody: a malicious one can only crash or fill a process that
nothing else depends on.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, Final, Literal

from segr1_app.domain import DatasetError
from segr1_app.store.exchange.readers import arrow_child

MOST_BYTES: Final = 4 * 2**30
"""Address space of the process: a column of a row group is held whole, which may be some hundred photographs."""
MOST_SECONDS: Final = 600
"""Its CPU seconds for one file."""
MAX_ROW: Final = 512 * 2**20
"""Most bytes of a row as JSON, in which pictures grow by a third (base64)."""
MAX_READ: Final = 512 * 2**20
"""Most bytes that it is given at once."""


def arrow_rows(kind: Literal["parquet", "arrow"], content: IO[bytes]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """The columns with each row of a file.

    Args:
        kind: "parquet" or "arrow".
        content: the file; only what is needed of it is read.

    Raises:
        DatasetError: when it is not of this kind, takes too much memory or time, or crashes its process.
        OSError: when it cannot be read.
    """
    environ = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", arrow_child.__file__, kind, str(MOST_BYTES), str(MOST_SECONDS)]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=environ) as child,
    ):
        try:
            yield from _rows(child, content)
            code = child.wait()
        finally:
            child.kill()
            with suppress(BrokenPipeError):
                _pipe(child.stdin).close()  # what it no longer wanted
        if code:
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
            why = words if code > 0 else "reading it takes too much memory or time, or fails within Arrow"
            raise DatasetError(f"its table cannot be read: {why.rstrip('.')}.")


def _rows(child: subprocess.Popen[bytes], content: IO[bytes]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Answer the process until it ends."""
    asking, answering = _pipe(child.stdout), _pipe(child.stdin)
    names: list[str] = []
    while (line := asking.readline(MAX_ROW)).endswith(b"\n"):
        kind, *values = json.loads(line, object_hook=_unpacked)
        if kind == "row":
            yield names, values[0]
        elif kind == "names":
            names = values[0]
        else:
            piece = _size(content) if kind == "size" else _piece(content, *values)
            try:
                answering.write(len(piece).to_bytes(8, "big") + piece)
                answering.flush()
            except BrokenPipeError:
                return
    if len(line) == MAX_ROW:
        raise DatasetError(f"a row of it has more than {MAX_ROW // 2**20} MiB.")


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    if end is None:
        raise RuntimeError("the process was started without pipes")
    return end


def _size(content: IO[bytes]) -> bytes:
    return content.seek(0, os.SEEK_END).to_bytes(8, "big")


def _piece(content: IO[bytes], place: int, size: int) -> bytes:
    if content.tell() != place:
        content.seek(place)
    return content.read(min(size, MAX_READ))


def _unpacked(value: dict[str, Any]) -> Any:
    packed = value.get(arrow_child.BYTES)
    return base64.b64decode(packed) if isinstance(packed, str) else value
