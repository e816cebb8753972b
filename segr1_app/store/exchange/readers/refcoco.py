"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO: expressions as instructions, each for one or several COCO annotations."""

from __future__ import annotations

import io
import json
import pickle
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import PurePosixPath
from typing import Any, Final

from segr1_app.domain import DatasetError
from segr1_app.store.exchange.coordinates import size_of
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.readers import coco
from segr1_app.store.exchange.readers.coco_shapes import id_key, shape_of
from segr1_app.store.exchange.readers.sources import Found, Head, Source, Tree, load_json
from segr1_app.store.exchange.shapes import Runs

_HOSTILE: Final = (
    # Errors of damaged or malicious pickles.
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)


class _Data(pickle.Unpickler):
    """Reads pickles of plain values only: a pickle that names anything to call is refused before it is called."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which plain data do not need")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"it refers to something outside of it ({pid!r})")


def find(tree: Tree) -> list[Source]:
    """Files of references with the COCO file they refer to, in the same folder."""
    found = []
    for name in tree.names:
        pickled = name.suffix.lower() in {".p", ".pkl"} and name.name.lower().startswith(("refs(", "grefs("))
        listed = name.suffix.lower() == ".json" and _is_references(tree.head(name))
        if not (pickled or listed):
            continue
        beside = [each for each in tree.with_suffix(".json") if each.parent == name.parent and each != name]
        instances = [each for each in beside if coco.is_coco(tree.head(each))]
        if len(instances) == 1:
            found.append(_source(tree, name, instances[0]))
    return found


def _is_references(head: Head | None) -> bool:
    return head is not None and head.kind == "array" and head.keys >= {"sentences", "image_id"}


def _source(tree: Tree, name: PurePosixPath, instances: PurePosixPath) -> Source:
    return Source("RefCOCO", [name, instances], lambda pictures: _read(tree, name, instances, pictures))


def _read(tree: Tree, name: PurePosixPath, instances: PurePosixPath, pictures: Pictures) -> Iterator[Found]:
    where = tree.files.display_name(name)
    references = _load(tree.entry(name))
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        yield from coco.spool(db, tree.files, instances)
        db.execute("CREATE TABLE wanted (image TEXT, reference TEXT)")
        db.execute("BEGIN")
        for number, reference in enumerate(references, start=1):
            if isinstance(reference, dict) and id_key(reference.get("image_id")):
                kept = {key: reference.get(key) for key in ("ref_id", "ann_id", "sentences", "no_target")}
                db.execute("INSERT INTO wanted VALUES (?, ?)", [id_key(reference["image_id"]), json.dumps(kept)])
            else:
                yield f"{where}, reference {number} is left out: it has no image_id."
        db.execute("CREATE INDEX wanted_image ON wanted (image)")
        db.execute("COMMIT")
        rows = db.execute("SELECT DISTINCT image FROM wanted").fetchall()
        for (key,) in rows:
            yield from _picture(db, key, instances, pictures, where)


def _load(entry: Entry) -> list[Any]:
    try:
        content = (
            load_json(entry)
            if entry.name.suffix.lower() == ".json"
            else _Data(io.BytesIO(entry.read()), encoding="utf-8").load()
        )
    except _HOSTILE as error:
        raise DatasetError(f"'{entry}' is not a list of references that can be read: {error}.") from error
    if not isinstance(content, list):
        raise DatasetError(f"'{entry}' is not a list of references.")
    return content


def _picture(
    db: sqlite3.Connection, key: str, instances: PurePosixPath, pictures: Pictures, where: str
) -> Iterator[Record | str]:
    row = db.execute("SELECT content FROM images WHERE id = ? AND file_name IS NOT NULL", [key]).fetchone()
    references = [json.loads(text) for (text,) in db.execute("SELECT reference FROM wanted WHERE image = ?", [key])]
    if row is None:
        yield f"{where}: {len(references)} references are left out: there is no image with their image_id ({key})."
        return
    image = json.loads(row[0])
    found = db.execute("SELECT content FROM annotations WHERE image = ?", [key]).fetchall()
    annotations = {id_key(each.get("id")): each for each in (json.loads(text) for (text,) in found)}
    parts = [part for reference in references for part in _parts(reference, annotations, image)]
    try:
        declared = size_of(image.get("width"), image.get("height"))
    except DatasetError as error:
        yield f"{where}, {image['file_name']}: {error}"
        return
    called = str(image["file_name"])
    picture = pictures.find(instances, called)
    yield Record(f"{where}, {called}", picture, PurePosixPath(called).name, parts, declared)


def _parts(
    reference: Mapping[str, Any], annotations: Mapping[str, Mapping[str, Any]], image: Mapping[str, Any]
) -> Iterator[Part]:
    which = f"reference {reference.get('ref_id')}"
    wanted = reference.get("ann_id")
    keys = [id_key(each) for each in (wanted if isinstance(wanted, list) else [wanted])]
    nothing = bool(reference.get("no_target")) or keys in ([], ["-1"])
    sentences = reference.get("sentences")
    if not isinstance(sentences, list) or not sentences:
        yield Part(which, "it has no expressions")
        return
    for sentence in sentences:
        words = sentence.get("raw") or sentence.get("sent") if isinstance(sentence, dict) else sentence
        if not isinstance(words, str) or not words.strip():
            yield Part(which, "an expression of it is not a text")
            continue
        if nothing:
            # gRefCOCO has expressions that intentionally match nothing in the picture.
            size = [image.get("height"), image.get("width")]
            yield Part(which, Runs(size, [int(image["height"]) * int(image["width"])], empty=True), None, words)
            continue
        missing = [key for key in keys if key not in annotations]
        if missing:
            yield Part(which, f"there is no annotation with its ann_id {', '.join(missing)}", None, words)
            continue
        try:
            shapes = [shape_of(annotations[key]) for key in keys]
        except ValueError as error:
            yield Part(which, str(error), None, words)
            continue
        for shape in shapes:
            yield Part(which, shape, None, words)
