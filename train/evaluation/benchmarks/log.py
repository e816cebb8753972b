"""The log of a run: a JSON line for the protocol, then one for each answer, even if the run is interrupted.

Each process writes its own part; the parts are merged when a run begins and when it ends. So an interrupted run
continues where it stopped, with any number of processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from segr1_app.domain import DatasetError
from segr1_app.files.atomic import whole_file
from segr1_app.files.json_files import read_json_lines
from segr1_app.files.outputs import translate_write_errors

PROTOCOL = "protocol"
ADVICE = "answers so far are kept, and the same command continues from them when there is space for more"


class AnswerLog:
    """The log in a file.

    Args:
        path: the file.
        rank: the rank of this process.
    """

    def __init__(self, path: Path, rank: int = 0) -> None:
        self._path, self._part = path, path.with_name(f"{path.name}.part{rank}")
        self._file: TextIO | None = None

    def begin(self, protocol: Mapping[str, Any]) -> None:
        """Take over the answers of an interrupted run with the same protocol; called by one process before the others
        write.

        Raises:
            DatasetError: when the file has answers of another protocol, which must not be mixed with these.
            SettingsError: when it cannot be written.
        """
        lines = read_json_lines(self._path)
        if lines:
            before = lines[0].get(PROTOCOL)
            if before is None:
                raise DatasetError(f"'{self._path}' is not an evaluation log: give another --json.")
            changed = sorted(key for key in {*before, *protocol} if before.get(key) != protocol.get(key))
            if changed:
                raise DatasetError(
                    f"'{self._path}' contains answers of another protocol ({', '.join(changed)} differ): give another "
                    f"--json, or delete it to start over."
                )
        self._merge_parts([{PROTOCOL: protocol}, *lines[1:]])

    def records(self) -> dict[str, dict[str, Any]]:
        """All answers so far, by their questions."""
        return {record["id"]: record for record in read_json_lines(self._path)[1:]}

    def add(self, record: Mapping[str, Any]) -> None:
        """Append an answer to this process's part immediately.

        Raises:
            SettingsError: when it cannot be written.
        """
        with translate_write_errors(self._part, ADVICE):
            if self._file is None:
                self._file = self._part.open("a", encoding="utf-8")
            self._file.write(f"{json.dumps(record, ensure_ascii=False)}\n")
            self._file.flush()

    def end(self) -> None:
        """Merge the parts; called by one process after the others have finished writing.

        Raises:
            SettingsError: when the file cannot be written.
        """
        self._merge_parts(read_json_lines(self._path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            # A failed write is retried once here.
            with translate_write_errors(self._part, ADVICE):
                self._file.close()

    def _merge_parts(self, lines: list[dict[str, Any]]) -> None:
        parts = sorted(self._path.parent.glob(f"{self._path.name}.part*"))
        known = {record["id"] for record in lines[1:]}
        for part in parts:
            for record in read_json_lines(part):
                if record["id"] not in known:
                    known.add(record["id"])
                    lines.append(record)
        with translate_write_errors(self._path, ADVICE):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self._path, lasting=True) as file:
                file.writelines(f"{json.dumps(line, ensure_ascii=False)}\n".encode() for line in lines)
            for part in parts:
                part.unlink()
