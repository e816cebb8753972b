"""Report files that look like annotations in an unsupported format, so that nothing is lost silently."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from segr1_app.domain import DatasetError
from segr1_app.store.exchange.archives import PACKED
from segr1_app.store.exchange.mask_export import INDEX_NAME
from segr1_app.store.exchange.readers.index_table import INSTRUCTIONS_NAME
from segr1_app.store.exchange.readers.label_names import is_label_names
from segr1_app.store.exchange.readers.sources import Head, Tree, read_text

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
    ".odgt": "JSON lines",
    ".jsonl": "JSON lines",
    ".geojson": "GeoJSON",
    ".datum": "Datumaro's binary form",
    ".nii": "a NIfTI volume",
    ".nrrd": "an NRRD volume",
    ".dcm": "a DICOM picture",
}
_FAMILIES: Final = (
    ({"videos", "annotations"}, "YouTube-VIS"),
    ({"assets", "version"}, "VoTT"),
    ({"item", "annotations"}, "V7 Darwin"),
    ({"metadata", "instances"}, "SuperAnnotate"),
    ({"size", "objects", "tags"}, "Supervisely"),
    ({"classes", "tags"}, "Supervisely's classes"),
    ({"data_row", "projects"}, "Labelbox"),
    ({"name", "labels", "attributes"}, "BDD100K"),
    ({"samples"}, "FiftyOne"),
    ({"image_id", "category_id", "score"}, "COCO results, which are read beside the one COCO file that they belong to"),
    ({"image_id", "category_id"}, "COCO annotations without the images and categories that belong to them"),
    ({"imgHeight", "objects"}, "Cityscapes' outlines without their labelIds files"),
    ({"LabelName", "Subcategory"}, "Open Images' hierarchy of classes"),
)
"""Kinds of JSON by the keys that all of their files have; the first match counts."""
_NUMBER: Final = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
_NUMBERS: Final = re.compile(rf"(?:^|[\s,;|])(?:{_NUMBER}[\s,;|]+){{3,}}{_NUMBER}(?:$|[\s,;|])")
"""Four numbers or more in a row."""
_TABLE_WORDS: Final = re.compile(
    r"box|xmin|mask|rle|encodedpixels|label|class|segment|region|polygon|annotation|instruction|caption|prompt", re.I
)
_TEXTS: Final = frozenset({".txt", ".csv", ".tsv", ".lst", ".dat", ".anno"})
_NO_ANNOTATIONS: Final = re.compile(
    r"^(readme|license|licence|requirements|changelog|notes?|citation|version|package|checksums?|md5|sha\d+"
    r"|\.?git.*)(\W|sums?\b|$)",
    re.I,
)
_INDEX: Final = re.compile(r".*\bstem\b.*\binstruction\b")
"""The first line of our own index."""
_BEGIN: Final = 4096
_PICTURE_ENDING: Final = re.compile(r"\.(?:jpe?g|png|tiff?|bmp|webp)\b", re.I)


def not_understood(tree: Tree) -> Iterator[str]:
    """A sentence for each folder and kind of unclaimed files that look like unsupported annotations."""
    alike: dict[tuple[PurePosixPath, str], list[PurePosixPath]] = {}
    stems = {name.stem for name in tree.pictures()}
    for name in tree.names:
        try:
            spare = _NO_ANNOTATIONS.match(name.name) or is_label_names(name) or _is_said_by_masks(tree, name)
            kind = None if spare else _looks_like(tree, name, stems)
        except DatasetError as error:
            kind = f"annotations that cannot be read ({str(error).rstrip('.')})"
        if kind is not None:
            alike.setdefault((name.parent, kind), []).append(name)
    for (_, kind), names in alike.items():
        shown = tree.files.display_name(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        if kind in PACKED.values():
            yield f"{shown}: {kind}."
        else:
            yield f"{shown}: looks like {kind}, which is not read."


def _is_said_by_masks(tree: Tree, name: PurePosixPath) -> bool:
    """Whether a file of Cityscapes' outlines is next to the mask that was drawn from them."""
    prefix = name.name.removesuffix("_polygons.json")
    return prefix != name.name and any(
        tree.files.holds(name.with_name(f"{prefix}_{kind}.png"))
        for kind in ("labelIds", "labelTrainIds", "instanceIds")
    )


def _looks_like(tree: Tree, name: PurePosixPath, stems: set[str]) -> str | None:
    """What a file looks like; None for a file without annotations."""
    suffix = name.suffix.lower()
    kind = None
    if suffix in PACKED:
        kind = PACKED[suffix]
    elif suffix in _BINARY or ".tfrecord" in name.name.lower():
        kind = _BINARY.get(suffix, _BINARY[".tfrecord"])
    elif suffix == ".json" and name.name != INSTRUCTIONS_NAME:
        kind = _kind_of(tree.head(name))
    elif suffix == ".xml":
        root = re.search(r"<([A-Za-z_][\w.-]*)", _begin(tree, name).split("?>")[-1])
        kind = f"XML <{root[1]}>" if root else "XML that cannot be read"
    elif suffix == ".svg" and name.stem in stems:
        kind = "a drawing for a picture"
    elif suffix in _TEXTS and not (name.name == INDEX_NAME and _is_own_index(tree, name)):
        kind = _kind_of_text(_begin(tree, name), name, stems)
    return kind


def _is_own_index(tree: Tree, name: PurePosixPath) -> bool:
    """Whether a table is the index of an export, which is read with the masks; so is one that cannot be read."""
    try:
        return _INDEX.match(_begin(tree, name)) is not None
    except DatasetError:
        return True


def _kind_of(head: Head | None) -> str:
    if head is None:
        return "JSON that cannot be read"
    family = next((called for keys, called in _FAMILIES if keys <= head.keys), None)
    return family or f"JSON of another kind ({', '.join(sorted(head.keys)[:6]) or 'empty'})"


def _kind_of_text(text: str, name: PurePosixPath, stems: set[str]) -> str | None:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return "an empty table" if name.suffix.lower() in {".csv", ".tsv"} else None
    if name.suffix.lower() in {".csv", ".tsv"} and _TABLE_WORDS.search(lines[0]):
        return f"a table ({lines[0].strip()[:80]})"
    numbers = sum(bool(_NUMBERS.search(line)) for line in lines)
    if not numbers:
        return None
    if name.stem in stems:
        return "numbers for each picture"
    if numbers * 2 >= len(lines) or any(_PICTURE_ENDING.search(line) for line in lines):
        return "lists of numbers, as for boxes or polygons"
    return None


def _begin(tree: Tree, name: PurePosixPath) -> str:
    return read_text(tree.entry(name), _BEGIN)
