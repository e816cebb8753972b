"""Everything that was added to a store, in order, in a form that any other store can import.

A record of `records` uses its store's own numbers. One of the journal refers to others by content: a task by its
picture and instruction, a prediction and a revision by their digests. So the journals of several stores can be merged,
and applying existing records again changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sqlite_utils import Database

from segr1_app.domain import (
    ImageSize,
    SegR1Error,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    UnknownRecordError,
)
from segr1_app.images.pictures import Original, Picture
from segr1_app.language.typed_text import storable
from segr1_app.store import records, tasks
from segr1_app.store.connection import Connection
from segr1_app.store.outgoing import Outgoing
from segr1_app.store.pictures import PictureFolder
from segr1_app.store.records import Numbers, check_record

PAGE: Final = 200
"""Entries that are read, or applied, in one transaction."""

JournalRecord = Mapping[str, Any]
Bring = Callable[[str, str | None], tuple[Picture, Original | None]]
"""Fetches a picture by its digest and the name of its original, checks both, and returns the picture with the file."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of a journal.

    Attributes:
        records: as JSON values, in an order that `Journal.apply_records` accepts.
        end: the number of the last one.
        problems: a sentence for each entry that is left out because every store would reject it.
    """

    records: list[dict[str, Any]]
    end: int
    problems: list[str]


class Journal:
    """The journal of a store, and how far it was pushed to remotes.

    Args:
        connection: the store's database.
        pictures: the store's pictures.
    """

    def __init__(self, connection: Connection, pictures: PictureFolder) -> None:
        self._connection = connection
        self.pictures = pictures
        self._damaged: StoreDamagedError | None = None

    def page(self, remote: str) -> Page | None:
        """The next entries that a remote lacks: not pushed yet, and not received from it."""
        with self._connection.read() as db:
            start, origin = _pushed(db, remote), remote
            numbers = [row[0] for row in db.execute(f"{_WAITING} ORDER BY number LIMIT {PAGE}", [start, origin])]
            if not numbers:
                return None
            # Records refer to tasks by their present instruction, so later changes of instructions are included, too.
            query = f"SELECT * FROM ({_WAITING}) WHERE number <= ? OR was IS NOT NULL ORDER BY number"
            entries = list(db.query(query, [start, origin, numbers[-1]]))
            entries.sort(key=lambda entry: entry["kind"] not in ("pictures", "tasks"))
            outgoing = Outgoing(db, entries)
        # Digests and masks are checked outside the transaction, so that nobody waits for the database.
        found, problems = outgoing.checked()
        return Page(found, numbers[-1], problems)

    def waiting(self, remote: str) -> int:
        """How many entries a remote lacks."""
        with self._connection.read() as db:
            (count,) = db.execute(f"SELECT count(*) FROM ({_WAITING})", [_pushed(db, remote), remote]).fetchone()
        return int(count)

    def pushed(self, remote: str, end: int) -> None:
        """Record that a remote has everything up to the entry ``end``."""
        with self._connection.write() as db:
            db.execute(
                "INSERT INTO remotes (name, pushed) VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET pushed = max(pushed, excluded.pushed)",
                [remote, end],
            )

    def synced(self, remote: str, at: float) -> None:
        """Record that at this moment remote and store had the same contents."""
        with self._connection.write() as db:
            db.execute(
                "INSERT INTO remotes (name, pushed, synced_at) VALUES (?, 0, ?) "
                "ON CONFLICT DO UPDATE SET synced_at = excluded.synced_at",
                [remote, at],
            )

    def synced_at(self, remote: str) -> float | None:
        """When `synced` was noted last, in Unix seconds."""
        with self._connection.read() as db:
            found = db.execute("SELECT synced_at FROM remotes WHERE name = ?", [remote]).fetchone()
        return found[0] if found else None

    def received(self, remote: str) -> dict[str, int]:
        """How many bytes of each file of a remote were received."""
        with self._connection.read() as db:
            return dict(db.execute("SELECT file, bytes FROM taken WHERE remote = ?", [remote]).fetchall())

    def mark_received(self, remote: str, files: Mapping[str, int]) -> None:
        """Record how many bytes of files of a remote were received."""
        with self._connection.write() as db:
            for file, size in files.items():
                db.execute(
                    "INSERT INTO taken VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = excluded.bytes",
                    [remote, file, size],
                )

    def apply_records(self, found: Iterable[JournalRecord], bring: Bring, remote: str) -> tuple[list[str], bool]:
        """Add the records of other journals that are not here yet.

        Args:
            found: the records; a record may precede those it refers to.
            bring: called for a picture that this store does not have.
            remote: where they come from; they are not pushed there again.

        Returns:
            A sentence for each that cannot be used, and whether all of these might be usable once others are here, too.

        Raises:
            StoreError: when the store cannot be written to.
            StoreDamagedError: when the remote copy of a picture is damaged; records that need it are not added then.
            RemoteError: from ``bring``, when a picture cannot be fetched.
        """
        problems: list[str] = []
        self._damaged = None
        early = self._take_all(iter(found), bring, remote, problems)
        while early:
            left = self._take_all(iter(early), bring, remote, problems)
            if len(left) == len(early):
                break
            early = left
        if self._damaged is not None:
            raise self._damaged
        problems += [f"A record of {record.get('table')} follows from one that is missing." for record in early]
        return problems, not early

    def _take_all(
        self, found: Iterator[JournalRecord], bring: Bring, remote: str, problems: list[str]
    ) -> list[JournalRecord]:
        """Returns the records that refer to others that have not been received yet."""
        early: list[JournalRecord] = []
        while batch := list(islice(found, PAGE)):
            usable = [record for record in batch if self._has_picture(record, bring, problems)]
            with self._connection.write() as db:
                (last,) = db.execute("SELECT ifnull(max(number), 0) FROM journal").fetchone()
                for record in usable:
                    try:
                        _take(db, record)
                    except UnknownRecordError:
                        early.append(record)
                    except StoreError as error:
                        problems.append(str(error))
                db.execute("UPDATE journal SET origin = ? WHERE number > ?", [remote, last])
        return early

    def _has_picture(self, record: JournalRecord, bring: Bring, problems: list[str]) -> bool:
        """Whether a record refers to no picture, or to one of the right size that is here or was fetched."""
        if record.get("table") != "pictures":
            return True
        try:
            check_record(record)
            sha256 = record["sha256"]
            if self._size_of(sha256, record.get("original"), bring) != (record["width"], record["height"]):
                raise StoreError(f"A record of the picture {sha256[:12]} is refused: the picture has another size.")
        except StoreDamagedError as error:
            self._damaged = self._damaged or error
            return False
        except (StoreFullError, StoreReadOnlyError):
            raise
        except StoreError as error:
            problems.append(str(error))
            return False
        return True

    def _size_of(self, sha256: str, original: str | None, bring: Bring) -> ImageSize:
        """The size of a picture, which is fetched unless its file is here."""
        with self._connection.read() as db:
            stored = tasks.find_picture(db, sha256)
        if stored is not None and self.pictures.path(sha256, stored.original).exists():
            return self.pictures.size(sha256, stored.original)
        if self.pictures.path(sha256, original).exists():
            # The file may be another picture: the record that names it comes from outside.
            picture = self.pictures.decoded(sha256, original)
            if picture.sha256 != sha256:
                raise StoreDamagedError(f"The file of the picture {sha256[:12]} is of another picture.")
        else:
            picture, content = bring(sha256, original)
            self.pictures.put(picture, content)
        if stored is not None:
            with self._connection.write() as db:
                tasks.set_original(db, sha256, original)
        return picture.size


_WAITING: Final = "SELECT * FROM journal WHERE number > ? AND origin IS NOT ?"


def _pushed(db: Database, remote: str) -> int:
    found = db.execute("SELECT pushed FROM remotes WHERE name = ?", [remote]).fetchone()
    return int(found[0]) if found else 0


def _take(db: Database, record: JournalRecord) -> None:
    """Add one record completely or not at all.

    Raises:
        UnknownRecordError: when it refers to one that is not here.
        StoreError: when it is not a record of a store.
    """
    db.execute("SAVEPOINT record")
    try:
        _resolve(db, record)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, sqlite3.IntegrityError) as error:
        db.execute("ROLLBACK TO record")
        kind = str(record.get("table"))[:40]
        raise StoreError(f"A record of {kind!r} has unexpected values ({error!r}).") from error
    except StoreError:
        db.execute("ROLLBACK TO record")
        raise
    except SegR1Error as error:
        db.execute("ROLLBACK TO record")
        raise StoreError(f"A record of {record.get('table')} is refused: {error}") from error
    finally:
        db.execute("RELEASE record")


def _resolve(db: Database, record: JournalRecord) -> None:
    table = check_record(record)
    if table == "pictures":
        db.execute(
            "INSERT INTO pictures (sha256, name, width, height, added_at, original) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            [
                *(record["sha256"], storable(record["name"]), record["width"], record["height"], record["added_at"]),
                record.get("original"),
            ],
        )
    elif table == "tasks":
        _take_task(db, record)
    elif table == "ground_truths":
        records.absorb(db, record, Numbers())
    else:
        # Somebody else may have changed the task's instruction in the meantime: then it is a separate task.
        task = tasks.add_task(db, record["picture"], record["asked"], float(record["at"]))
        prediction = _number(db, "predictions", task, record.get("prediction_hash"))
        origin = _number(db, "revisions", task, record.get("origin_hash"))
        revision = _number(db, "revisions", task, record.get("revision_hash"))
        here = {"id": 0, "task": task, "parent": None, "prediction": prediction, "origin": origin, "revision": revision}
        numbers = Numbers({task: task}, _same(prediction), _same(origin) | _same(revision))
        records.absorb(db, {**record, **here}, numbers)


def _take_task(db: Database, record: JournalRecord) -> None:
    """Add a task, or change the instruction of the one that it was before, unless a task with the new one exists."""
    query = "SELECT id FROM tasks WHERE picture = ? AND instruction = ?"
    picture, was = record["picture"], record.get("was")
    there = db.execute(query, [picture, record["instruction"]]).fetchone()
    before = db.execute(query, [picture, was]).fetchone()
    if before and not there:
        tasks.set_instruction(db, before[0], record["instruction"])
    else:
        tasks.add_task(db, picture, record["instruction"], float(record["created_at"]))


def _number(db: Database, table: str, task: int, digest: str | None) -> int | None:
    """The number of a record in this store.

    Raises:
        UnknownRecordError: when it is not here.
    """
    if digest is None:
        return None
    # A revision made before its task's instruction was changed may now belong to another task.
    query = f"SELECT id FROM {table} WHERE content_hash = ? ORDER BY task != ? LIMIT 1"
    row = db.execute(query, [digest, task]).fetchone()
    if row is None:
        raise UnknownRecordError(f"There is no record {digest[:12]} in {table} yet.")
    return int(row[0])


def _same(number: int | None) -> dict[int, int]:
    return {} if number is None else {number: number}
