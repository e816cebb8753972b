"""COCO: one annotation per object, masks as RLE or as polygons; written as a stream, for any number of tasks.

The layout is COCO's own, which other tools recognise: ``annotations/instances_SPLIT.json`` and ``images/SPLIT/``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from segr1_app.domain import Mask
from segr1_app.geometry import encode_rle, mask_box
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, Export, ExportReport, exporting
from segr1_app.store.exchange.options import EVERYTHING, Options, Rights
from segr1_app.store.exchange.polygons import flat_corners
from segr1_app.store.store import AnnotationStore
from segr1_app.store.values import Task

NEVER_HOLDS: Final = (
    "prompts, reasoning and completions, verdicts, comments and annotators, what was painted apart from the rest of "
    f"the mask, {ALL_BUT_ONE}"
)


def export_coco(
    store: AnnotationStore, out: Path, options: Options = EVERYTHING, *, polygons: bool = False
) -> ExportReport:
    """Write ``annotations/instances_SPLIT.json`` and ``images/SPLIT/``.

    Beside COCO's own keys an annotation carries "instruction" and "task", and an image "name", "sha256" and, where
    nothing is the right answer, the "instructions" that this is the answer to.

    Args:
        store: what to export.
        out: an empty or new folder.
        options: which part of it to export, and how.
        polygons: polygons along the pixels' edges, holes joined by a keyhole, instead of compressed RLE.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with exporting(store, out, options, NEVER_HOLDS) as export, ExitStack() as files:
        (export.folder / "annotations").mkdir()
        splits = {
            name: _Split(export, name, files.enter_context(_file(export, name).open("w", encoding="utf-8")))
            for name in options.splits.names
        }
        for split in splits.values():
            (export.folder / "images" / split.name).mkdir(parents=True)
            split.begin()
        number = 0
        for annotation in export.annotations():
            if annotation.layered:
                export.report.losses["Painted layers become part of the mask"] += 1
            if not annotation.named_masks:
                export.report.losses["Empty masks leave a picture without an annotation"] += 1
            number = splits[annotation.split].add(annotation, number, polygons=polygons)
        for split in splits.values():
            split.end()
    return export.report


def _file(export: Export, split: str) -> Path:
    return export.folder / "annotations" / f"instances_{split}.json"


@dataclass(slots=True)
class _Split:
    """A COCO file being written. Only ids are kept in memory: some hundred bytes per picture."""

    export: Export
    name: str
    file: TextIO
    pictures: dict[str, tuple[int, str, Task]] = field(default_factory=dict)
    empty: dict[str, list[str]] = field(default_factory=dict)
    written: int = 0

    def begin(self) -> None:
        head = json.dumps(coco_head(self.export.options.rights, self.name), ensure_ascii=False)
        self.file.write(f'{head[:-1]},\n"annotations": [')

    def add(self, annotation: Annotation, number: int, *, polygons: bool) -> int:
        """Write an annotation's objects, numbered from ``number`` on; returns the last one's number."""
        task = annotation.task
        if task.sha256 not in self.pictures:
            file_name = self.export.picture_file(task)
            self.export.write_picture(task, self.export.folder / "images" / self.name / file_name)
            self.pictures[task.sha256] = len(self.pictures) + 1, str(file_name), task
        if not annotation.named_masks:
            self.empty.setdefault(task.sha256, []).append(annotation.revision.instruction)
        for name, mask in annotation.named_masks:
            number += 1
            record = {
                "id": number,
                "image_id": self.pictures[task.sha256][0],
                "category_id": self.export.class_number(name),
                "segmentation": [flat_corners(ring) for ring in self.export.polygons(mask)]
                if polygons
                else encode_rle(mask),
                **area_and_box(mask),
                # Nothing here is a crowd, although COCO itself uses RLE for those.
                "iscrowd": 0,
                "instruction": annotation.revision.instruction,
                "task": task.id,
            }
            self.file.write(",\n" if self.written else "\n")
            json.dump(record, self.file, ensure_ascii=False)
            self.written += 1
        return number

    def end(self) -> None:
        self.file.write('],\n"images": [')
        _write_all(self.file, self._images())
        self.file.write('],\n"categories": [')
        _write_all(self.file, categories(self.export))
        self.file.write("]}\n")

    def _images(self) -> Iterator[dict[str, Any]]:
        for sha256, (number, file_name, task) in self.pictures.items():
            record = image_record(task, number, file_name, self.export.options.rights)
            yield record | ({"instructions": self.empty[sha256]} if sha256 in self.empty else {})


def coco_head(rights: Rights, split: str) -> dict[str, Any]:
    """The beginning of a COCO file: "info" and "licenses"."""
    now = datetime.now(UTC)
    info = {
        "description": f"Seg-R1 studio, {split}",
        "version": "1.0",
        "year": now.year,
        "contributor": rights.contributor,
        "url": "",
        "date_created": now.strftime("%Y/%m/%d"),
    }
    licences = [{"id": 1, "name": rights.licence, "url": rights.licence_url}] if rights.licence else []
    return {"info": info, "licenses": licences}


def image_record(task: Task, number: int, file_name: str, rights: Rights) -> dict[str, Any]:
    """A picture as an entry of "images"."""
    return {
        "id": number,
        "file_name": file_name,
        "width": task.image_size.width,
        "height": task.image_size.height,
        "name": task.picture_name,
        "sha256": task.sha256,
        **({"license": 1} if rights.licence else {}),
    }


def categories(export: Export) -> Iterator[dict[str, Any]]:
    """Every class as an entry of "categories", with what the list says of it."""
    for name, number in export.classes.items():
        category: dict[str, Any] = {"id": number, "name": name}
        described = export.described(name)
        if described and described.parent:
            category["supercategory"] = described.parent
        if described and described.colour:
            category["color"] = [int(described.colour[at : at + 2], 16) for at in (1, 3, 5)]
        yield category


def area_and_box(mask: Mask) -> dict[str, Any]:
    """The area of a non-empty mask in pixels, and its box as left, top, width and height."""
    box = mask_box(mask)
    assert box is not None
    return {
        "area": int(np.count_nonzero(mask)),
        "bbox": [int(box.x1), int(box.y1), int(box.x2 - box.x1), int(box.y2 - box.y1)],
    }


def _write_all(file: TextIO, records: Iterable[dict[str, Any]]) -> None:
    for number, record in enumerate(records):
        file.write(",\n" if number else "\n")
        json.dump(record, file, ensure_ascii=False)
