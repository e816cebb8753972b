"""COCO annotations as tasks with ground truth: one per picture and instruction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import PurePosixPath
from typing import IO, Any, Final

import ijson
import numpy as np
from pycocotools import mask as coco

from segr1_app.domain import DatasetError, ImageSize, Mask, SegR1Error
from segr1_app.geometry import check_rle, decode_rle
from segr1_app.images import load_picture
from segr1_app.store.exchange.files import Entry, Files, translate_read_errors
from segr1_app.store.exchange.outcomes import add_task
from segr1_app.store.exchange.pictures import PICTURES_FOLDER
from segr1_app.store.store import AnnotationStore

LISTS: Final = frozenset({"categories", "images", "annotations"})
SNIFFED: Final = 10_000
"""How many values of a JSON file are looked at for one of the `LISTS`."""


def is_coco(file: IO[bytes]) -> bool:
    """Whether a file begins like a COCO file."""
    try:
        return any(path in LISTS and kind == "start_array" for path, kind, _ in islice(ijson.parse(file), SNIFFED))
    except (ijson.JSONError, UnicodeDecodeError):
        return False


def import_coco(store: AnnotationStore, files: Files, name: PurePosixPath) -> Iterator[str | None]:
    """Take in a COCO file with the pictures beside it or in ``images/``.

    Annotations of one picture and one "instruction" (as our own export writes it), else of one category, are united
    into one ground truth.

    The file is read as a stream. In memory are the names of the categories, and one picture at a time with one mask per
    instruction; the other annotations wait in a temporary database, which SQLite keeps on disk.

    Args:
        store: where to.
        files: where the annotations and the pictures lie.
        name: the COCO file among them.

    Yields:
        None or a `Notice` for each task, a sentence for each picture or annotation that could not be taken.

    Raises:
        DatasetError: when the file is no COCO file.
    """
    # An empty name is SQLite's for a database on disk that nobody else sees and that goes with its connection.
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        try:
            with translate_read_errors(f"'{files.display_name(name)}'"):
                categories = _spool(db, files, name)
        except (sqlite3.Error, ijson.JSONError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"'{files.display_name(name)}' is no COCO file: {error!r}") from error
        for number, text in db.execute("SELECT id, content FROM images ORDER BY rowid"):
            annotations = db.execute("SELECT content FROM annotations WHERE image = ? ORDER BY rowid", [number])
            image, parts = json.loads(text), (json.loads(part) for (part,) in annotations)
            yield from _take(store, _find(files, name.parent, image["file_name"]), image, parts, categories)


def _spool(db: sqlite3.Connection, files: Files, name: PurePosixPath) -> Mapping[Any, str]:
    """Put images and annotations where they are found by picture; returns the categories' names."""
    with files.open(name) as file:
        if not is_coco(file):
            raise ValueError(f"none of {', '.join(sorted(LISTS))} is in it")
    db.execute("CREATE TABLE images (id TEXT, content TEXT)")
    db.execute("CREATE TABLE annotations (image TEXT, content TEXT)")
    # One transaction, never to be ended: each row of its own would take as long as all of them.
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO images VALUES (?, ?)",
        (
            (json.dumps(image["id"]), json.dumps({**image, "file_name": str(image["file_name"])}))
            for image in _items(files, name, "images")
        ),
    )
    db.executemany(
        "INSERT INTO annotations VALUES (?, ?)",
        ((json.dumps(each["image_id"]), json.dumps(each)) for each in _items(files, name, "annotations")),
    )
    db.execute("CREATE INDEX annotations_image ON annotations (image)")
    return {category["id"]: str(category["name"]) for category in _items(files, name, "categories")}


def _items(files: Files, name: PurePosixPath, key: str) -> Iterator[dict[str, Any]]:
    """The members of one of a file's `LISTS`, one at a time."""
    with files.open(name) as file:
        yield from ijson.items(file, f"{key}.item", use_float=True)


def _take(
    store: AnnotationStore,
    entry: Entry | None,
    image: Mapping[str, Any],
    annotations: Iterator[Mapping[str, Any]],
    categories: Mapping[Any, str],
) -> Iterator[str | None]:
    """The tasks of one picture."""
    file_name = image["file_name"]
    try:
        if entry is None:
            raise DatasetError(
                "there is no such picture beside the annotations or in their images folder (on the page, put all of it "
                "into one ZIP archive)."
            )
        picture = load_picture(entry.read())
    except SegR1Error as error:
        yield f"{file_name}: {error}"
        return
    masks: dict[str, Mask] = {}
    for annotation in annotations:
        try:
            instruction = _instruction(annotation, categories)
            part = _mask(annotation["segmentation"], picture.size)
            masks[instruction] = masks[instruction] | part if instruction in masks else part
        except (ValueError, KeyError, TypeError) as error:
            yield f"{file_name}: an annotation cannot be read ({error})."
    sha256 = store.add_picture(picture, str(image.get("name", PurePosixPath(file_name).name)))
    for instruction, mask in masks.items():
        try:
            yield add_task(store, sha256, instruction, mask, file_name)
        except SegR1Error as error:
            yield f"{file_name}: {error}"


def _find(files: Files, folder: PurePosixPath, file_name: str) -> Entry | None:
    """The file of a picture; never one outside the annotations' own folder."""
    inside = PurePosixPath(file_name)
    if ".." in inside.parts or inside.is_absolute():
        return None
    places = (folder / inside, folder / PICTURES_FOLDER / inside)
    return next((Entry(files, place) for place in places if files.holds(place)), None)


def _instruction(annotation: Mapping[str, Any], names: Mapping[Any, str]) -> str:
    own = annotation.get("instruction")
    return str(own) if own else f"Identify and segment the {names[annotation['category_id']]}."


def _mask(segmentation: Any, size: ImageSize) -> Mask:
    """A segmentation of any of COCO's three kinds: polygons, runs, runs as a compressed text."""
    width, height = size
    if isinstance(segmentation, list):
        polygons = [[float(value) for value in polygon] for polygon in segmentation]
        if not polygons or any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
            raise ValueError("a polygon has at least three corners of two coordinates")
        if not np.isfinite(np.concatenate(polygons)).all():
            raise ValueError("a polygon has finite coordinates")
        # The rasteriser allocates by the coordinates it is given.
        inside = [np.clip(np.reshape(polygon, (-1, 2)), 0, (width, height)).ravel().tolist() for polygon in polygons]
        drawn: Mask = coco.decode(coco.merge(coco.frPyObjects(inside, height, width))).astype(bool)
        return drawn
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"the mask is of {segmentation['size']}, the picture of {[height, width]} (height, width)")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        check_rle({"size": [height, width], "counts": counts})
        return decode_rle({"size": [height, width], "counts": counts})
    runs = np.array(counts, dtype=np.int64)
    if (runs < 0).any() or int(runs.sum()) != width * height:
        raise ValueError("the run lengths do not add up to the picture")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    unrolled: Mask = np.ascontiguousarray(flat.reshape((height, width), order="F"))
    return unrolled
