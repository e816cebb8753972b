"""Read the files of a training run's folder tolerantly: intact files are used, damaged ones are reported.

A full disk, a kill at the wrong moment, an editor or another program may have left anything in them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segr1_app.files.json_files import read_json


class RunFiles:
    """Reads the files of one folder.

    Attributes:
        problems: a sentence for each existing file that could not be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems: list[str] = []
        self._damaged: set[str] = set()

    def holds(self, name: str) -> bool:
        """Whether there is a file with this name."""
        try:
            return (self._folder / name).is_file()
        except OSError:
            return False

    def whole(self, name: str) -> bool:
        """Whether there is a file with this name in which no damage was found so far."""
        return self.holds(name) and name not in self._damaged

    def record(self, name: str) -> dict[str, Any]:
        """Read a JSON object; an empty one if the file is missing or cannot be read."""
        path = self._folder / name
        try:
            if not path.exists():
                return {}
            content = read_json(path)
        except (OSError, ValueError) as error:
            self._report(name, error)
            return {}
        if not isinstance(content, dict):
            self._damaged.add(name)
            self.problems.append(f"'{name}' is not a JSON object.")
            return {}
        return content

    def curves(self, name: str, *keys: str) -> tuple[tuple[tuple[int, float], ...], ...]:
        """For each key, (step, value) of every line of a file of metrics that has both; empty if there is no file."""
        found: dict[str, list[tuple[int, float]]] = {key: [] for key in keys}
        bad = 0
        for line in self._lines(name):
            points = _points(line, keys)
            bad += points is None
            for key, point in (points or {}).items():
                found[key].append(point)
        if bad:
            self.problems.append(f"'{name}' has {bad} {'line' if bad == 1 else 'lines'} that cannot be read.")
        return tuple(tuple(curve) for curve in found.values())

    def text(self, name: str) -> str | None:
        """Read a file's text; None if it is missing or cannot be read."""
        path = self._folder / name
        try:
            return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
        except OSError as error:
            self._report(name, error)
            return None

    def number(self, record: Mapping[str, Any], name: str, most: int) -> int:
        """An integer from 0 to ``most`` in a record; 0 if it is anything else."""
        value = record.get(name, 0)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else 0

    def part(self, record: Mapping[str, Any], name: str, file: str) -> dict[str, Any] | None:
        """An object within a record of a file; None if there is none."""
        value = record.get(name)
        if value is not None and not isinstance(value, dict):
            self.problems.append(f"The '{name}' in '{file}' is not a JSON object.")
        return value if isinstance(value, dict) else None

    def _lines(self, name: str) -> list[str]:
        text = self.text(name) or ""
        # An interruption may have cut the last line short: a line without a line feed is incomplete.
        return [line for line in text[: text.rfind("\n") + 1].split("\n") if line]

    def _report(self, name: str, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        self._damaged.add(name)
        self.problems.append(f"'{name}' cannot be read ({reason}).")


def _points(line: str, keys: Sequence[str]) -> dict[str, tuple[int, float]] | None:
    """(step, value) of each key that a line of metrics has; None for an invalid line."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    step, points = values.get("step"), {}
    for key in keys:
        if key not in values:
            continue
        number = values[key]
        if not isinstance(step, int) or not isinstance(number, int | float) or not math.isfinite(number):
            return None
        points[key] = (step, float(number))
    return points
