"""Image-mask pairs with equal stems, for training segmentation models."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from segr1_app.store.exchange.cells import safe_cell
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, ExportReport, exporting, write_mask
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.store import AnnotationStore

INDEX_NAME: Final = "index.csv"
_FOLDERS: Final = frozenset({"images", "masks"})
COLUMNS: Final = ("stem", "picture", "instruction", "annotator", "verdict", "comment")
NEVER_HOLDS: Final = (
    "prompts, class names, reasoning and completions, each object's own mask, what was painted apart from the rest of "
    f"the mask, {ALL_BUT_ONE}"
)


def export_masks(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    """Write ``images/`` and ``masks/`` (0 and 255), one of each per task under one stem, and ``index.csv``.

    The index describes each mask; the import reads it. Several splits get a folder each.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    # Pairs are found by these names, so subfolders of pictures must not have them.
    with exporting(store, out, options, NEVER_HOLDS, reserved=_FOLDERS) as export, ExitStack() as files:
        several = len(options.splits.names) > 1
        folders = {name: export.folder / name if several else export.folder for name in options.splits.names}
        tables = {}
        for name, folder in folders.items():
            for part in ("images", "masks"):
                (folder / part).mkdir(parents=True)
            file = files.enter_context((folder / INDEX_NAME).open("w", encoding="utf-8", newline=""))
            tables[name] = csv.writer(file)
            tables[name].writerow(COLUMNS)
        for annotation in export.annotations():
            task, revision, folder = annotation.task, annotation.revision, folders[annotation.split]
            # A picture is written once per task, so that every mask has a picture with its stem.
            file_name = export.task_file(task)
            export.write_picture(task, folder / "images" / file_name)
            write_mask(annotation.mask, folder / "masks" / file_name.with_suffix(".png"))
            if len(annotation.objects) > 1:
                export.report.losses["Several objects become one mask"] += 1
            texts = (str(file_name.with_suffix("")), task.picture_name, revision.instruction, revision.annotator)
            verdict, comment = revision.correction.verdict, revision.correction.comment
            tables[annotation.split].writerow([*map(safe_cell, texts), verdict, safe_cell(comment)])
    return export.report
