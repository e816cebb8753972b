"""One SQLite connection shared by many threads, whose errors become messages that say what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils import Database

from segr1_app.domain import (
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    UnknownRecordError,
)
from segr1_app.store.migrations import migrations

MISSING = (-1, -1)
BUSY_SECONDS = 30.0
"""How many seconds a transaction waits for one of another process."""


class Connection:
    """A database connection that is used by one thread at a time, for one transaction.

    Args:
        db: connected with ``check_same_thread=False`` if several threads are to use it; migrated here.

    Raises:
        StoreError: when the database cannot be migrated.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.RLock()
        with self._lock, translate_errors():
            db.execute("PRAGMA foreign_keys = ON")
            # An acknowledged save survives even a power cut; in WAL mode that takes one fsync.
            db.execute("PRAGMA synchronous = FULL")
            # The inner pages of a million rows' indices stay in memory: 64 MiB.
            db.execute("PRAGMA cache_size = -65536")
            pending = migrations.pending(db)
            self._files = self._open_files()
        if pending:
            with self.write():
                migrations.apply(db)

    @contextmanager
    def read(self) -> Iterator[Database]:
        """Read the database in a consistent state, whatever other processes do meanwhile.

        Raises:
            StoreError: when SQLite fails.
        """
        with self._transaction("BEGIN") as db:
            yield db

    @contextmanager
    def write(self) -> Iterator[Database]:
        """A transaction that is stored completely if it ends without an error, else not at all.

        It takes the write lock immediately (``IMMEDIATE``), so that what it reads is not outdated when it writes.

        Raises:
            StoreError: when SQLite fails.
        """
        with self._transaction("BEGIN IMMEDIATE") as db:
            yield db

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Database]:
        with self._lock, translate_errors():
            if self._in_transaction():
                raise RuntimeError("a transaction of the store was begun within another one")
            self._check_files()
            self._db.execute(begin)
            try:
                yield self._db
                self._db.execute("COMMIT")
                self._check_files(written=begin != "BEGIN")
            except BaseException:
                # Some errors, a full disk among them, have ended the transaction already.
                if self._in_transaction():
                    self._db.execute("ROLLBACK")
                raise

    def _check_files(self, *, written: bool = False) -> None:
        """Raise `StoreError` if the database's files are no longer those that are open.

        SQLite keeps writing to a deleted file: anything saved then is lost when the process ends.
        """
        if not self._files:
            return  # in memory
        for file, known in self._files.items():
            if _identity(file) != known:
                raise StoreError(
                    f"'{file}' was deleted or replaced while it was open, so nothing was saved: stop the app, put the "
                    "file back, or restore a backup, and start the app again."
                )
        log = Path(f"{next(iter(self._files))}-wal")
        # It exists from the first write on, and must not be removed while this connection is open.
        if written and log not in self._files and (made := _identity(log)) != MISSING:
            self._files[log] = made

    def _open_files(self) -> dict[Path, tuple[int, int]]:
        """The database's files and what identifies them; none for a database in memory.

        Raises:
            StoreError: when the database was deleted since it was opened.
        """
        name = self._file_name()
        if not name:
            return {}
        files = {path: _identity(path) for path in (Path(name), Path(f"{name}-wal"))}
        if files[Path(name)] == MISSING:
            raise StoreError(f"'{name}' was deleted while it was being opened: put the file back, or restore a backup.")
        # A database without changes that are to be merged may have no log yet.
        return {path: known for path, known in files.items() if known != MISSING}

    def _file_name(self) -> str:
        """The path of the database; empty for one in memory."""
        name: str = next(row[2] for row in self._db.execute("PRAGMA database_list") if row[1] == "main")
        return name

    def _in_transaction(self) -> bool:
        return self._db.conn.in_transaction

    def copy_to(self, target: Path) -> None:
        """Copy the database in one consistent state; other connections keep writing meanwhile."""
        with self._lock, translate_errors():
            name = self._file_name()
        with translate_errors(), closing(sqlite3.connect(target)) as copy:
            if not name:
                # In memory there is only this one connection.
                with self._lock:
                    self._db.conn.backup(copy)
                return
            # A separate connection: copying a large database must not block this one.
            with closing(connect_existing(Path(name)).conn) as source:
                source.backup(copy)

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _identity(file: Path) -> tuple[int, int]:
    """The device and inode of a file; `MISSING` if it does not exist."""
    try:
        found = file.stat()
    except OSError:
        return MISSING
    return found.st_dev, found.st_ino


