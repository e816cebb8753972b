"""A Hugging Face dataset: Parquet files that ``datasets.load_dataset`` opens from the folder or from the hub."""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from datasets import Features, Image, Value
from PIL import Image as PillowImage
from pyarrow import parquet

from segr1_app.domain import Mask
from segr1_app.prompt_json import prompt_value
from segr1_app.store.connection import translate_errors
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, ExportReport, decided, new_folder
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
"""Columns: "prompts" is JSON, a list of objects in the shape of `segr1_app.prompt_json`."""


def export_hf(store: AnnotationStore, out: Path) -> ExportReport:
    """Write ``data/train.parquet`` and a ``README.md``, the picture and the mask (0 and 255) as PNG within.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    report, folder = ExportReport(NEVER_HOLDS), new_folder(out)
    with translate_errors():
        (folder / "data").mkdir()
        rows = (_row(store, annotation, report) for annotation in decided(store, report))
        with parquet.ParquetWriter(folder / "data" / "train.parquet", FEATURES.arrow_schema) as writer:
            while page := list(islice(rows, ROWS_AT_A_TIME)):
                writer.write_table(pa.Table.from_pylist(page, schema=FEATURES.arrow_schema))
        (folder / "README.md").write_text(_CARD, encoding="utf-8")
    return report


_CARD = """---
task_categories: [image-segmentation]
configs: [{config_name: default, data_files: data/train.parquet}]
---
Corrected masks of Seg-R1 studio: picture, mask, instruction, prompts (JSON, in pixels of the picture), reasoning.
"""


def _row(store: AnnotationStore, annotation: Annotation, report: ExportReport) -> dict[str, Any]:
    revision = annotation.revision
    if len(revision.correction.objects) > 1:
        report.losses["Several objects become one mask; their prompts stay apart"] += 1
    return {
        "image": {"bytes": store.picture_path(annotation.task.sha256).read_bytes(), "path": None},
        "mask": {"bytes": _png(revision.mask), "path": None},
        "instruction": revision.instruction,
        "prompts": to_json([prompt_value(prompt) for prompt in revision.correction.prompts]),
        "reasoning": revision.reasoning,
        "completion": revision.completion,
        "verdict": revision.correction.verdict.value,
        "annotator": revision.annotator,
        "name": annotation.task.picture_name,
        "policy": revision.policy_id,
        "segmenter": revision.segmenter_id,
        "checkpoint": revision.checkpoint_hash,
    }


def _png(mask: Mask) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(mask.astype(np.uint8) * 255).save(buffer, format="PNG")
    return buffer.getvalue()
