"""Parquet files of a Hugging Face dataset with the columns image, mask and instruction, as tasks with ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from segr1_app.domain import DatasetError, SegR1Error
from segr1_app.images import load_mask, load_picture
from segr1_app.store.store import AnnotationStore

ROWS_AT_A_TIME = 16


def import_hf(store: AnnotationStore, folder: Path, instruction: str) -> Iterator[str | None]:
    """Take in the Parquet files in a folder and below.

    Args:
        store: where to.
        folder: what `export_hf` wrote, or a dataset of the hub as it was downloaded.
        instruction: what to segment in rows that do not say so.

    Yields:
        None for each task, a sentence for each row that could not be taken.

    Raises:
        DatasetError: when a file cannot be read or has no column "image".
    """
    for path in sorted(folder.rglob("*.parquet")):
        try:
            with parquet.ParquetFile(path) as file:
                if "image" not in file.schema_arrow.names:
                    raise DatasetError(f"'{path}' has no column image, only {', '.join(file.schema_arrow.names)}.")
                number = 0
                for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME):
                    for row in batch.to_pylist():
                        number += 1
                        yield _take(store, row, f"{path} row {number}", instruction)
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"'{path}' is no Parquet file that can be read: {error}") from error


def _take(store: AnnotationStore, row: dict[str, Any], where: str, instruction: str) -> str | None:
    try:
        picture = load_picture(row["image"]["bytes"])
        truth = load_mask(row["mask"]["bytes"]) if row.get("mask") else None
        words = str(row.get("instruction") or instruction)
        store.add_task(store.add_picture(picture, str(row.get("name") or "picture")), words, truth)
    except SegR1Error as error:
        return f"{where}: {error}"
    except (KeyError, TypeError):
        return f"{where}: its picture or mask is not stored in the row."
    return None