def connect(file: Path) -> Database:
    """Connect to a database file for many threads and many processes; it is created when missing.

    Raises:
        StoreError: when it is not a database or cannot be created.
    """
    with translate_errors():
        connection = sqlite3.connect(file, check_same_thread=False, timeout=BUSY_SECONDS)
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            return Database(connection)
        except sqlite3.Error:
            connection.close()
            raise


def connect_existing(file: Path) -> Database:
    """Connect to an existing database file; read-only where it is not writable.

    Raises:
        StoreReadOnlyError: when it was not closed properly, so that reading it would need to write to it first.
        StoreError: when it is not a database.
    """
    if os.access(file, os.W_OK) and os.access(file.parent, os.W_OK):
        return connect(file)
    log, index = (file.with_name(f"{file.name}-{kind}") for kind in ("wal", "shm"))
    with translate_errors():
        unmerged = log.exists() and log.stat().st_size > 0
        if unmerged and not index.exists():
            raise StoreReadOnlyError(
                f"'{file.parent}' is read-only, and its last changes are not merged into {file.name} yet: "
                "make the folder writable and open it once, or copy it to a place that is."
            )
        # Without side files, SQLite would have to create them. Nobody can write here, so it need not watch for writers.
        # The address quotes characters that a folder's name may contain: #, ? and %.
        address = f"{file.resolve().as_uri()}?{'mode=ro' if unmerged else 'immutable=1'}"
        return Database(sqlite3.connect(address, uri=True, check_same_thread=False, timeout=BUSY_SECONDS))


_FULL = "The disk is full: free some disk space and try again; what was saved is safe."
# A database that was opened read-only stays so until it is opened again.
_READ_ONLY = (
    "The annotations are read-only: make the data folder and the files in it writable, and start the app "
    "again; what was saved is safe."
)
_BY_CODE: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (StoreFullError, _FULL),
    sqlite3.SQLITE_READONLY: (StoreReadOnlyError, _READ_ONLY),
    sqlite3.SQLITE_BUSY: (StoreBusyError, "Another process has locked the annotations: try again in a moment."),
    sqlite3.SQLITE_LOCKED: (StoreBusyError, "Another process has locked the annotations: try again in a moment."),
    sqlite3.SQLITE_CORRUPT: (StoreDamagedError, "The annotation database is damaged: restore a backup."),
    sqlite3.SQLITE_NOTADB: (StoreDamagedError, "The file segr1.db is not an annotation database: restore a backup."),
    sqlite3.SQLITE_CANTOPEN: (StoreError, "The annotation database cannot be opened: check the data folder --home."),
}


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn errors of SQLite and of the file system into a `StoreError` that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        # The low byte is the kind of error, the others give details; a file size limit is reported as a write error.
        full = code in (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_SHMSIZE)
        kind, text = _BY_CODE.get(
            sqlite3.SQLITE_FULL if full else code & 0xFF, (StoreError, f"The annotation database failed: {error}.")
        )
        raise kind(text) from error
    except OverflowError as error:
        raise UnknownRecordError("There is no record with so large a number.") from error
    except UnicodeEncodeError as error:
        raise StoreError("A text holds a lone surrogate, which cannot be stored.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreFullError(_FULL) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StoreReadOnlyError(_READ_ONLY) from error
        raise StoreError(f"The data folder cannot be used: {error}.") from error
