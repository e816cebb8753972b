"""Tables of pictures: Parquet and Arrow files of Hugging Face datasets, and ``metadata`` files of image folders."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any, Final, TypeAlias

from segr1_app.domain import DatasetError
from segr1_app.files.foreign_json import MAX_DOCUMENT, ForeignJsonError, parse_json
from segr1_app.images.masks import read_labels
from segr1_app.store.exchange.files import Entry, Files, translate_read_errors
from segr1_app.store.exchange.import_options import ROLES, ImportOptions
from segr1_app.store.exchange.intake import Content, Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers.arrow_rows import arrow_rows
from segr1_app.store.exchange.readers.sources import Found, Source, Tree, decode_text
from segr1_app.store.exchange.shapes import MaskPicture, Runs, Shape

_USUAL: Final = {
    "image": ("image", "file_name"),
    "mask": ("mask", "mask_file_name"),
    "instruction": ("instruction",),
    "name": ("name",),
}
"""Names of columns that are recognised by default."""
_TEXTS: Final = frozenset(
    {"text", "texts", "sentence", "sentences", "caption", "expression", "expressions", "query", "question", "phrase"}
    | {"prompt", "referring_expression", "raw_sentences"}
)
_MASKS: Final = frozenset({"label", "labels", "annotation", "annotations", "segmentation", "gt", "masks", "mask_image"})
_BESIDE: Final = frozenset({"state.json", "dataset_info.json", "dataset_dict.json", "dataset_infos.json"})
_Rows: TypeAlias = Iterator[tuple[list[str], dict[str, Any] | str]]
"""The columns of a table with one of its rows, or with what is wrong with it."""
_ReadRows: TypeAlias = Callable[[IO[bytes]], _Rows]


@dataclass(frozen=True, slots=True)
class Held:
    """Content of a cell."""

    content: bytes

    def read(self) -> bytes:
        """The bytes."""
        return self.content


def find(tree: Tree) -> list[Source]:
    """Tables among the files."""
    found = []
    for name in tree.names:
        rows = _rows_of(name)
        if rows is not None and not name.name.startswith("cache-"):
            found.append(Source("table", [name], partial(_read, tree.files, name, rows, tree.options)))
    if found:
        found[0] = Source(
            "table", [*found[0].claimed, *(name for name in tree.names if name.name in _BESIDE)], found[0].records
        )
    return found


def _rows_of(name: PurePosixPath) -> _ReadRows | None:
    if name.suffix.lower() == ".parquet":
        return partial(arrow_rows, "parquet")
    if name.suffix.lower() == ".arrow":
        return partial(arrow_rows, "arrow")
    return {"metadata.jsonl": _json_rows, "metadata.csv": _csv_rows}.get(name.name.lower())


def _read(
    files: Files, name: PurePosixPath, rows: _ReadRows, options: ImportOptions, pictures: Pictures
) -> Iterator[Found]:
    where = files.display_name(name)
    columns: dict[str, str] | None = None
    number = 0
    with translate_read_errors(f"'{where}'"), files.open(name) as content:
        try:
            for number, (found, row) in enumerate(rows(content), start=1):
                if isinstance(row, str):
                    yield f"{where} {row}"
                    continue
                if columns is None:
                    columns = _choose(found, where, options.columns)
                    if unused := [each for each in found if each not in columns.values()]:
                        yield Remark(f"'{where}': its columns {', '.join(unused)} are not used.")
                cells = {role: row.get(column) for role, column in columns.items()}
                yield from _record(cells, f"{where} row {number}", partial(_content, name, pictures), options.label)
            if not number:
                yield f"'{where}' has no rows."
        except DatasetError as error:
            raise DatasetError(str(error) if where in str(error) else f"'{where}': {error}") from error


def _choose(found: Sequence[str], where: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """The role of each column.

    Raises:
        DatasetError: when there is no picture, or a column that looks like a mask or a text has another name.
    """
    missing = [column for column in chosen.values() if column and column not in found]
    if missing:
        raise DatasetError(f"'{where}' has no column {', '.join(missing)}, only {', '.join(found)}.")
    columns = {role: chosen[role] for role in ROLES if chosen.get(role)}
    for role, usual in _USUAL.items():
        if role not in chosen:
            columns |= dict.fromkeys([role], next((name for name in usual if name in found), ""))
    columns = {role: name for role, name in columns.items() if name}
    if "image" not in columns:
        raise DatasetError(
            f"'{where}' has no column image, only {', '.join(found)}: say which it is with --columns image=NAME."
        )
    for role, looks in (("mask", _MASKS), ("instruction", _TEXTS)):
        if role in columns or role in chosen:
            continue
        alike = [name for name in found if name.lower() in looks and name not in columns.values()]
        if alike:
            raise DatasetError(
                f"'{where}' has no column {role}, but {', '.join(alike)} (of {', '.join(found)}): take it with "
                f"--columns {role}={alike[0]}, or leave it with --columns {role}=."
            )
    return columns


def _record(
    cells: Mapping[str, Any], where: str, content: Callable[[Any], Content | str], label: str | None
) -> Iterator[Found]:
    image = content(cells["image"])
    if isinstance(image, str):
        yield f"{where}: its picture cannot be read: {image}"
        return
    try:
        asked = _texts(cells.get("instruction"))
    except ValueError as error:
        yield f"{where}: {error}"
        return
    mask = cells.get("mask")
    if "instruction" in cells and not asked:
        yield Remark(f"{where} has no instruction of its own.")
    parts = []
    if mask is not None and mask not in ([], ""):
        shape = _mask(mask, image, content, label)
        answered: list[str | None] = [*asked] or [None]
        parts = [Part("its mask", shape, None, words) for words in answered]
    yield Record(where, image, _name(cells), parts, instructions=tuple(asked) if not parts else ())


def _content(table: PurePosixPath, pictures: Pictures, cell: Any) -> Content | str:
    """The content of a cell, or of the file that it names; a sentence if there is none."""
    if isinstance(cell, bytes):
        return Held(cell)
    if isinstance(cell, dict):
        if isinstance(cell.get("bytes"), bytes):
            return Held(cell["bytes"])
        cell = cell.get("path")
    if isinstance(cell, str) and cell:
        found = pictures.find(table, cell)
        return found if isinstance(found, Entry) else f"the row only has its name ('{cell}'), and {found}"
    return "the row has no picture."


def _mask(cell: Any, image: Content, content: Callable[[Any], Content | str], label: str | None) -> Shape | str:
    if isinstance(cell, dict) and "counts" in cell:
        return Runs(cell.get("size"), cell["counts"])
    if isinstance(cell, list):
        if len(cell) != 1:
            return f"it is a list of {len(cell)} masks: give each mask a row with an instruction of its own"
        cell = cell[0]
    found = content(cell)
    if isinstance(found, str):
        return found.rstrip(".")
    if isinstance(found, Entry) and found == image:
        return "only the picture itself has the name of its mask"
    return MaskPicture(lambda: read_labels(found.read()), label)


def _texts(cell: Any) -> list[str]:
    if cell is None:
        return []
    listed = cell if isinstance(cell, list) else [cell]
    texts = []
    for each in listed:
        text = each.get("raw", each.get("sent", each.get("text"))) if isinstance(each, dict) else each
        if not isinstance(text, str):
            raise ValueError(f"its instruction is not a text: {str(each)[:60]!r}")
        if text.strip():
            texts.append(text)
    return texts


def _name(cells: Mapping[str, Any]) -> str:
    if cells.get("name"):
        return str(cells["name"])
    image = cells["image"]
    path = image.get("path") if isinstance(image, dict) else image if isinstance(image, str) else None
    return PurePosixPath(str(path)).name if path else "picture"


def _json_rows(content: IO[bytes]) -> _Rows:
    rows: list[dict[str, Any] | str] = []
    found: dict[str, None] = {}
    for number, line in enumerate(_text(content).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ForeignJsonError as error:
            rows.append(f"line {number} is left out: {error}.")
            continue
        if isinstance(row, dict):
            # A line need not have all of the columns.
            found |= dict.fromkeys(row)
            rows.append(row)
        else:
            rows.append(f"line {number} is left out: it is not an object with columns.")
    yield from ((list(found), row) for row in rows)


def _text(content: IO[bytes]) -> str:
    """A whole table of texts, which is small: its pictures are files beside it."""
    read = content.read(MAX_DOCUMENT + 1)
    if len(read) > MAX_DOCUMENT:
        raise DatasetError(f"it has more than {MAX_DOCUMENT // 2**20} MiB.")
    return decode_text(read, "it")


def _csv_rows(content: IO[bytes]) -> _Rows:
    rows = csv.DictReader(io.StringIO(_text(content), newline=""))
    try:
        for row in rows:
            yield list(rows.fieldnames or ()), {key: value or None for key, value in row.items() if key}
    except csv.Error as error:
        raise DatasetError(f"it is not a table of comma-separated values ({error}).") from error
