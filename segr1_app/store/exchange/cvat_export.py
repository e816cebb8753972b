"""CVAT for images 1.1: one XML file of masks, or of polygons where they are to be simplified."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from segr1_app.domain import Mask
from segr1_app.geometry import mask_box
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, Export, ExportReport, exporting
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.exchange.voc_export import xml_text
from segr1_app.store.store import AnnotationStore

FILE_NAME: Final = "annotations.xml"
NEVER_HOLDS: Final = (
    "prompts, reasoning and completions, verdicts, comments and annotators, what was painted apart from the rest of "
    f"the mask, {ALL_BUT_ONE}"
)


def export_cvat(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    """Write ``annotations.xml`` and ``images/``.

    An object's instruction is its attribute "instruction", and a picture's split is its subset.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with exporting(store, out, options, NEVER_HOLDS) as export:
        (export.folder / "images").mkdir()
        path = export.folder / FILE_NAME
        pictures = path.with_suffix(".pictures")
        # The head lists the classes, which are known only at the end; the pictures may not fit into memory.
        with pictures.open("wb") as file:
            for number, (task, annotations) in enumerate(export.by_picture()):
                name, split = export.picture_file(task), options.splits.of(task.sha256)
                export.write_picture(task, export.folder / "images" / split / name)
                image = Element("image", id=str(number), name=xml_text(str(name)), subset=split)
                image.set("width", str(task.image_size.width))
                image.set("height", str(task.image_size.height))
                for annotation in annotations:
                    if not annotation.named_masks:
                        export.report.losses["Empty masks leave a picture without a shape"] += 1
                    for class_name, mask in annotation.named_masks:
                        _add_object(export, annotation, image, class_name, mask)
                indent(image)
                file.write(tostring(image) + b"\n")
        with path.open("wb") as file, pictures.open("rb") as body:
            file.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
            file.write(tostring(_meta(export)) + b"\n")
            for block in iter(lambda: body.read(2**20), b""):
                file.write(block)
            file.write(b"</annotations>\n")
        pictures.unlink()
    return export.report


def _add_object(export: Export, annotation: Annotation, image: Element, name: str, mask: Mask) -> None:
    label = xml_text(name)
    export.class_number(name)
    common = {"label": label, "source": "manual", "occluded": "0", "z_order": "0"}
    if export.options.simplify:
        made = []
        for ring in export.polygons(mask):
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in ring)
            made.append(SubElement(image, "polygon", common | {"points": points}))
    else:
        made = [SubElement(image, "mask", common | _runs(mask))]
    for element in made:
        SubElement(element, "attribute", name="instruction").text = xml_text(annotation.revision.instruction)


def _runs(mask: Mask) -> dict[str, str]:
    """A mask within its box, row by row, as lengths of runs of which the first is of background."""
    box = mask_box(mask)
    assert box is not None
    left, top, right, bottom = (int(edge) for edge in box.xyxy)
    flat = mask[top:bottom, left:right].ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, flat.size])
    lengths = [0, *runs] if flat[0] else list(runs)
    return {
        "rle": ", ".join(map(str, lengths)),
        "left": str(left),
        "top": str(top),
        "width": str(right - left),
        "height": str(bottom - top),
    }


def _meta(export: Export) -> Element:
    meta = Element("meta")
    # Written like a CVAT project, because only a project's pictures have subsets.
    project = SubElement(meta, "project")
    SubElement(project, "name").text = "Seg-R1 studio"
    splits = export.options.splits.names
    SubElement(project, "subsets").text = "\n".join(splits)
    jobs = SubElement(project, "tasks")
    for split in splits:
        job = SubElement(jobs, "task")
        SubElement(job, "name").text = split
        SubElement(job, "subset").text = split
    labels = SubElement(project, "labels")
    for name in export.classes:
        label = SubElement(labels, "label")
        SubElement(label, "name").text = xml_text(name)
        SubElement(label, "color").text = export.colour(name)
        SubElement(label, "type").text = "any"
        attribute = SubElement(SubElement(label, "attributes"), "attribute")
        for tag, text in (
            ("name", "instruction"),
            ("mutable", "False"),
            ("input_type", "text"),
            ("default_value", ""),
            ("values", ""),
        ):
            SubElement(attribute, tag).text = text
    rights = export.options.rights
    for tag, text in (("licence", rights.licence), ("contributor", rights.contributor)):
        if text:
            SubElement(meta, tag).text = xml_text(text)
    indent(meta)
    return meta
