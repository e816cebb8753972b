"""COCO annotations: polygons, run lengths, boxes and keypoints, one task per picture and category.

The file is read as a stream. In memory are the names of the categories and one picture's annotations; the others wait
in a temporary database, which SQLite keeps on disk.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from segr1_app.domain import DatasetError
from segr1_app.language.typed_text import storable
from segr1_app.store.exchange.coordinates import size_of
from segr1_app.store.exchange.files import Files, translate_read_errors
from segr1_app.store.exchange.import_options import Progress, Watch, ignore
from segr1_app.store.exchange.intake import Content, Listing, Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers.coco_shapes import category_fields, category_key, id_key, shape_of
from segr1_app.store.exchange.readers.json_stream import Member, members
from segr1_app.store.exchange.readers.sources import Found, Head, Source, Tree

LISTS: Final = frozenset({"categories", "images", "annotations"})
_NAMED: Final = 5
"""How many of several similar records a sentence lists."""


def find(tree: Tree) -> list[Source]:
    """COCO files."""
    return [
        _captions(tree, name) if _is_captions(tree.head(name)) else source(tree, name)
        for name in tree.with_suffix(".json")
        if is_coco(tree.head(name))
    ]


def _not_lists(head: Head | None, where: str) -> Iterator[str]:
    """Sentences about members that should be lists but are objects by id, as some tools write them."""
    for key in sorted(LISTS & (head.keys - head.lists if head else frozenset())):
        found = "an object" if head is not None and head.values.get(key) else "another value"
        yield f"{where}: its {key} are left out: they must be a list, not {found}."


def _captions(tree: Tree, name: PurePosixPath) -> Source:
    sentence = f"{tree.files.display_name(name)}: its captions are left out: they mark no pixels."
    return Source("COCO captions", [name], lambda _: iter([sentence]))


def is_coco(head: Head | None) -> bool:
    """Whether a JSON file begins like a COCO file."""
    if head is None or head.kind != "map" or "videos" in head.keys:
        return False
    if "images" in head.keys or "categories" in head.lists:
        return True
    # Of a large file only the first annotation may be known, or nothing of it.
    inner = head.values.get("annotations", frozenset())
    return "annotations" in head.lists and (not inner or bool(inner & {"image_id", "segmentation"}))


def _is_captions(head: Head | None) -> bool:
    inner = head.values.get("annotations", frozenset()) if head else frozenset()
    return "caption" in inner and not inner & {"segmentation", "bbox", "instruction"}


def source(tree: Tree, name: PurePosixPath) -> Source:
    """One COCO file."""

    def records(pictures: Pictures) -> Iterator[Found]:
        yield from _not_lists(tree.head(name), tree.files.display_name(name))
        yield from read(tree.files, name, pictures, tree.options.watch)

    return Source("COCO", [name], records)


def read(files: Files, name: PurePosixPath, pictures: Pictures, watch: Watch = ignore) -> Iterator[Found]:
    """The pictures of a COCO file with their annotations.

    Raises:
        DatasetError: when it is not a COCO file.
    """
    where = files.display_name(name)
    # An empty name is SQLite's for a private temporary database on disk, deleted with its connection.
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        yield from spool(db, files, name, watch)
        categories = Categories.read(db)
        listed = db.execute("SELECT class FROM categories ORDER BY rowid").fetchall()
        yield Listing.of(where, (json.loads(text) for (text,) in listed))
        names = db.execute("SELECT file_name FROM images")
        pictures.expect(str(file_name) for (file_name,) in names if file_name)
        yield from _faults(db, where)
        for key, text in db.execute(
            "SELECT id, min(content) FROM images GROUP BY id HAVING count(DISTINCT content) = 1 ORDER BY min(rowid)"
        ).fetchall():
            image = json.loads(text)
            rows = db.execute("SELECT number, content FROM annotations WHERE image = ? ORDER BY number", [key])
            annotations = ((number, json.loads(content)) for number, content in rows.fetchall())
            try:
                found = pictures.find(name, str(image["file_name"]))
                yield _record(image, annotations, categories, found, f"{where}, {image['file_name']}")
            except DatasetError as error:
                yield f"{where}, {image['file_name']}: {error}"


def spool(db: sqlite3.Connection, files: Files, name: PurePosixPath, watch: Watch = ignore) -> Iterator[Remark | str]:
    """Write images, annotations and categories into a database; yields a sentence for each invalid one.

    Raises:
        DatasetError: when the file is not a COCO file.
    """
    where = files.display_name(name)
    db.execute("CREATE TABLE images (id TEXT, file_name TEXT, content TEXT)")
    db.execute("CREATE TABLE annotations (image TEXT, number INTEGER, content TEXT)")
    db.execute("CREATE TABLE categories (id TEXT, content TEXT, class TEXT)")
    # One transaction: a transaction per row would take far longer.
    db.execute("BEGIN")
    faults: list[Remark | str] = []
    numbers = dict.fromkeys(_ADD, 0)

    def report(read: int) -> None:
        watch(Progress(read, files.size(name), f"bytes of {name.name}"))

    with translate_read_errors(f"'{where}'"):
        try:
            for member in members(files, name, report):
                if member.key in _ADD:
                    numbers[member.key] += 1
                    _ADD[member.key](db, numbers[member.key], member, faults)
        except UnicodeDecodeError as error:
            raise DatasetError(f"'{where}' is not a COCO file: it is not in UTF-8: save it as UTF-8.") from error
        except json.JSONDecodeError as error:
            said = f"{error.msg} after {' '.join(error.doc[max(0, error.pos - 60) : error.pos].split())!r}"
            raise DatasetError(f"'{where}' is not a COCO file: it is damaged or cut off ({said}).") from error
    db.execute("CREATE INDEX annotations_image ON annotations (image)")
    db.execute("COMMIT")
    for fault in faults:
        yield Remark(f"{where}, {fault.message}") if isinstance(fault, Remark) else f"{where}, {fault}"


def _add_image(db: sqlite3.Connection, number: int, member: Member, faults: list[Remark | str]) -> None:
    image, which = member.value, f"image {number}"
    if not isinstance(image, dict):
        faults.append(f"{which} is left out: it is {member.text[:60]} and no record.")
        return
    key = id_key(image.get("id"))
    which += f" (id {image.get('id')})" if key else ""
    if not key:
        faults.append(f"{which} is left out: it has no id.")
    elif (file_name := _file_name(image)) is None:
        faults.append(f"{which} is left out: it has no file_name.")
        db.execute("INSERT INTO images VALUES (?, NULL, '')", [key])
    else:
        content = json.dumps({**image, "file_name": file_name})
        db.execute("INSERT INTO images VALUES (?, ?, ?)", [key, storable(file_name), content])


def _file_name(image: Mapping[str, Any]) -> str | None:
    """A picture's file name; LVIS only has addresses."""
    for key in ("file_name", "coco_url", "flickr_url"):
        value = image.get(key)
        if key == "file_name" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.strip():
            return value
    return None


