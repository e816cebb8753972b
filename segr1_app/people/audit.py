"""The audit log, which records who did what: sign-ins, refusals, imports, exports and training runs."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cachetools import LRUCache

FILE: Final = "audit.jsonl"
MAX_BYTES: Final = 4 * 2**20
"""Size in bytes at which the file is rotated; one older file is kept."""
MAX_TEXT: Final = 300
AGAIN_SECONDS: Final = 60.0
"""The same refusal is recorded once in this many seconds, so that repeating it cannot fill the file."""


class AuditLog:
    """A JSON Lines file to which events are appended; on a full disk an event is lost and nothing else fails.

    Args:
        home: the data folder.
        clock: Unix seconds.
    """

    def __init__(self, home: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._older = home / FILE, home / f"{FILE}.1"
        self._clock = clock
        self._lock = threading.Lock()
        self._lately: LRUCache[tuple[str, ...], float] = LRUCache(1000)

    def note(self, event: str, *, person: str = "", address: str = "", detail: str = "") -> None:
        """Add an event.

        Args:
            event: such as "sign-in", "refused" or "export".
            person: who did it; empty for somebody who did not sign in.
            address: the client's address, if known.
            detail: further information, as text.
        """
        now = self._clock()
        entry = {"time": round(now, 3), "event": event, "person": person, "address": address, "detail": detail}
        entry = {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in entry.items()}
        with self._lock:
            same = (event, person, address, detail)
            if event == "refused" and now - self._lately.get(same, float("-inf")) < AGAIN_SECONDS:
                return
            self._lately[same] = now
            self._add(json.dumps(entry).encode() + b"\n")

    def newest(self, most: int = 200) -> list[dict[str, Any]]:
        """The latest events, newest first."""
        lines: list[bytes] = []
        for file in (self._file, self._older):
            try:
                lines += file.read_bytes().splitlines()[::-1]
            except OSError:
                continue
        found = []
        for line in lines[:most]:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue  # cut short when the disk was full
        return found

    def _add(self, line: bytes) -> None:
        try:
            if self._file.exists() and self._file.stat().st_size > MAX_BYTES:
                self._file.replace(self._older)
            handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(handle, line)
            finally:
                os.close(handle)
        except OSError:
            return
