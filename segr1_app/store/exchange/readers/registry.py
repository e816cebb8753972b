"""Every kind of annotations that is read, and what else in a folder looks like annotations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from segr1_app.domain import DatasetError
from segr1_app.store.exchange.readers import (
    coco,
    coco_panoptic,
    coco_results,
    cvat,
    datumaro,
    label_studio,
    labelme,
    reasonseg,
    refcoco,
    sam,
    tables,
    via,
    voc,
    yolo,
)
from segr1_app.store.exchange.readers.index_table import INSTRUCTIONS_NAME
from segr1_app.store.exchange.readers.sources import Reader, Source, Tree

READERS: Final[tuple[Reader, ...]] = (
    tables.find,
    reasonseg.find,
    labelme.find,
    refcoco.find,
    sam.find,
    datumaro.find,
    label_studio.find,
    via.find,
    coco_results.find,
    coco_panoptic.find,
    coco.find,
    cvat.find,
    voc.find,
    yolo.find,
)
"""Those that know their files for sure come before those of a looser kind."""
_BINARY: Final = {
    ".mat": "MATLAB data",
    ".pkl": "a Python pickle",
    ".pickle": "a Python pickle",
    ".p": "a Python pickle",
    ".npy": "a NumPy array",
    ".npz": "NumPy arrays",
    ".h5": "HDF5 data",
    ".hdf5": "HDF5 data",
    ".tfrecord": "TensorFlow records",
    ".record": "TensorFlow records",
    ".mdb": "an LMDB database",
    ".ndjson": "JSON lines",
    ".geojson": "GeoJSON",
    ".datum": "Datumaro's binary form",
}
_NUMBERS: Final = re.compile(r"\s*\d+(?:\s+-?\d+(?:\.\d+)?(?:e-?\d+)?){4,}\s*")
_TABLE_WORDS: Final = re.compile(r"box|xmin|mask|rle|encodedpixels|label|class|segment|region|polygon|annotation", re.I)
_NO_ANNOTATIONS: Final = re.compile(
    r"^(readme|license|licence|requirements|changelog|notes?|citation|version|package|\.?git.*)(\.|$)", re.I
)


def find_sources(tree: Tree) -> list[Source]:
    """Annotations of every kind that is read; their files are claimed."""
    found = []
    for reader in READERS:
        for source in reader(tree):
            found.append(source)
            tree.claim(source.claimed)
    return found


def not_understood(tree: Tree) -> Iterator[str]:
    """What unclaimed files look like annotations, and of what: a sentence for each folder and kind."""
    alike: dict[tuple[PurePosixPath, str], list[PurePosixPath]] = {}
    stems = {name.stem for name in tree.pictures()}
    for name in tree.names:
        try:
            kind = None if _NO_ANNOTATIONS.match(name.name) else _looks_like(tree, name, stems)
        except DatasetError as error:
            kind = f"annotations that cannot be read ({error})"
        if kind is not None:
            alike.setdefault((name.parent, kind), []).append(name)
    for (_, kind), names in alike.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{tree.files.display_name(names[0])}{more}: looks like {kind}, which is not read."


def _looks_like(tree: Tree, name: PurePosixPath, stems: set[str]) -> str | None:
    suffix = name.suffix.lower()
    if suffix in _BINARY:
        return _BINARY[suffix]
    if suffix == ".json" and name.name != INSTRUCTIONS_NAME:
        head = tree.head(name)
        return None if head is None else f"JSON of another kind ({', '.join(sorted(head.keys)[:6]) or 'empty'})"
    if suffix == ".xml":
        root = re.search(r"<([A-Za-z_][\w.-]*)", _begin(tree, name).split("?>")[-1])
        return f"XML <{root[1]}>" if root else None
    if suffix == ".csv" and name.name != "index.csv":
        header = _begin(tree, name).split("\n")[0]
        return f"a table ({header.strip()[:80]})" if _TABLE_WORDS.search(header) else None
    if suffix == ".txt" and name.stem in stems and _NUMBERS.fullmatch(_begin(tree, name).split("\n")[0]):
        return "numbers for each picture, as YOLO has them"
    return None


def _begin(tree: Tree, name: PurePosixPath) -> str:
    return tree.entry(name).begin(4096).decode("utf-8", "replace")