def _add_annotation(db: sqlite3.Connection, number: int, member: Member, faults: list[Remark | str]) -> None:
    annotation = member.value
    if not isinstance(annotation, dict):
        faults.append(f"annotation {number} is left out: it is {member.text[:60]} and no record.")
        return
    unread = [field for field, value in annotation.items() if isinstance(value, float) and not math.isfinite(value)]
    if unread:
        faults.append(Remark(f"annotation {number}: its {', '.join(unread)} is not a number and is not used."))
    key = id_key(annotation.get("image_id"))
    if not key:
        faults.append(f"annotation {number} is left out: it has no image_id.")
    else:
        # The original text: serialising it again would take longer than reading it.
        db.execute("INSERT INTO annotations VALUES (?, ?, ?)", [key, number, member.text])


def _add_category(db: sqlite3.Connection, number: int, member: Member, faults: list[Remark | str]) -> None:
    category = member.value
    if not isinstance(category, dict) or not id_key(category.get("id")) or not category.get("name"):
        faults.append(f"category {number} is left out: it has no id or no name.")
    else:
        name = storable(str(category["name"]))
        db.execute("INSERT INTO categories VALUES (?, ?, ?)", [id_key(category["id"]), name, _class(name, category)])


def _class(name: str, category: Mapping[str, Any]) -> str:
    """A category as the JSON of a class."""
    return json.dumps({"name": name, **category_fields(category)})


