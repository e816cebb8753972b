"""Write JSON files atomically, and read them, even while they grow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segr1_app.files.atomic import whole_file


def read_json(path: Path) -> Any:
    """A file's content.

    Raises:
        OSError, ValueError: when it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error


def write_json(path: Path, content: Any, *, private: bool = False) -> None:
    """Write a file atomically, so that nobody reads half of it; its folder is created if missing.

    Any number of threads and processes may write the same file: the last one wins.

    Args:
        path: the file to write.
        content: JSON values.
        private: whether only the owner may read it, at any time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, lasting=True, private=private) as file:
        file.write(f"{json.dumps(content, indent=2)}\n".encode())


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file, which may still be growing; an empty result if there is no file."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    # An interruption may have cut the last line short: a line without a line feed is incomplete.
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].split("\n") if line]
