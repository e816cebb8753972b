"""What a store sends to other stores: its records by content, and only those that another store would accept.

A record can be unacceptable, for example because another program changed it or an earlier version computed digests
differently. It stays here and is reported, and so is everything that refers to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlite_utils import Database

from segr1_app.domain import StoreError
from segr1_app.store.records import check_record
from segr1_app.store.verification import ground_truth_problem, json_values, prediction_problem, revision_problem

_SIZE: Final = """(SELECT width FROM pictures WHERE sha256 = {picture}) AS width,
    (SELECT height FROM pictures WHERE sha256 = {picture}) AS height"""
_OF_TASK: Final = f"""(SELECT picture FROM tasks WHERE tasks.id = t.task) AS picture,
    (SELECT instruction FROM tasks WHERE tasks.id = t.task) AS asked,
    {_SIZE.format(picture="(SELECT picture FROM tasks WHERE tasks.id = t.task)")}"""
_NAMED: Final = {
    "pictures": "t.*",
    "ground_truths": f"t.*, {_SIZE.format(picture='t.picture')}",
    "tasks": "t.picture, t.instruction, t.created_at",
    "predictions": f"t.*, {_OF_TASK}",
    "revisions": f"""t.*, {_OF_TASK},
        (SELECT content_hash FROM predictions WHERE id = t.prediction) AS prediction_hash,
        (SELECT content_hash FROM revisions WHERE id = t.origin) AS origin_hash""",
    "choices": f"""t.*, {_OF_TASK},
        (SELECT content_hash FROM revisions WHERE id = t.revision) AS revision_hash""",
}
"""The columns read from each table ``t``; "asked" is the present instruction of a record's task."""
_FOLLOWS: Final = {
    "revisions": (("predictions", "prediction"), ("revisions", "origin")),
    "choices": (("revisions", "revision"),),
}
"""Which rows a row of a table refers to, and in which column."""
_OWN_NUMBERS: Final = frozenset({"id", "task", "parent", "prediction", "origin", "revision"})
"""Columns whose values are only valid in one store."""
_CHECKS: Final = {
    "ground_truths": ground_truth_problem,
    "predictions": prediction_problem,
    "revisions": revision_problem,
}

_Key = tuple[str, int]


class Outgoing:
    """Entries of a journal with the rows that they name, and those that these follow from.

    Args:
        db: the database, in a transaction; not needed afterwards.
        entries: rows of the journal.
    """

    def __init__(self, db: Database, entries: Sequence[Mapping[str, Any]]) -> None:
        self._entries = entries
        self._rows: dict[_Key, Mapping[str, Any]] = {}
        waiting: list[_Key] = [(entry["kind"], entry["row"]) for entry in entries]
        while waiting:
            table, number = waiting.pop()
            if (table, number) not in self._rows:
                query = f"SELECT {_NAMED[table]} FROM {table} AS t WHERE t.rowid = ?"
                self._rows[table, number] = next(db.query(query, [number]))
                waiting += self._origins((table, number))
        self._own: dict[_Key, str | None] = {}

    def checked(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The records that every store would accept, and a sentence for each of the others."""
        records, problems = [], []
        for entry in self._entries:
            key = (entry["kind"], entry["row"])
            problem = self._problem(key)
            if problem:
                problems.append(f"Row {key[1]} of {key[0]} is not synced: {problem}.")
            else:
                records.append(self._portable(entry))
        return records, problems

    def _origins(self, key: _Key) -> list[_Key]:
        row = self._rows[key]
        return [(table, row[column]) for table, column in _FOLLOWS.get(key[0], ()) if row[column] is not None]

    def _problem(self, key: _Key) -> str | None:
        """What is wrong with a row, or with one that it refers to."""
        waiting, seen = [key], set[_Key]()
        while waiting:
            each = waiting.pop()
            if each in seen:
                continue
            seen.add(each)
            if each not in self._own:
                self._own[each] = self._own_problem(*each)
            problem = self._own[each]
            if problem:
                return problem if each == key else f"it refers to row {each[1]} of {each[0]}, which is not"
            waiting += self._origins(each)
        return None

    def _own_problem(self, table: str, number: int) -> str | None:
        row = self._rows[table, number]
        try:
            check_record({**json_values(table, row), "table": table})
            check = _CHECKS.get(table)
            return check({name: row[name] for name in row if name != "asked"}) if check else None
        except StoreError as error:
            return str(error).removesuffix(".")
        except (ValueError, KeyError, TypeError) as error:
            return f"its content cannot be read ({error})"

    def _portable(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The record of an entry, which refers to other records by content."""
        table = entry["kind"]
        left_out = _OWN_NUMBERS | (frozenset({"width", "height"}) if table != "pictures" else frozenset())
        content = json_values(table, self._rows[table, entry["row"]])
        content = {name: value for name, value in content.items() if name not in left_out}
        renamed = {} if entry["was"] is None else {"was": entry["was"]}
        return {"table": table, "at": entry["at"], **content, **renamed}