_ADD: Final = {"images": _add_image, "annotations": _add_annotation, "categories": _add_category}


@dataclass(frozen=True, slots=True)
class Categories:
    """Names by id; ids with two names are ``doubtful``."""

    names: Mapping[str, str]
    doubtful: frozenset[str]

    @classmethod
    def read(cls, db: sqlite3.Connection) -> Categories:
        rows = db.execute("SELECT id, min(content), count(DISTINCT content) FROM categories GROUP BY id").fetchall()
        return cls({key: name for key, name, count in rows if count == 1}, frozenset(k for k, _, n in rows if n > 1))

    def name(self, annotation: Mapping[str, Any]) -> str:
        """An annotation's class.

        Raises:
            ValueError: when it has none.
        """
        key = category_key(annotation)
        if not key:
            raise ValueError("it has no category_id")
        if key in self.doubtful:
            raise ValueError(f"two categories have its category_id {key}")
        if key not in self.names:
            raise ValueError(f"its category_id {key} is not among the categories")
        return self.names[key]


def _faults(db: sqlite3.Connection, where: str) -> Iterator[str]:
    """Sentences about annotations without an image, and about duplicate ids."""
    orphans = "FROM annotations WHERE image NOT IN (SELECT id FROM images)"
    count = db.execute(f"SELECT count(*) {orphans}").fetchone()[0]
    if count:
        ids = [row[0] for row in db.execute(f"SELECT DISTINCT image {orphans} LIMIT {_NAMED}")]
        numbers = [str(row[0]) for row in db.execute(f"SELECT number {orphans} LIMIT {_NAMED}")]
        more = ", ..." if count > _NAMED else ""
        yield (
            f"{where}: {count} annotation{'s' if count > 1 else ''} ({', '.join(numbers)}{more}) left out: there is no "
            f"image with their image_id ({', '.join(ids)})."
        )
    twice = "SELECT id FROM images GROUP BY id HAVING count(DISTINCT content) > 1"
    for (key,) in db.execute(twice).fetchall():
        names = [str(row[0]) for row in db.execute("SELECT file_name FROM images WHERE id = ?", [key]).fetchall()]
        yield (
            f"{where}: {len(names)} images ({', '.join(names[:_NAMED])}) are left out with their annotations: all have "
            f"the id {key}."
        )
    broken = db.execute(
        "SELECT images.id, count(*) FROM images JOIN annotations ON annotations.image = images.id "
        "WHERE file_name IS NULL GROUP BY images.id"
    ).fetchall()
    for key, count in broken:
        yield f"{where}: {count} annotations are left out: their image (id {key}) has no file_name."
    db.execute("DELETE FROM images WHERE file_name IS NULL")


def _record(
    image: Mapping[str, Any],
    annotations: Iterator[tuple[int, Mapping[str, Any]]],
    categories: Categories,
    picture: Content | str,
    where: str,
) -> Record:
    declared = size_of(image.get("width"), image.get("height"))
    asked = image.get("instructions")
    parts = [part for number, annotation in annotations for part in _parts(number, annotation, categories)]
    return Record(
        where,
        picture,
        str(image.get("name") or image["file_name"]),
        parts,
        declared,
        instructions=tuple(str(words) for words in asked if words) if isinstance(asked, list) else (),
        listed=not parts,
    )


def _parts(number: int, annotation: Mapping[str, Any], categories: Categories) -> Iterator[Part]:
    which = f"annotation {number}" + (f" (id {annotation['id']})" if "id" in annotation else "")
    own = annotation.get("instruction")
    instruction = str(own) if own else None
    try:
        name: str | None = categories.name(annotation)
    except ValueError as error:
        if instruction is None:
            yield Part(which, str(error))
            return
        name = None
    try:
        yield Part(which, shape_of(annotation), name, instruction)
    except ValueError as error:
        yield Part(which, str(error), name, instruction)
