"""A Hugging Face dataset: Parquet files that ``datasets.load_dataset`` opens from the folder or from the hub."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import yaml
from datasets import Features, Image, Value
from PIL import Image as PillowImage
from pyarrow import parquet

from segr1_app.domain import Mask
from segr1_app.language.prompt_json import prompt_value
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, Export, ExportReport, exporting
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.rows import to_json
from segr1_app.store.store import AnnotationStore

ROWS_AT_A_TIME: Final = 64
NEVER_HOLDS: Final = (
    f"each object's own mask, what was painted apart from the rest of the mask, comments, {ALL_BUT_ONE}"
)
FEATURES = Features(
    {
        "image": Image(),
        "mask": Image(),
        "instruction": Value("string"),
        "prompts": Value("string"),
        "reasoning": Value("string"),
        "completion": Value("string"),
        "verdict": Value("string"),
        "annotator": Value("string"),
        "name": Value("string"),
        "policy": Value("string"),
        "segmenter": Value("string"),
        "checkpoint": Value("string"),
    }
)
"""Columns: "prompts" is JSON, a list of objects in the shape of `segr1_app.language.prompt_json`."""
_CARD = (
    "Corrected masks of Seg-R1 studio: picture, mask, instruction, prompts (JSON, in pixels of the picture), reasoning."
)


def export_hf(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    """Write ``data/SPLIT.parquet`` and a ``README.md``, the picture and the mask (0 and 255, PNG) within.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with exporting(store, out, options, NEVER_HOLDS) as export:
        rows = ((annotation.split, _row(export, annotation)) for annotation in export.annotations())
        write_dataset(export, FEATURES, rows, "image-segmentation", _CARD)
    return export.report


def write_dataset(
    export: Export, features: Features, rows: Iterable[tuple[str, Mapping[str, Any]]], task: str, card: str
) -> None:
    """Write rows as one Parquet file per split, and the README by which ``load_dataset`` finds them.

    Args:
        export: where to.
        features: the columns.
        rows: each with its split.
        task: the hub's name for datasets of this kind.
        card: a sentence about the contents.
    """
    (export.folder / "data").mkdir()
    waiting: dict[str, list[Mapping[str, Any]]] = {name: [] for name in export.options.splits.names}
    schema = features.arrow_schema
    with ExitStack() as files:
        writers = {
            name: files.enter_context(parquet.ParquetWriter(export.folder / "data" / f"{name}.parquet", schema))
            for name in waiting
        }
        for split, row in rows:
            waiting[split].append(row)
            if len(waiting[split]) == ROWS_AT_A_TIME:
                writers[split].write_table(pa.Table.from_pylist(waiting[split], schema=schema))
                waiting[split] = []
        for name, rest in waiting.items():
            writers[name].write_table(pa.Table.from_pylist(rest, schema=schema))
    (export.folder / "README.md").write_text(_readme(export.options, task, card), encoding="utf-8")


def _readme(options: Options, task: str, card: str) -> str:
    files = [{"split": name, "path": f"data/{name}.parquet"} for name in options.splits.names]
    head: dict[str, Any] = {"task_categories": [task]}
    rights = options.rights
    # The hub knows licences by short names in lower case; any other one has a name and a link of its own.
    if re.fullmatch(r"[a-z0-9][a-z0-9.-]*", rights.licence):
        head["license"] = rights.licence
    elif rights.licence:
        head |= {"license": "other", "license_name": rights.licence, "license_link": rights.licence_url}
    head["configs"] = [{"config_name": "default", "data_files": files}]
    by = f"\n\nBy {rights.contributor}." if rights.contributor else ""
    return f"---\n{yaml.safe_dump(head, allow_unicode=True, sort_keys=False)}---\n{card}{by}\n"


def _row(export: Export, annotation: Annotation) -> dict[str, Any]:
    revision = annotation.revision
    if len(annotation.objects) > 1:
        export.report.losses["Several objects become one mask; their prompts stay apart"] += 1
    return {
        "image": picture_cell(export, annotation),
        "mask": {"bytes": _png(annotation.mask), "path": None},
        "instruction": revision.instruction,
        "prompts": to_json([prompt_value(made.prompt) for made in annotation.objects]),
        "reasoning": revision.reasoning,
        "completion": revision.completion,
        "verdict": revision.correction.verdict.value,
        "annotator": revision.annotator,
        "name": annotation.task.picture_name,
        "policy": revision.policy_id,
        "segmenter": revision.segmenter_id,
        "checkpoint": revision.checkpoint_hash,
    }


def picture_cell(export: Export, annotation: Annotation) -> dict[str, Any]:
    """A picture as a cell of a column of `datasets.Image`: its bytes and its name."""
    return {
        "bytes": export.picture_bytes(annotation.task),
        "path": str(export.picture_file(annotation.task)),
    }


def _png(mask: Mask) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(mask.astype(np.uint8) * 255).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
