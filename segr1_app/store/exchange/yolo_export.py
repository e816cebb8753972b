"""YOLO segmentation labels, as Ultralytics reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from segr1_app.store.exchange.class_names import name_of_gap
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, Export, ExportReport, exporting
from segr1_app.store.exchange.options import EVERYTHING, Options, Rights
from segr1_app.store.exchange.polygons import join_parts
from segr1_app.store.store import AnnotationStore

NEVER_HOLDS: Final = (
    "prompts, instructions, reasoning and completions, verdicts, comments and annotators, what was painted apart from "
    f"the rest of the mask, which of a picture's tasks an object belongs to, {ALL_BUT_ONE}"
)


def export_yolo(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    """Write ``images/SPLIT/``, ``labels/SPLIT/`` (a polygon per object, normalised), ``data.yaml``.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    # Ultralytics finds labels by the last folder "images" in a picture's path, so there may be no other.
    with exporting(store, out, options, NEVER_HOLDS, reserved=frozenset({"images", "labels"})) as export:
        for name in options.splits.names:
            for part in ("images", "labels"):
                (export.folder / part / name).mkdir(parents=True)
        for annotation in export.annotations():
            _write(export, annotation)
        content = _paths(options) | {"names": _names(export.classes)}
        # Without "path", folders are relative to the file, wherever it is moved.
        text = yaml.safe_dump(content | _rights(options.rights), allow_unicode=True, sort_keys=False, width=10_000)
        (export.folder / "data.yaml").write_text(text, encoding="utf-8")
    return export.report


def _write(export: Export, annotation: Annotation) -> None:
    """Add a task's labels to its picture's; several tasks of one picture share a file."""
    report, task, masks = export.report, annotation.task, annotation.named_masks
    name = export.picture_file(task)
    export.write_picture(task, export.folder / "images" / annotation.split / name)
    if not masks:
        report.losses["Empty masks add no label; a picture without labels is a background picture"] += 1
    if sum(np.count_nonzero(mask) for _, mask in masks) > np.count_nonzero(annotation.mask):
        report.losses["Objects overlap, and trainings may assign their common pixels to only one of them"] += 1
    labels = (export.folder / "labels" / annotation.split / name).with_suffix(".txt")
    labels.parent.mkdir(parents=True, exist_ok=True)
    with labels.open("a", encoding="ascii") as file:
        for class_name, mask in masks:
            rings = export.polygons(mask)
            if len(rings) > 1:
                report.losses["Parts of an object are joined by lines of no width"] += 1
            corners = (np.array(join_parts(rings)) / np.array(task.image_size)).ravel()
            file.write(f"{export.class_number(class_name) - 1} {' '.join(f'{value:.8g}' for value in corners)}\n")


def _paths(options: Options) -> dict[str, str]:
    """Where the pictures of each split are. Ultralytics needs "train" and "val", whatever the splits are called."""
    names = options.splits.names
    paths = {name: f"images/{name}" for name in names}
    return {"train": paths.get("train", paths[names[0]]), "val": paths.get("val", paths[names[-1]]), **paths}


def _names(classes: Mapping[str, int]) -> dict[int, str]:
    """Class names by index from 0; Ultralytics refuses gaps, so that an index without a class gets a name, too."""
    named = {number - 1: name for name, number in classes.items()}
    return {index: named.get(index, name_of_gap(index)) for index in range(max(named, default=-1) + 1)}


def _rights(rights: Rights) -> dict[str, Any]:
    known = {"license": rights.licence, "license_url": rights.licence_url, "contributor": rights.contributor}
    return {key: value for key, value in known.items() if value}
