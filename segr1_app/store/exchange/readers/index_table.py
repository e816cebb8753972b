"""The ``index.csv`` of an export as masks: what each picture is called and what its mask is of."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from segr1_app.domain import DatasetError
from segr1_app.store.exchange.cells import cell_text
from segr1_app.store.exchange.files import Entry, translate_read_errors
from segr1_app.store.exchange.mask_export import COLUMNS

Index: TypeAlias = dict[tuple[str, ...], Mapping[str, str]]
"""Rows by the folders above them and their stem."""


def read_index(entry: Entry, folders: tuple[str, ...], index: Index) -> Iterator[str]:
    """Add the rows of an index; a sentence when it cannot be read. One of other columns is no index."""
    try:
        with translate_read_errors("it"):
            # Spreadsheets begin what they save with a mark of its encoding.
            text = entry.read().decode("utf-8-sig")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if not {"stem", "instruction"} <= set(rows.fieldnames or ()):
            return
        for row in rows:
            known = {name: cell_text(cell) for name, cell in row.items() if name in COLUMNS and cell}
            index[*folders, known.get("stem", "")] = known
    except DatasetError as error:
        yield f"{entry}: its instructions are not used: {error}"
    except csv.Error as error:
        yield f"{entry}: its instructions are not used: it is no table of comma-separated values ({error})."
