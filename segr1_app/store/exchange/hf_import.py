"""Parquet files of a Hugging Face dataset with the columns image, mask and instruction, as tasks with ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any, Final

import pyarrow as pa
from pyarrow import parquet

from segr1_app.domain import DatasetError, SegR1Error
from segr1_app.images import load_picture
from segr1_app.masks import load_mask
from segr1_app.store.exchange.files import Files, reading
from segr1_app.store.exchange.outcomes import add_task
from segr1_app.store.store import AnnotationStore

ROWS_AT_A_TIME: Final = 16
COLUMNS: Final = ("image", "mask", "instruction", "name")


def import_hf(store: AnnotationStore, files: Files, name: PurePosixPath, instruction: str) -> Iterator[str | None]:
    """Take in a Parquet file, of which a few rows at a time are in memory.

    Args:
        store: where to.
        files: what `export_hf` wrote, or a dataset of the hub.
        name: a Parquet file among them.
        instruction: what to segment in rows that do not say so.

    Yields:
        None or a `Notice` for each task, a sentence for each row that could not be taken.

    Raises:
        DatasetError: when it cannot be read or has no column "image".
    """
    where = files.display_name(name)
    with reading(f"'{where}'"), files.open(name) as content:
        for number, row in enumerate(_rows(content, where), start=1):
            yield _take(store, row, f"{where} row {number}", instruction)


def _rows(content: IO[bytes], where: str) -> Iterator[dict[str, Any]]:
    try:
        with parquet.ParquetFile(content) as file:
            found = file.schema_arrow.names
            if "image" not in found:
                raise DatasetError(f"'{where}' has no column image, only {', '.join(found)}.")
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=[name for name in COLUMNS if name in found]):
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise DatasetError(f"'{where}' is no Parquet file that can be read: {error}") from error


def _take(store: AnnotationStore, row: dict[str, Any], where: str, instruction: str) -> str | None:
    try:
        picture = load_picture(row["image"]["bytes"])
        truth = load_mask(row["mask"]["bytes"]) if row.get("mask") else None
        words = str(row.get("instruction") or instruction)
        return add_task(store, store.add_picture(picture, str(row.get("name") or "picture")), words, truth, where)
    except SegR1Error as error:
        return f"{where}: {error}"
    except (KeyError, TypeError):
        return f"{where}: its picture or mask is not stored in the row."
