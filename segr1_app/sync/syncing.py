"""Synchronise a store with its remote copy.

The remote contains ``pictures/``, by digest, and ``records/``: the journals of all writers. Each process appends only
to its own files, so that no push can overwrite another's, and readers merge them by time.
"""

from __future__ import annotations

import heapq
import json
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from segr1_app.domain import SegR1Error, StoreDamagedError
from segr1_app.files.foreign_json import bounded_lines, parse_json
from segr1_app.images.pictures import Original, Picture
from segr1_app.store import AnnotationStore
from segr1_app.store.connection import translate_errors
from segr1_app.store.journal import JournalRecord
from segr1_app.store.limits import MAX_TIME, is_number
from segr1_app.store.pictures import file_name, read_picture
from segr1_app.sync.remote import Remote

FULL: Final = 4 * 2**20
"""Bytes of records after which a new file is started, because a push sends the whole file to which it appends."""
MAX_FILE: Final = 2**30
"""Largest record file in bytes that is fetched."""
MAX_PROBLEMS: Final = 100
"""Number of unreadable lines of one file that are listed individually."""
BATCH: Final = 64
"""Lines read from a file before it is closed again, because there may be more files than a process may have open."""
DAMAGED_SECONDS: Final = 3600.0
"""How long a remote with a damaged picture is not read again unless something in it changes."""
_RECORDS: Final = re.compile(r"records/[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.jsonl")


@dataclass(frozen=True, slots=True)
class SyncState:
    """The state of a store relative to its remote.

    Attributes:
        remote: the remote's display name: never a path of this machine.
        at: the time of the last complete sync, in Unix seconds; None if never.
        waiting: number of local records added since.
        failure: why the last sync failed or left something out; empty if it did not.
    """

    remote: str
    at: float | None
    waiting: int
    failure: str = ""


class Synchroniser:
    """Keeps a store and a remote in sync; one sync at a time, from any thread.

    Args:
        store: the store.
        remote: its copy.
        folder: an existing folder for temporary files.
        clock: returns the time in Unix seconds.
    """

    def __init__(
        self, store: AnnotationStore, remote: Remote, folder: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._journal, self._remote, self._clock = store.journal, remote, clock
        self._folder = folder
        self._turn = threading.Lock()
        self._failure = ""
        self._own: set[str] = set()
        self._damaged: tuple[int, float, StoreDamagedError] | None = None
        """What the remote held when a picture in it was found damaged, until when that is believed, and which one."""
        self._content = b""
        self._begin_file()

    @property
    def state(self) -> SyncState:
        """The current state."""
        name = self._remote.name
        return SyncState(self._remote.label, self._journal.synced_at(name), self._journal.waiting(name), self._failure)

    def sync(self) -> list[str]:
        """Fetch what others pushed, and push what was added here.

        Returns:
            A sentence for each record of the remote that cannot be used.

        Raises:
            SegR1Error: when the remote cannot be reached or the store cannot be written; what was done until then is
                kept.
        """
        with self._turn:
            try:
                problems = self._sync()
            except SegR1Error as error:
                self._failure = str(error)
                raise
            except Exception as error:
                self._failure = f"Syncing failed unexpectedly ({type(error).__name__})."
                raise
            self._failure = "" if not problems else f"{len(problems)} records were left out; the first: {problems[0]}"
            self._journal.synced(self._remote.name, self._clock())
            return problems

    def _sync(self) -> list[str]:
        with translate_errors():
            there = self._remote.files()
            try:
                problems, failure = self._pull_unless_damaged(there), None
            except SegR1Error as error:
                problems, failure = [], error
            # Push local records even if something is wrong with the remote ones.
            problems += self._push(set(there))
        if failure is not None:
            raise failure
        return problems

    def _pull_unless_damaged(self, there: dict[str, int]) -> list[str]:
        """As `_pull`; what failed for a damaged picture fails again without being read while the remote is the same."""
        held = hash(frozenset((name, size) for name, size in there.items() if name not in self._own))
        if self._damaged is not None:
            before, until, error = self._damaged
            # Beyond the hour only where the clock was set back.
            if held == before and 0 < until - self._clock() <= DAMAGED_SECONDS:
                raise error
        self._damaged = None
        try:
            return self._pull(there)
        except StoreDamagedError as error:
            self._damaged = (held, self._clock() + DAMAGED_SECONDS, error)
            raise

    def _pull(self, there: dict[str, int]) -> list[str]:
        known = self._journal.received(self._remote.name)
        news = {
            name: size
            for name, size in sorted(there.items())
            if _RECORDS.fullmatch(name) and size > known.get(name, 0) and name not in self._own
        }
        problems = [f"'{name}' in the remote is too large for a record file." for name in news if news[name] > MAX_FILE]
        news = {name: size for name, size in news.items() if size <= MAX_FILE}
        if not news:
            return problems
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            folder = Path(name)
            self._remote.fetch(list(news), folder)
            files = [_RecordFile(folder / file, file, known.get(file, 0), size) for file, size in news.items()]
            mixed = heapq.merge(*(file.records() for file in files), key=lambda timed: timed[0])
            unusable, whole = self._journal.apply_records(
                (record for _, record in mixed), partial(self._picture, folder, there.keys()), self._remote.name
            )
        for file in files:
            problems += file.problems
        if whole:
            self._journal.mark_received(self._remote.name, {file.name: file.taken for file in files})
        return problems + unusable

    def _push(self, there: set[str]) -> list[str]:
        """Returns a sentence for each record that no store would accept."""
        name, problems = self._remote.name, []
        while (page := self._journal.page(name)) is not None:
            if len(self._content) >= FULL:
                self._begin_file()
            lines = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in page.records)
            content = self._content + lines.encode()
            added = [record for record in page.records if record["table"] == "pictures"]
            paths = [self._journal.pictures.path(record["sha256"], record["original"]) for record in added]
            pictures = {remote_name(path.name): path for path in paths}
            # Pictures first: where files appear one by one, no record may appear before the picture it refers to.
            files = {file: path for file, path in pictures.items() if file not in there}
            if page.records:
                self._remote.add({**files, self._file: content}, f"{len(page.records)} records")
            self._content = content
            there |= files.keys()
            self._journal.pushed(name, page.end)
            problems += page.problems
        return problems

    def _picture(
        self, folder: Path, there: Container[str], sha256: str, original: str | None
    ) -> tuple[Picture, Original | None]:
        name = remote_name(file_name(sha256, original))
        if name not in there:
            raise StoreDamagedError(f"The remote copy has a record of the picture {sha256[:12]}, but no file of it.")
        self._remote.fetch([name], folder)
        try:
            if (folder / name).stat().st_size > MAX_FILE:
                raise StoreDamagedError(f"it has more than {MAX_FILE // 2**20} MiB.")
            return read_picture((folder / name).read_bytes(), sha256, original)
        except StoreDamagedError as error:
            raise StoreDamagedError(
                f"The remote copy of picture {sha256[:12]} is not the one that was pushed: {error}"
            ) from error
        finally:
            # One at a time, because the disk may have little more space than the pictures themselves need.
            (folder / name).unlink(missing_ok=True)

    def _begin_file(self) -> None:
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self._clock()))
        self._file = f"records/{moment}-{secrets.token_hex(4)}.jsonl"
        self._own.add(self._file)
        self._content = b""


