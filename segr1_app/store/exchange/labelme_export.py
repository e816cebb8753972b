"""labelme: a JSON file beside each picture, with polygons (https://github.com/wkentaro/labelme)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, Export, ExportReport, exporting
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.exchange.polygons import flat_corners
from segr1_app.store.store import AnnotationStore

VERSION: Final = "5.5.0"
"""The version of labelme whose format is written."""
NEVER_HOLDS: Final = (
    "prompts, reasoning and completions, verdicts, comments and annotators, what was painted apart from the rest of "
    f"the mask, {ALL_BUT_ONE}"
)


def export_labelme(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    """Write pictures with a JSON file each; several splits get a folder each.

    An object's parts are shapes of one "group_id", and a shape's "description" is the instruction of its task.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with exporting(store, out, options, NEVER_HOLDS) as export:
        several = len(options.splits.names) > 1
        for task, annotations in export.by_picture():
            name = export.picture_file(task)
            split = options.splits.of(task.sha256)
            picture = export.folder / split / name if several else export.folder / name
            export.write_picture(task, picture)
            shapes: list[dict[str, Any]] = []
            group = 0
            for annotation in annotations:
                if not annotation.named_masks:
                    export.report.losses["Empty masks leave a picture without a shape"] += 1
                group = add_shapes(export, annotation, shapes, group)
            content: dict[str, Any] = {
                "version": VERSION,
                "flags": {},
                "shapes": shapes,
                "imagePath": picture.name,
                "imageData": None,
                "imageHeight": task.image_size.height,
                "imageWidth": task.image_size.width,
            }
            picture.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(content, ensure_ascii=False, indent=1)
            picture.with_suffix(".json").write_text(text, encoding="utf-8")
    return export.report


def add_shapes(export: Export, annotation: Annotation, shapes: list[dict[str, Any]], group: int) -> int:
    """Add an annotation's objects as labelme's polygons, grouped from ``group`` + 1 on; returns the last group."""
    for name, mask in annotation.named_masks:
        group += 1
        for ring in export.polygons(mask):
            corners = flat_corners(ring)
            shapes.append(
                {
                    "label": name,
                    "points": [list(pair) for pair in zip(corners[::2], corners[1::2], strict=True)],
                    "group_id": group,
                    "description": annotation.revision.instruction,
                    "shape_type": "polygon",
                    "flags": {},
                    "mask": None,
                }
            )
    return group
