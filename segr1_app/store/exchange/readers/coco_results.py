"""COCO results: what a model answered, with the COCO file that says which pictures and categories are meant."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import Final

from segr1_app.domain import DatasetError
from segr1_app.store.exchange.coordinates import number, size_of
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers import coco
from segr1_app.store.exchange.readers.coco_shapes import id_key, shape_of
from segr1_app.store.exchange.readers.json_stream import members
from segr1_app.store.exchange.readers.sources import Found, Head, Source, Tree

SURE: Final = 0.5
"""Answers of a lower score are left out."""


def find(tree: Tree) -> list[Source]:
    """Files of results, each with the only COCO file of its import."""
    results = [name for name in tree.with_suffix(".json") if _is_results(tree.head(name))]
    known = [name for name in tree.with_suffix(".json") if coco.is_coco(tree.head(name))]
    if not results or len(known) != 1:
        return []
    return [_source(tree, name, known[0]) for name in results]


def _is_results(head: Head | None) -> bool:
    return head is not None and head.kind == "array" and head.keys >= {"image_id", "category_id", "score"}


def _source(tree: Tree, name: PurePosixPath, known: PurePosixPath) -> Source:
    return Source("COCO results", [name], lambda pictures: _read(tree, name, known, pictures))


def _read(tree: Tree, name: PurePosixPath, known: PurePosixPath, pictures: Pictures) -> Iterator[Found]:
    where, unsure = tree.files.display_name(name), 0
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        list(coco.spool(db, tree.files, known))
        categories = coco.Categories.read(db)
        db.execute("CREATE TABLE results (image TEXT, number INTEGER, content TEXT)")
        db.execute("BEGIN")
        for place, result in enumerate((each.value for each in members(tree.files, name)), start=1):
            if not isinstance(result, dict):
                yield f"{where}, result {place} is left out: it is not a record."
                continue
            try:
                sure = number(result.get("score"), "its score") >= SURE
            except ValueError as error:
                yield f"{where}, result {place} is left out: {error}."
                continue
            if sure:
                row = [id_key(result.get("image_id")), place, json.dumps(result)]
                db.execute("INSERT INTO results VALUES (?, ?, ?)", row)
            else:
                unsure += 1
        db.execute("CREATE INDEX results_image ON results (image)")
        db.execute("COMMIT")
        if unsure:
            yield Remark(f"{where}: {unsure} results with a score below {SURE} are not used.")
        lost = db.execute("SELECT count(*) FROM results WHERE image NOT IN (SELECT id FROM images)").fetchone()[0]
        if lost:
            yield f"{where}: {lost} results are left out: there is no image with their image_id."
        rows = db.execute(
            "SELECT id, content FROM images WHERE file_name IS NOT NULL AND id IN (SELECT image FROM results)"
        )
        for key, text in rows.fetchall():
            image = json.loads(text)
            found = db.execute("SELECT number, content FROM results WHERE image = ? ORDER BY number", [key]).fetchall()
            parts = []
            for place, content in found:
                result = json.loads(content)
                try:
                    label = categories.name(result)
                    parts.append(Part(f"result {place}", shape_of(result), label, model=name.stem))
                except ValueError as error:
                    parts.append(Part(f"result {place}", str(error)))
            try:
                declared = size_of(image.get("width"), image.get("height"))
            except DatasetError as error:
                yield f"{where}: {error}"
                continue
            called = str(image["file_name"])
            yield Record(f"{where}, {called}", pictures.find(known, called), called, parts, declared)
