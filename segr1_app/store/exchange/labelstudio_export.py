"""Label Studio: a JSON file of tasks with brush masks, and the matching labelling configuration.

Masks are in the packed run lengths of Label Studio's editor (the format of the npm package ``@thi.ng/rle-pack``): of
pixels of four channels, red to alpha, in which alpha marks the painted pixels.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from segr1_app.domain import Mask
from segr1_app.store.classes import number_colour
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, NO_CLASS, Annotation, Export, ExportReport, exporting
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.exchange.voc_export import xml_text
from segr1_app.store.store import AnnotationStore
from segr1_app.store.values import Task

FROM_NAME, TO_NAME = "tag", "image"
NEVER_HOLDS: Final = (
    f"prompts, reasoning and completions, what was painted apart from the rest of the mask, {ALL_BUT_ONE}"
)
_LONGEST_RUN: Final = 2**16
"""Bytes of one run, whose length is written in 16 bits."""


def export_label_studio(
    store: AnnotationStore, out: Path, options: Options = EVERYTHING, *, predictions: bool = False
) -> ExportReport:
    """Write ``tasks.json``, ``config.xml`` and ``images/``, for a storage of local files whose root is the folder.

    Args:
        store: what to export.
        out: an empty or new folder.
        options: which part of it to export, and how.
        predictions: whether to write pre-annotations, to be reviewed, instead of annotations.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with exporting(store, out, options, NEVER_HOLDS) as export:
        (export.folder / "images").mkdir()
        with (export.folder / "tasks.json").open("w", encoding="utf-8") as file:
            file.write("[")
            for number, record in enumerate(_tasks(export, predictions=predictions)):
                file.write(",\n" if number else "\n")
                json.dump(record, file, ensure_ascii=False)
            file.write("\n]\n")
        (export.folder / "config.xml").write_bytes(tostring(_config(export), encoding="utf-8"))
    return export.report


def _tasks(export: Export, *, predictions: bool) -> Iterator[dict[str, Any]]:
    rights = export.options.rights
    for task, decided in export.by_picture():
        split = export.options.splits.of(task.sha256)
        name = f"images/{split}/{export.picture_file(task)}"
        export.write_picture(task, export.folder / name)
        answers = [_answer(export, annotation, predictions=predictions) for annotation in decided]
        data = {
            "image": f"/data/local-files/?d={quote(name)}",
            "name": task.picture_name,
            "split": split,
            "license": rights.licence,
            "contributor": rights.contributor,
        }
        yield {
            "id": task.id,
            "data": {key: value for key, value in data.items() if value},
            "predictions" if predictions else "annotations": answers,
        }


def _answer(export: Export, annotation: Annotation, *, predictions: bool) -> dict[str, Any]:
    """One task as an annotation or a prediction of its own, with its instruction as text."""
    if not annotation.named_masks:
        export.report.losses["Empty masks leave an annotation without a region"] += 1
    task, revision = annotation.task, annotation.revision
    result: list[dict[str, Any]] = [
        _region(task, f"task{task.id}-{number}", name, mask, export.class_number(name))
        for number, (name, mask) in enumerate(annotation.named_masks, start=1)
    ]
    result.append(
        {
            "id": f"task{task.id}-instruction",
            "type": "textarea",
            "from_name": "instruction",
            "to_name": TO_NAME,
            "value": {"text": [revision.instruction]},
        }
    )
    if predictions:
        return {"model_version": revision.policy_id or "Seg-R1 studio", "result": result}
    return {
        "result": result,
        "was_cancelled": False,
        "ground_truth": False,
        "completed_by": {"email": "", "first_name": revision.annotator, "last_name": ""},
    }


def _region(task: Task, key: str, name: str, mask: Mask, number: int) -> dict[str, Any]:  # noqa: ARG001
    return {
        "id": key,
        "type": "brushlabels",
        "from_name": FROM_NAME,
        "to_name": TO_NAME,
        "original_width": task.image_size.width,
        "original_height": task.image_size.height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": pack_runs(mask), "brushlabels": [name]},
    }


def pack_runs(mask: Mask) -> list[int]:
    """A bool (height, width) mask as Label Studio's run lengths: bytes, 0 to 255.

    A head of 32 bits for the number of values, 5 for the bits of a value less 1, four times 4 for the widths of run
    lengths less 1; then for each run a bit 1, two bits that choose the width, the length less 1 and the value.
    """
    flat = np.ascontiguousarray(mask).ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    head = f"{flat.size * 4:032b}{7:05b}{''.join(f'{width - 1:04b}' for width in (3, 4, 8, 16))}"
    bits = [head]
    for start, end in itertools.pairwise(starts):
        left, value = int(end - start) * 4, 255 if flat[start] else 0
        while left:
            length = min(left, _LONGEST_RUN)
            bits.append(f"1{3:02b}{length - 1:016b}{value:08b}")
            left -= length
    text = "".join(bits)
    packed = int(f"{text}{'0' * (-len(text) % 8)}", 2).to_bytes((len(text) + 7) // 8)
    return list(packed)


def _config(export: Export) -> Element:
    view = Element("View")
    SubElement(view, "Image", name=TO_NAME, value="$image")
    labels = SubElement(view, "BrushLabels", name=FROM_NAME, toName=TO_NAME)
    for name in export.classes:
        SubElement(labels, "Label", value=xml_text(name), background=export.colour(name))
    if not export.classes:
        SubElement(labels, "Label", value=NO_CLASS, background=number_colour(1))
    SubElement(view, "TextArea", name="instruction", toName=TO_NAME, perRegion="false", editable="true")
    indent(view)
    return view
