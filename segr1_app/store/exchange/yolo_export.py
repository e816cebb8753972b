"""YOLO segmentation labels, as Ultralytics reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np

from segr1_app.store.connection import translate_errors
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, ExportReport, decided, new_folder, write_picture
from segr1_app.store.exchange.polygons import join_parts, mask_polygons
from segr1_app.store.store import AnnotationStore

NEVER_HOLDS: Final = (
    "prompts, instructions, reasoning and completions, verdicts, comments and annotators, what was painted apart from "
    f"the rest of the mask, which of a picture's tasks an object belongs to, {ALL_BUT_ONE}"
)


def export_yolo(store: AnnotationStore, out: Path) -> ExportReport:
    """Write ``images/``, ``labels/`` (one polygon per object, in shares of width and height) and ``data.yaml``.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    report, folder = ExportReport(NEVER_HOLDS), new_folder(out)
    classes: dict[str, int] = {}
    with translate_errors():
        (folder / "labels").mkdir()
        for annotation in decided(store, report):
            write_picture(store, annotation, folder / "images")
            masks = annotation.named_masks
            if not masks:
                report.losses["Empty masks add no label: without any, a picture is one of nothing"] += 1
            if sum(np.count_nonzero(mask) for _, mask in masks) > np.count_nonzero(annotation.revision.mask):
                report.losses["Objects overlap, and trainings may give what they share to one of them"] += 1
            labels = folder / "labels" / f"{annotation.picture_stem}.txt"
            with labels.open("a", encoding="ascii") as file:
                for name, mask in masks:
                    rings = mask_polygons(mask)
                    if len(rings) > 1:
                        report.losses["Parts of an object are joined by lines of no width"] += 1
                    corners = (np.array(join_parts(rings)) / np.array(annotation.task.image_size)).ravel()
                    number = classes.setdefault(name, len(classes))
                    file.write(f"{number} {' '.join(f'{value:.8g}' for value in corners)}\n")
        # JSON's strings are YAML's, too: no class name can end one.
        names = "".join(f"  {number}: {json.dumps(name)}\n" for name, number in classes.items())
        text = f"path: .\ntrain: images\nval: images\nnames:{f'{chr(10)}{names}' if names else ' {}'}"
        (folder / "data.yaml").write_text(text, encoding="utf-8")
    return report
