"""COCO: one annotation per object, masks as RLE or as polygons; written as it goes, whatever the number of tasks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from segr1_app.geometry import encode_rle, mask_box
from segr1_app.store.connection import translate_errors
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, ExportReport, decided, new_folder, write_picture
from segr1_app.store.exchange.polygons import mask_polygons
from segr1_app.store.store import AnnotationStore

FILE_NAME: Final = "annotations.json"
NEVER_HOLDS: Final = (
    "prompts, reasoning and completions, verdicts, comments and annotators, what was painted apart from the rest of "
    f"the mask, {ALL_BUT_ONE}"
)


def export_coco(store: AnnotationStore, out: Path, *, polygons: bool = False) -> ExportReport:
    """Write ``annotations.json`` and ``images/``.

    Beside COCO's own keys an annotation carries "instruction" and "task", and an image "name" and "sha256".

    Args:
        store: what to export.
        out: an empty or new folder.
        polygons: polygons along the pixels' edges, holes joined by a keyhole, instead of compressed RLE.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    writing = _Writing(store, new_folder(out), polygons)
    with translate_errors(), (out / FILE_NAME).open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "Seg-R1 studio"},\n"annotations": [')
        _write_all(file, writing.annotations())
        file.write('],\n"images": [')
        _write_all(file, writing.images())
        file.write('],\n"categories": [')
        _write_all(file, ({"id": number, "name": name} for name, number in writing.categories.items()))
        file.write("]}\n")
    return writing.report


@dataclass(slots=True)
class _Writing:
    """An export under way. Of what was written only numbers are kept: some hundred bytes a picture."""

    store: AnnotationStore
    out: Path
    polygons: bool
    report: ExportReport = field(default_factory=lambda: ExportReport(NEVER_HOLDS))
    categories: dict[str, int] = field(default_factory=dict)
    pictures: dict[str, tuple[int, str]] = field(default_factory=dict)
    written: int = 0

    def annotations(self) -> Iterator[dict[str, Any]]:
        for annotation in decided(self.store, self.report):
            if annotation.layered:
                self.report.losses["Painted layers become part of the mask"] += 1
            if not annotation.named_masks:
                self.report.losses["Empty masks leave a picture without an annotation"] += 1
            yield from self._objects(annotation)

    def images(self) -> Iterator[dict[str, Any]]:
        for sha256, (number, file_name) in self.pictures.items():
            known = self.store.picture_info(sha256)
            yield {
                "id": number,
                "file_name": file_name,
                "width": known.size.width,
                "height": known.size.height,
                "name": known.name,
                "sha256": sha256,
            }

    def _objects(self, annotation: Annotation) -> Iterator[dict[str, Any]]:
        sha256 = annotation.task.sha256
        if sha256 not in self.pictures:
            file_name = write_picture(self.store, annotation, self.out / "images")
            self.pictures[sha256] = len(self.pictures) + 1, file_name
        for name, mask in annotation.named_masks:
            self.written += 1
            box = mask_box(mask)
            assert box is not None
            yield {
                "id": self.written,
                "image_id": self.pictures[sha256][0],
                "category_id": self.categories.setdefault(name, len(self.categories) + 1),
                "segmentation": [[value for corner in ring for value in corner] for ring in mask_polygons(mask)]
                if self.polygons
                else encode_rle(mask),
                "area": int(np.count_nonzero(mask)),
                "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1],
                # Nothing here is a crowd, in spite of COCO's own habit of keeping RLE for those.
                "iscrowd": 0,
                "instruction": annotation.revision.instruction,
                "task": annotation.task.id,
            }


def _write_all(file: TextIO, records: Iterable[dict[str, Any]]) -> None:
    for number, record in enumerate(records):
        file.write(",\n" if number else "\n")
        json.dump(record, file, ensure_ascii=False)
