"""A consistent copy of a store that is in use."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from segr1_app.domain import StoreError
from segr1_app.files.atomic import whole_path
from segr1_app.store.connection import Connection, translate_errors
from segr1_app.store.pictures import PictureFolder


def back_up(connection: Connection, pictures: PictureFolder, database: Path, copies: PictureFolder) -> list[str]:
    """Copy the database to the file ``database`` and the pictures that it references to ``copies``.

    Pictures are copied after the database: they are written before their rows and never change, so each one that the
    copy references is there. Pictures in an earlier backup are not copied again.

    Returns:
        A sentence for each picture that could not be copied because it is damaged or missing here; all else is there.

    Raises:
        StoreError: when the copy cannot be written, or the target is a store in use.
    """
    if database.with_name(f"{database.name}-wal").exists():
        raise StoreError(f"{database.parent} is a store in use, or was not closed properly: choose another folder.")
    with translate_errors():
        copies.folder.mkdir(parents=True, exist_ok=True)
    with translate_errors(), whole_path(database, lasting=True) as part:
        connection.copy_to(part)
        with closing(sqlite3.connect(part)) as copy:
            # Otherwise the copy would have side files under its temporary name.
            copy.execute("PRAGMA journal_mode = DELETE")
            known = copy.execute("SELECT sha256, original FROM pictures").fetchall()
        problems = []
        for sha256, original in known:
            try:
                source, target = pictures.path(sha256, original), copies.path(sha256, original)
                if not target.exists():
                    with whole_path(target, lasting=True) as unfinished:
                        shutil.copyfile(source, unfinished)
            except (ValueError, FileNotFoundError):
                problems.append(f"The picture {sha256[:64]!r} is damaged or missing here, and not in the copy.")
    return problems