def remote_name(file: str) -> str:
    """Where a remote keeps a picture's file; no folder of the hub should hold more than some thousand files."""
    return f"pictures/{file[:2]}/{file}"


class _RecordFile:
    """The records between two offsets of a fetched file.

    Args:
        path: the file.
        name: its name in the remote.
        start, end: the offsets in bytes.

    Attributes:
        taken: the offset up to which it was read, at the end of a complete line.
        problems: a sentence for each line that is not a record; those after the first `MAX_PROBLEMS` are only counted.
    """

    def __init__(self, path: Path, name: str, start: int, end: int) -> None:
        self._path, self.name, self.taken, self._end = path, name, start, end
        self._bad = 0
        self.problems: list[str] = []

    def records(self) -> Iterator[tuple[float, JournalRecord]]:
        """The records in order, with non-decreasing times; lines that are not records are skipped."""
        latest = 0.0
        while lines := self._next_lines():
            for line in lines:
                try:
                    record = _record(line)
                except ValueError as error:
                    self._report(str(error))
                    continue
                latest = max(latest, float(record["at"]))
                yield latest, record
        if self._bad > MAX_PROBLEMS:
            self.problems.append(f"{self._bad - MAX_PROBLEMS} more lines of '{self.name}' are not records.")

    def _next_lines(self) -> list[bytes | None]:
        with self._path.open("rb") as file:
            file.seek(self.taken)
            lines = []
            for line in islice(bounded_lines(file, self._end), BATCH):
                if line is not None and not line.endswith(b"\n"):
                    break  # the writer has not finished it
                lines.append(line)
                self.taken = file.tell()
        return lines

    def _report(self, problem: str) -> None:
        self._bad += 1
        if self._bad <= MAX_PROBLEMS:
            self.problems.append(f"A line of '{self.name}' in the remote is not a record: {problem}.")


def _record(line: bytes | None) -> dict[str, Any]:
    """Parse the record in a line.

    Raises:
        ValueError: when it is not a record.
    """
    if line is None:
        raise ValueError("it is too long")
    record = parse_json(line)
    if not isinstance(record, dict) or not is_number(record.get("at"), MAX_TIME):
        raise ValueError("it has no creation time")
    return record
