"""ReasonSeg: a JSON file beside each picture with an implicit instruction and the polygons that it asks for.

The form is that of LISA (Lai et al., *LISA: Reasoning Segmentation via Large Language Model*, CVPR 2024), whose reader
looks for ``ReasonSeg/SPLIT/*.jpg`` and a JSON file of the same stem.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, Export, ExportReport, exporting
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.exchange.polygons import flat_corners
from segr1_app.store.store import AnnotationStore

NEVER_HOLDS: Final = (
    "prompts, class names, reasoning and completions, verdicts, comments and annotators, each object's own mask, what "
    f"was painted apart from the rest of the mask, {ALL_BUT_ONE}"
)
TARGET: Final = "target"
"""ReasonSeg's label of the target."""


def export_reasonseg(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    """Write ``ReasonSeg/SPLIT/``, a picture and a JSON file per task.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with exporting(store, out, options, NEVER_HOLDS) as export:
        for name in options.splits.names:
            (export.folder / "ReasonSeg" / name).mkdir(parents=True)
        for annotation in export.annotations():
            # LISA's reader ignores subfolders and all files but .jpg.
            file = export.task_file(annotation.task, jpeg=True)
            path = export.folder / "ReasonSeg" / annotation.split / "__".join(file.parts)
            export.write_picture(annotation.task, path)
            if not annotation.named_masks:
                export.report.losses["Empty masks have no shape"] += 1
            content = {
                "text": [annotation.revision.instruction],
                "is_sentence": True,
                "shapes": _shapes(export, annotation, path.name),
            }
            path.with_suffix(".json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return export.report


def _shapes(export: Export, annotation: Annotation, image_name: str) -> list[dict[str, Any]]:
    mask = annotation.mask
    shapes: list[dict[str, Any]] = []
    for ring in export.polygons(mask) if mask.any() else []:
        corners = flat_corners(ring)
        shapes.append(
            {
                "label": TARGET,
                "labels": [TARGET],
                "shape_type": "polygon",
                "image_name": image_name,
                "points": [list(pair) for pair in zip(corners[::2], corners[1::2], strict=True)],
                "group_id": None,
                "group_ids": [],
                "flags": {},
            }
        )
    return shapes
