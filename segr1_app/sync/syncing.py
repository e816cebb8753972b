"""Bringing a store and its remote copy together.

The remote holds ``pictures/``, by digest, and ``records/``: the journals of everybody who writes to it. Each process
appends to files of its own only, so nobody's push can pass over another's, and whoever reads mixes them by time.
"""

from __future__ import annotations

import heapq
import json
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from segr1_app.domain import PictureError, RemoteError, SegR1Error
from segr1_app.images import Picture, load_picture
from segr1_app.store import AnnotationStore
from segr1_app.store.journal import Record
from segr1_app.sync.remote import Remote

FULL: Final = 4 * 2**20
"""Bytes of records after which another file is begun: a push sends the file it appends to as a whole."""


@dataclass(frozen=True, slots=True)
class SyncState:
    """How a store and its remote stand.

    Attributes:
        remote: what the remote is called.
        at: when everything here was there, and the other way round, in Unix seconds; None if never.
        waiting: how much was added here since.
        failure: why the last try failed; empty when it did not.
    """

    remote: str
    at: float | None
    waiting: int
    failure: str = ""


class Synchroniser:
    """Keeps a store and a remote the same; one at a time, from any thread.

    Args:
        store: the store.
        remote: its copy.
        folder: an existing one for what is under way.
        clock: what time it is, in Unix seconds.
    """

    def __init__(
        self, store: AnnotationStore, remote: Remote, folder: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._journal, self._remote, self._clock = store.journal, remote, clock
        self._folder = folder
        self._turn = threading.Lock()
        self._failure = ""
        self._own: set[str] = set()
        self._content = b""
        self._begin_file()

    @property
    def state(self) -> SyncState:
        """How the two stand now."""
        name = self._remote.name
        return SyncState(name, self._journal.synced_at(name), self._journal.waiting(name), self._failure)

    def sync(self) -> list[str]:
        """Take in what others pushed, and push what was added here.

        Returns:
            A sentence for each record of the remote that cannot be used.

        Raises:
            SegR1Error: when the remote cannot be reached, or the store not be written; what was done until then stays.
        """
        with self._turn:
            try:
                there = self._remote.files()
                problems = self._pull(there)
                self._push(set(there))
            except SegR1Error as error:
                self._failure = str(error)
                raise
            self._failure = ""
            self._journal.synced(self._remote.name, self._clock())
            return problems

    def _pull(self, there: dict[str, int]) -> list[str]:
        known = self._journal.received(self._remote.name)
        news = {
            name: size
            for name, size in sorted(there.items())
            if name.startswith("records/") and size > known.get(name, 0) and name not in self._own
        }
        if not news:
            return []
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            folder = Path(name)
            self._remote.fetch(list(news), folder)
            mixed = heapq.merge(
                *(_records(folder / file, known.get(file, 0), size) for file, size in news.items()),
                key=lambda timed: timed[0],
            )
            problems, whole = self._journal.apply_records(
                (record for _, record in mixed), lambda sha256: self._picture(sha256, folder), self._remote.name
            )
        if whole:
            self._journal.mark_received(self._remote.name, news)
        return problems

    def _push(self, there: set[str]) -> None:
        name = self._remote.name
        while (page := self._journal.page(name)) is not None:
            if len(self._content) >= FULL:
                self._begin_file()
            lines = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in page.records)
            content = self._content + lines.encode()
            digests = [record["sha256"] for record in page.records if record["table"] == "pictures"]
            pictures = {picture_name(sha256): self._journal.pictures.path(sha256) for sha256 in digests}
            # Pictures first: where files come one by one, no record may come before what it speaks of.
            files = {file: path for file, path in pictures.items() if file not in there}
            self._remote.add({**files, self._file: content}, f"{len(page.records)} records")
            self._content = content
            there |= files.keys()
            self._journal.pushed(name, page.end)

    def _picture(self, sha256: str, folder: Path) -> Picture:
        name = picture_name(sha256)
        self._remote.fetch([name], folder)
        try:
            return load_picture(folder / name)
        except PictureError as error:
            raise RemoteError(f"The remote copy of picture {sha256[:12]} cannot be read: {error}") from error
        finally:
            # One at a time: the disk may hold little more than the pictures themselves.
            (folder / name).unlink(missing_ok=True)

    def _begin_file(self) -> None:
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self._clock()))
        self._file = f"records/{moment}-{secrets.token_hex(4)}.jsonl"
        self._own.add(self._file)
        self._content = b""


def picture_name(sha256: str) -> str:
    """Where a remote keeps a picture; no folder of the hub should hold more than some thousand files."""
    return f"pictures/{sha256[:2]}/{sha256}.png"


def _records(file: Path, start: int, end: int) -> Iterator[tuple[float, Record]]:
    """The records between two places of a file, with a time that never goes back.

    Raises:
        RemoteError: when a line is none.
    """
    latest = 0.0
    with file.open("rb") as lines:
        lines.seek(start)
        while lines.tell() < end:
            line = lines.readline()
            try:
                record: dict[str, Any] = json.loads(line)
                latest = max(latest, float(record["at"]))
            except (ValueError, TypeError, KeyError) as error:
                raise RemoteError(f"A line of '{file.name}' in the remote is no record ({error!r}).") from error
            yield latest, record
