"""COCO panoptic: a PNG per picture whose colours are segment numbers, and a JSON file that describes the segments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from segr1_app.store.exchange.coco_export import area_and_box, categories, coco_head, image_record
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Export, ExportReport, exporting
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.store import AnnotationStore

NEVER_HOLDS: Final = (
    "prompts, instructions, reasoning and completions, verdicts, comments and annotators, what was painted apart from "
    f"the rest of the mask, which of a picture's tasks an object belongs to, {ALL_BUT_ONE}"
)


def export_panoptic(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    """Write ``annotations/panoptic_SPLIT.json``, ``annotations/panoptic_SPLIT/`` and ``images/SPLIT/``.

    A segment's number is R + 256 G + 256² B of its colour; black is nothing (https://cocodataset.org/#format-data).

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with exporting(store, out, options, NEVER_HOLDS) as export:
        splits = {name: _Split(export, name) for name in options.splits.names}
        for task, annotations in export.by_picture():
            masks = []
            for annotation in annotations:
                if not annotation.named_masks:
                    export.report.losses["Empty masks leave a picture without a segment"] += 1
                masks += annotation.named_masks
            split = splits[options.splits.of(task.sha256)]
            name = export.picture_file(task)
            export.write_picture(task, export.folder / "images" / split.name / name)
            number = len(split.images) + 1
            split.images.append(image_record(task, number, str(name), options.rights))
            segments = np.zeros((task.image_size.height, task.image_size.width), np.uint32)
            for segment, (_, mask) in enumerate(masks, start=1):
                if segments[mask].any():
                    export.report.losses["Where objects overlap, the later one is kept"] += 1
                segments[mask] = segment
            split.add(number, str(name.with_suffix(".png")), segments, [export.class_number(name) for name, _ in masks])
        for split in splits.values():
            split.write()
    return export.report


class _Split:
    def __init__(self, export: Export, name: str) -> None:
        self.name = name
        self.images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._export = export
        self._folder = export.folder / "annotations"
        (self._folder / f"panoptic_{name}").mkdir(parents=True)
        (export.folder / "images" / name).mkdir(parents=True)

    def add(self, number: int, file_name: str, segments: npt.NDArray[np.uint32], classes: list[int]) -> None:
        """Write a picture's segments, uint32 (height, width), of which the n-th is of the class ``classes[n - 1]``."""
        path = self._folder / f"panoptic_{self.name}" / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Red, green and blue are the lowest three bytes of a number.
        colours = segments.astype("<u4").view(np.uint8).reshape(*segments.shape, 4)[..., :3]
        Image.fromarray(np.ascontiguousarray(colours)).save(path, compress_level=1)
        infos = []
        for segment, category in enumerate(classes, start=1):
            mask = segments == segment
            # Later objects may cover all of an earlier one.
            if mask.any():
                infos.append({"id": segment, "category_id": category, **area_and_box(mask), "iscrowd": 0})
        self._annotations.append({"image_id": number, "file_name": file_name, "segments_info": infos})

    def write(self) -> None:
        content = {
            **coco_head(self._export.options.rights, self.name),
            "images": self.images,
            "annotations": self._annotations,
            "categories": [{"supercategory": "", **category, "isthing": 1} for category in categories(self._export)],
        }
        text = json.dumps(content, ensure_ascii=False)
        (self._folder / f"panoptic_{self.name}.json").write_text(text, encoding="utf-8")
