"""Read a Parquet or Arrow file in a separate process, which the file may crash; `arrow_rows` starts and serves it.

It imports nothing of this project, so that it starts at once. It writes JSON lines: ``["read", place, size]`` and
``["size"]`` ask for parts of the file, which come on standard input, each after its length in eight bytes;
``["names", [...]]`` are the columns and ``["row", {...}]`` is a row, in which bytes are ``{BYTES: Base64}``.
"""

from __future__ import annotations

import base64
import io
import json
import os
import resource
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

BYTES: Final = "\0bytes"
ROWS_AT_A_TIME: Final = 16
WHOLE_FILE: Final = b"ARROW1"
"""How an Arrow file that is not a stream begins; its batches are found from its end."""


class Asked(io.RawIOBase):
    """A file that the parent process reads."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            tell("size")
            self._at = int.from_bytes(answer(), "big")
        elif whence == os.SEEK_SET:
            self._at = 0
        self._at += offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        tell("read", self._at, len(buffer))
        content = answer()
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def tell(*values: Any) -> None:
    """Write a line, at once."""
    sys.stdout.buffer.write(json.dumps(values, default=_as_json).encode() + b"\n")
    sys.stdout.buffer.flush()


def answer() -> bytes:
    """What was asked for."""
    return sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(8), "big"))


def _as_json(value: Any) -> Any:
    return {BYTES: base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else str(value)


def _tell_rows(names: Sequence[str], batches: Iterable[Any]) -> None:
    tell("names", list(names))
    for batch in batches:
        for start in range(0, len(batch), ROWS_AT_A_TIME):
            for row in batch.slice(start, ROWS_AT_A_TIME).to_pylist():
                tell("row", row)


def main(kind: str, most_bytes: int, most_seconds: int) -> None:
    """Write all rows of a "parquet" or "arrow" file, within limits of address space and CPU time."""
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (most_seconds, most_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import pyarrow as pa  # noqa: PLC0415 - within the limits
    from pyarrow import ipc, parquet  # noqa: PLC0415

    # No bytes are requested while a row is being sent.
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    try:
        if kind == "parquet":
            table = parquet.ParquetFile(Asked())
            _tell_rows(table.schema_arrow.names, table.iter_batches(ROWS_AT_A_TIME, use_threads=False))
        elif Asked().read(len(WHOLE_FILE)) == WHOLE_FILE:
            file = ipc.open_file(Asked())
            _tell_rows(file.schema.names, map(file.get_batch, range(file.num_record_batches)))
        else:
            stream = ipc.open_stream(Asked())
            _tell_rows(stream.schema.names, stream)
    except MemoryError:
        sys.exit("it takes too much memory")
    except (pa.ArrowException, OSError, ValueError) as error:
        sys.exit(str(error)[:300])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
