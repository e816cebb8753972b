"""Every export format by its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from segr1_app.store.exchange.coco_export import export_coco
from segr1_app.store.exchange.exporting import ExportReport
from segr1_app.store.exchange.jsonl import export_jsonl
from segr1_app.store.exchange.mask_export import export_masks
from segr1_app.store.exchange.sft_export import export_traces
from segr1_app.store.exchange.voc_export import export_voc
from segr1_app.store.exchange.yolo_export import export_yolo
from segr1_app.store.store import AnnotationStore


def _export_hf(store: AnnotationStore, out: Path) -> ExportReport:
    from segr1_app.store.exchange.hf_export import export_hf  # noqa: PLC0415 - datasets takes seconds to import

    return export_hf(store, out)


FORMATS: Final[dict[str, Callable[[AnnotationStore, Path], ExportReport]]] = {
    "coco": export_coco,
    "coco-polygons": partial(export_coco, polygons=True),
    "yolo": export_yolo,
    "voc": export_voc,
    "masks": export_masks,
    "hf": _export_hf,
    "jsonl": export_jsonl,
    "sft": export_traces,
}
"""Every format by the name it is asked for."""
