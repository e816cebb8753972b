"""Image-mask pairs as PNG files of one stem, as segmentation trainings read them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

from segr1_app.store.connection import translate_errors
from segr1_app.store.exchange.cells import safe_cell
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, ExportReport, decided, new_folder, write_mask
from segr1_app.store.store import AnnotationStore

INDEX_NAME: Final = "index.csv"
COLUMNS: Final = ("stem", "picture", "instruction", "annotator", "verdict", "comment")
NEVER_HOLDS: Final = (
    "prompts, class names, reasoning and completions, each object's own mask, what was painted apart from the rest of "
    f"the mask, {ALL_BUT_ONE}"
)


def export_masks(store: AnnotationStore, out: Path) -> ExportReport:
    """Write ``images/`` and ``masks/`` (0 and 255), one of each per task under one stem, and ``index.csv``.

    The index says what each mask is of; `find_pictures` reads it.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    report, folder = ExportReport(NEVER_HOLDS), new_folder(out)
    with translate_errors(), (folder / INDEX_NAME).open("w", encoding="utf-8", newline="") as file:
        (folder / "images").mkdir()
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for annotation in decided(store, report):
            revision, stem = annotation.revision, annotation.stem
            # A picture comes once per task, so that every mask finds one of its own stem.
            picture = store.picture_path(annotation.task.sha256).read_bytes()
            (folder / "images" / f"{stem}.png").write_bytes(picture)
            write_mask(revision.mask, folder / "masks" / f"{stem}.png")
            if len(revision.correction.objects) > 1:
                report.losses["Several objects become one mask"] += 1
            texts = (annotation.task.picture_name, revision.instruction, revision.annotator)
            verdict, comment = revision.correction.verdict, revision.correction.comment
            rows.writerow([stem, *map(safe_cell, texts), verdict, safe_cell(comment)])
    return report
