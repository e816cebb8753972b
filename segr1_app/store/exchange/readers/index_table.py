"""The ``index.csv`` of an export as masks: what each picture is called and what its mask is of."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final, TypeAlias

from segr1_app.domain import DatasetError
from segr1_app.images.pictures import IMAGE_SUFFIXES
from segr1_app.store.exchange.cells import cell_text
from segr1_app.store.exchange.files import Entry, translate_read_errors
from segr1_app.store.exchange.mask_export import COLUMNS

INSTRUCTIONS_NAME: Final = "instructions.json"
Index: TypeAlias = dict[tuple[str, ...], Mapping[str, str]]
"""Rows by the folders above their pictures and their stem."""
KeyOf: TypeAlias = Callable[[PurePosixPath], tuple[str, ...]]
"""The key of a picture by its name."""


def read_index(entry: Entry, key_of: KeyOf, index: Index) -> Iterator[str]:
    """Add the rows of an index; a sentence when it cannot be read. One of other columns is not an index."""
    try:
        with translate_read_errors("it"):
            # Spreadsheets begin what they save with a mark of its encoding.
            text = entry.read().decode("utf-8-sig")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if not {"stem", "instruction"} <= set(rows.fieldnames or ()):
            return
        for row in rows:
            known = {name: cell_text(cell) for name, cell in row.items() if name in COLUMNS and cell}
            if known.get("stem"):
                index[key_of(_picture(entry, known["stem"]))] = known
    except DatasetError as error:
        yield f"{entry}: its instructions are not used: {error}"
    except csv.Error as error:
        yield f"{entry}: its instructions are not used: it is not a table of comma-separated values ({error})."


def read_instructions(entry: Entry, key_of: KeyOf, index: Index) -> Iterator[str]:
    """Add what an ``instructions.json`` asks for, texts by file name or stem; a sentence when it cannot be read."""
    try:
        content = json.loads(entry.read().decode("utf-8-sig"))
    except (DatasetError, ValueError, RecursionError) as error:
        yield f"{entry}: its instructions are not used: it cannot be read ({str(error)[:100]})."
        return
    if not isinstance(content, dict):
        yield f'{entry}: its instructions are not used: they should read like {{"cup-1": "Segment the left cup."}}.'
        return
    for name, text in content.items():
        if isinstance(text, str) and text.strip():
            plain = PurePosixPath(name)
            stem = str(plain.with_suffix("")) if plain.suffix.lower() in IMAGE_SUFFIXES else name
            index[key_of(_picture(entry, stem))] = {"instruction": text}
        else:
            yield f"{entry}: the instruction of {str(name)[:80]} is not used: it is not a text."


def _picture(entry: Entry, stem: str) -> PurePosixPath:
    """A name for a picture that a file mentions by its folders below that file, and its stem."""
    plain = stem.replace("\\", "/")
    return entry.name.parent / f"{plain}.png"
