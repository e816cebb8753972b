"""Every export format by its name."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final, Protocol

from segr1_app.store.exchange.coco_export import export_coco
from segr1_app.store.exchange.cvat_export import export_cvat
from segr1_app.store.exchange.exporting import ExportReport
from segr1_app.store.exchange.jsonl import export_jsonl
from segr1_app.store.exchange.labelme_export import export_labelme
from segr1_app.store.exchange.labelstudio_export import export_label_studio
from segr1_app.store.exchange.mask_export import export_masks
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.exchange.panoptic_export import export_panoptic
from segr1_app.store.exchange.reasonseg_export import export_reasonseg
from segr1_app.store.exchange.voc_export import export_voc
from segr1_app.store.exchange.yolo_export import export_yolo
from segr1_app.store.store import AnnotationStore


class Exporter(Protocol):
    """Writes a store, or the part of it that the options name, into a new or empty folder."""

    def __call__(self, store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport: ...


def _export_hf(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    from segr1_app.store.exchange.hf_export import export_hf  # noqa: PLC0415 - datasets takes seconds to import

    return export_hf(store, out, options)


def _export_traces(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    from segr1_app.store.exchange.sft_export import export_traces  # noqa: PLC0415 - as above

    return export_traces(store, out, options)


FORMATS: Final[dict[str, Exporter]] = {
    "coco": export_coco,
    "coco-polygons": partial(export_coco, polygons=True),
    "coco-panoptic": export_panoptic,
    "yolo": export_yolo,
    "voc": export_voc,
    "masks": export_masks,
    "labelme": export_labelme,
    "cvat": export_cvat,
    "label-studio": export_label_studio,
    "label-studio-predictions": partial(export_label_studio, predictions=True),
    "reasonseg": export_reasonseg,
    "hf": _export_hf,
    "sft": _export_traces,
    "jsonl": export_jsonl,
}
"""Every format by its name in commands and in the API."""
TITLES: Final[dict[str, str]] = {
    "coco": "COCO, run lengths",
    "coco-polygons": "COCO, polygons",
    "coco-panoptic": "COCO panoptic",
    "yolo": "YOLO segmentation",
    "voc": "Pascal VOC",
    "masks": "Mask PNGs",
    "labelme": "labelme",
    "cvat": "CVAT for images",
    "label-studio": "Label Studio",
    "label-studio-predictions": "Label Studio, as pre-annotations",
    "reasonseg": "ReasonSeg",
    "hf": "Hugging Face data set",
    "sft": "Traces for training",
    "jsonl": "JSONL of everything",
}
"""Their names on the page."""
