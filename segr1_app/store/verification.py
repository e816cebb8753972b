"""A complete check: digests, masks, references and derived data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from segr1_app.domain import ImageSize, StoreDamagedError
from segr1_app.files.foreign_json import parse_json
from segr1_app.geometry import decode_rle, union_masks
from segr1_app.store.class_list import class_problems
from segr1_app.store.connection import Connection
from segr1_app.store.consistency import derived_problems
from segr1_app.store.pictures import PictureFolder
from segr1_app.store.record_schema import JSON_COLUMNS, mask_problem, record_problem
from segr1_app.store.revisions import revision_hash
from segr1_app.store.rows import content_hash, read_object, stored_prompt, truth_hash

PAGE = 200
"""Rows read at a time."""

_Check: TypeAlias = Callable[[Mapping[str, Any]], str | None]


def problems(connection: Connection, pictures: PictureFolder) -> Iterator[str]:
    """A sentence for each problem of a store; nothing for an intact one."""
    # Nothing is yielded within a transaction: the consumer may be slow, or use the store itself.
    with connection.read() as db:
        found = [f"SQLite: {row[0]}" for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        broken = db.execute("PRAGMA foreign_key_check").fetchall()
        unusable = class_problems(db)
    yield from (*found, *unusable)
    yield from (f"A row of {row[0]} refers to one of {row[2]} that is missing." for row in broken)
    for row in _pages(connection, "SELECT rowid AS number, * FROM pictures WHERE rowid > ? ORDER BY rowid LIMIT ?"):
        problem = record_problem("pictures", row)
        if problem:
            yield f"Row {row['number']} of pictures: {problem}."
            continue
        try:
            picture = pictures.decoded(row["sha256"], row["original"])
        except StoreDamagedError as error:
            yield str(error)
            continue
        if tuple(picture.size) != (row["width"], row["height"]):
            yield f"The stored picture {row['sha256'][:12]} has another size than the database says."
        elif picture.sha256 != row["sha256"]:
            yield (
                f"The stored picture {row['sha256'][:12]} is decoded to other pixels than before: its file is "
                "unchanged, but Pillow or its libraries have another version."
            )
    yield from _ground_truth_problems(connection)
    for table in ("tasks", "choices"):
        for row in _pages(connection, f"SELECT rowid AS number, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"):
            problem = record_problem(table, row)
            if problem:
                yield f"Row {row['number']} of {table}: {problem}."
    yield from _row_problems(connection, "predictions", prediction_problem)
    yield from _row_problems(connection, "revisions", revision_problem, _PREDICTION_HASH)
    yield from derived_problems(connection)


def _pages(connection: Connection, query: str) -> Iterator[dict[str, Any]]:
    """The rows of a paged query, a page per transaction."""
    after = 0
    while True:
        with connection.read() as db:
            rows = list(db.query(query, [after, PAGE]))
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1]["number"]


def _ground_truth_problems(connection: Connection) -> Iterator[str]:
    query = """
        SELECT g.rowid AS number, g.*, pictures.width, pictures.height
        FROM ground_truths AS g JOIN pictures ON pictures.sha256 = g.picture
        WHERE g.rowid > ? ORDER BY g.rowid LIMIT ?
    """
    for row in _pages(connection, query):
        problem = _read(row, ground_truth_problem)
        if problem:
            yield f"The ground truth of picture {row['picture'][:12]}: {problem}."


_PREDICTION_HASH = ", (SELECT content_hash FROM predictions WHERE id = t.prediction) AS prediction_hash"


def _row_problems(connection: Connection, table: str, check: _Check, more: str = "") -> Iterator[str]:
    query = f"""
        SELECT t.id AS number, t.*, tasks.picture, pictures.width, pictures.height{more}
        FROM {table} AS t JOIN tasks ON tasks.id = t.task JOIN pictures ON pictures.sha256 = tasks.picture
        WHERE t.id > ? ORDER BY t.id LIMIT ?
    """
    for row in _pages(connection, query):
        problem = _read(row, check)
        if problem:
            yield f"Row {row['id']} of {table}: {problem}."


def _read(row: Mapping[str, Any], check: _Check) -> str | None:
    """The result of ``check`` for a row; an unreadable row is a problem, too."""
    try:
        return check(row)
    except (ValueError, KeyError, TypeError) as error:
        return f"its content cannot be read ({error})"


_DIGEST: Final = "its content does not have the digest it was stored with"


def ground_truth_problem(row: Mapping[str, Any]) -> str | None:
    """What is wrong with a row of ground truths, with "width" and "height" of its picture; None if nothing is."""
    digest = truth_hash(row["picture"], row["instruction"], row["mask"])
    return _content_problem("ground_truths", row, as_stored=digest == row["content_hash"])


def prediction_problem(row: Mapping[str, Any]) -> str | None:
    """What is wrong with a row of predictions, with "picture", "width" and "height" of its picture; None if nothing."""
    left_out = {"id", "task", "content_hash", "number", "width", "height"}
    digest = content_hash({name: value for name, value in row.items() if name not in left_out})
    problem = _content_problem("predictions", row, as_stored=digest == row["content_hash"])
    if problem is None:
        for record in json.loads(row["objects"]):
            stored_prompt(record)
    return problem


def revision_problem(row: Mapping[str, Any]) -> str | None:
    """What is wrong with a row of revisions, with its picture's columns and "prediction_hash"; None if nothing is."""
    as_stored = revision_hash(row, row["picture"]) == row["content_hash"]
    problem = _content_problem("revisions", row, as_stored=as_stored)
    if problem:
        return problem
    size = ImageSize(row["width"], row["height"])
    union = union_masks((read_object(record).mask for record in json.loads(row["objects"])), size)
    if (union != decode_rle(json.loads(row["mask"]))).any():
        return "its mask is not the union of its objects' masks"
    return None


def _content_problem(table: str, row: Mapping[str, Any], *, as_stored: bool) -> str | None:
    """What is wrong with a row's digest, with the types and ranges of its values, and with its masks."""
    record = json_values(table, row)
    found = [] if as_stored else [_DIGEST]
    problem = record_problem(table, record) or mask_problem(table, record, ImageSize(row["width"], row["height"]))
    return "; ".join([*found, problem] if problem else found) or None


def json_values(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table with its JSON columns read.

    Raises:
        ValueError, TypeError: when one of them is not valid JSON.
    """
    return {**row, **{name: parse_json(row[name]) for name in JSON_COLUMNS[table]}}
