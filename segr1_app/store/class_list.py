"""The list of classes of a data folder, in the database; within the caller's transaction.

A class has a number, from 1, which is its id in every export and is never given to another class, not even when the
class is taken off the list.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from reprlib import repr as short
from typing import Any, Final

from sqlite_utils import Database

from segr1_app.language.typed_text import storable
from segr1_app.store.classes import (
    KEYS,
    MAX_ATTRIBUTES,
    MAX_TAKEN_NUMBER,
    ClassAttribute,
    ClassListError,
    ObjectClass,
    attribute_values,
    read_class,
)
from segr1_app.store.exchange.class_names import class_instruction
from segr1_app.store.rows import to_json

MAX_CLASSES: Final = 10_000
"""Most classes of a list."""


def listed_classes(db: Database) -> list[ObjectClass]:
    """The list, in the order of the numbers."""
    return [_read(row) for row in db.query("SELECT * FROM classes WHERE listed ORDER BY number")]


def numbers(db: Database) -> dict[str, int]:
    """The number of every class that has one: of the list, taken off it, or exported without being on it."""
    return dict(db.execute("SELECT name, number FROM classes ORDER BY number").fetchall())


def number_names(db: Database, names: Collection[str]) -> None:
    """Give those names a number that have none; this does not put them on the list."""
    for name in names:
        db.execute("INSERT INTO classes (name) VALUES (?) ON CONFLICT DO NOTHING", [storable(name)])


def add(db: Database, described: ObjectClass) -> None:
    """Put a class on the list, with the next number unless it has one already.

    Raises:
        ClassListError: when its name or key is taken, its number is that of another class, its parents form a circle,
            or the list is full.
    """
    _add(db, {each.name: each for each in listed_classes(db)}, described)


def edit(db: Database, name: str, described: ObjectClass) -> None:
    """Replace what the list says of a class; its number stays.

    Raises:
        ClassListError: as `add`, and when a class in use is renamed: its objects would keep the old name.
        ClassListError: when there is no such class.
    """
    others = {each.name: each for each in listed_classes(db)}
    before = others.pop(name, None)
    if before is None:
        raise ClassListError(f"There is no class {short(name)} on the list.")
    _check_place(others, described)
    if described.number not in (None, before.number):
        raise ClassListError(f"'{name}' has the number {before.number} in exports: it cannot have another one.")
    if described.name != name:
        used = used_by(db, name)
        if used:
            raise ClassListError(
                f"'{name}' is the class of objects in {_tasks(used)}, which would keep that name: add "
                f"'{described.name}' as another class."
            )
        if _number_of(db, described.name) is not None:
            raise ClassListError(f"There is a class '{described.name}' already, with a number of its own.")
        db.execute("UPDATE classes SET name = ? WHERE name = ?", [described.name, name])
        db.execute("UPDATE classes SET parent = ? WHERE parent = ?", [described.name, name])
    _write(db, described)


def remove(db: Database, name: str, *, in_use: bool = False) -> None:
    """Take a class off the list; its number stays reserved for it.

    Args:
        db: the database.
        name: the class.
        in_use: whether it may be the class of objects, which keep it.

    Raises:
        ClassListError: when it is in use, and that was not allowed, when it is the parent of other classes, or when
            there is no such class.
    """
    if not any(db.execute("SELECT 1 FROM classes WHERE listed AND name = ?", [name])):
        raise ClassListError(f"There is no class {short(name)} on the list.")
    children = [row[0] for row in db.execute("SELECT name FROM classes WHERE listed AND parent = ?", [name])]
    if children:
        raise ClassListError(f"'{name}' is the parent of {short(', '.join(children))}: give these another one first.")
    used = 0 if in_use else used_by(db, name)
    if used:
        raise ClassListError(
            f"'{name}' is the class of objects in {_tasks(used)}: they keep it, so confirm that it is to be removed."
        )
    db.execute("UPDATE classes SET listed = 0, key = NULL WHERE name = ?", [name])


def merge(db: Database, found: Iterable[ObjectClass]) -> list[str]:
    """Add the classes that are new, with the lowest free keys; of others, add what the list does not say yet.

    A number, key, colour or parent that cannot be taken over is left out; what somebody entered is never replaced.

    Returns:
        A sentence for each class that cannot be added.
    """
    problems = []
    here = {each.name: each for each in listed_classes(db)}
    free = [key for key in KEYS if key not in {each.key for each in here.values()}]
    for each in found:
        before = here.get(each.name)
        try:
            if before is not None:
                described = replace(
                    before,
                    colour=before.colour or each.colour,
                    parent=before.parent or each.parent,
                    description=before.description or each.description,
                    attributes=_joined(before.attributes, each.attributes),
                )
            else:
                key = each.key if each.key in free else free[0] if free else None
                described = replace(each, key=key, number=_free_number(db, each))
            if _circle(here, described):
                described = replace(described, parent=None)
            if before is None:
                _add(db, here, described)
            elif described != before:
                _write(db, described)
        except ClassListError as error:
            problems.append(str(error))
            continue
        here[each.name] = described
        if before is None and described.key in free:
            free.remove(described.key)
    return problems


def used_by(db: Database, name: str) -> int:
    """In how many tasks a class is that of a decided object, or what the task asks for."""
    # Objects are stored in one spelling, see `to_json`.
    (count,) = db.execute(
        "SELECT count(*) FROM tasks LEFT JOIN revisions ON revisions.id = tasks.current "
        "WHERE tasks.instruction = ? OR instr(revisions.objects, ?)",
        [class_instruction(name), f'"name":{to_json(name)}'],
    ).fetchone()
    return int(count)


def class_problems(db: Database) -> list[str]:
    """A sentence for each class of the list that this module would not have written."""
    here: dict[str, ObjectClass] = {}
    found = []
    for row in db.query("SELECT * FROM classes WHERE listed ORDER BY number"):
        try:
            here[row["name"]] = _read(row)
        except (ValueError, TypeError) as error:
            found.append(f"Class {row['number']} cannot be used: {error}")
    circles = [each for each in here.values() if _circle(here, each)]
    return [*found, *(f"Class {each.number} is among its own parents: {each.name}." for each in circles)]


def _read(row: Mapping[str, Any]) -> ObjectClass:
    fields = ("name", "number", "colour", "key", "parent", "description")
    return read_class({**{name: row[name] for name in fields}, "attributes": json.loads(row["attributes"])})


def _add(db: Database, here: Mapping[str, ObjectClass], described: ObjectClass) -> None:
    """Put a class on the list, which is ``here``; see `add`."""
    if described.name in here:
        raise ClassListError(f"There is a class '{described.name}' already: edit that one.")
    if len(here) >= MAX_CLASSES:
        raise ClassListError(f"The list has {MAX_CLASSES} classes, and no room for '{described.name}'.")
    number = _number_of(db, described.name)
    if number is None:
        _check_number(db, described)
    elif described.number not in (None, number):
        raise ClassListError(f"'{described.name}' has the number {number} in exports: it cannot have another one.")
    _check_place(here, described)
    if number is None:
        db.execute("INSERT INTO classes (number, name) VALUES (?, ?)", [described.number, described.name])
    _write(db, described)


def _check_place(others: Mapping[str, ObjectClass], described: ObjectClass) -> None:
    """Refuse a class whose key another one has, or that is among its own parents."""
    if described.key is not None:
        for other in others.values():
            if other.key == described.key:
                raise ClassListError(f"The key {described.key} is that of '{other.name}': choose another one.")
    if _circle(others, described):
        raise ClassListError(
            f"'{described.name}' cannot be below '{described.parent}': that is itself below '{described.name}'."
        )


def _write(db: Database, described: ObjectClass) -> None:
    db.execute(
        "UPDATE classes SET listed = 1, colour = ?, key = ?, parent = ?, description = ?, attributes = ? "
        "WHERE name = ?",
        [
            described.colour,
            described.key,
            described.parent,
            described.description,
            to_json(attribute_values(described.attributes)),
            described.name,
        ],
    )


def _circle(here: Mapping[str, ObjectClass], described: ObjectClass) -> bool:
    """Whether a class is among its own parents."""
    seen, parent = {described.name}, described.parent
    while parent is not None:
        if parent in seen:
            return True
        seen.add(parent)
        parent = here[parent].parent if parent in here else None
    return False


def _joined(own: tuple[ClassAttribute, ...], more: tuple[ClassAttribute, ...]) -> tuple[ClassAttribute, ...]:
    names = {each.name for each in own}
    return (*own, *(each for each in more if each.name not in names))[:MAX_ATTRIBUTES]


def _number_of(db: Database, name: str) -> int | None:
    row = db.execute("SELECT number FROM classes WHERE name = ?", [name]).fetchone()
    return row[0] if row else None


def _check_number(db: Database, described: ObjectClass) -> None:
    if described.number is None:
        return
    if described.number > MAX_TAKEN_NUMBER:
        raise ClassListError(f"The number of '{described.name}' must be at most {MAX_TAKEN_NUMBER}.")
    row = db.execute("SELECT name FROM classes WHERE number = ?", [described.number]).fetchone()
    if row:
        raise ClassListError(f"The number {described.number} is that of '{row[0]}' in exports: choose another one.")


def _free_number(db: Database, described: ObjectClass) -> int | None:
    """The number that a class from a file can have here; None for the next one, or for the one it has already."""
    if _number_of(db, described.name) is not None:
        return None
    try:
        _check_number(db, described)
    except ClassListError:
        return None
    return described.number


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"
