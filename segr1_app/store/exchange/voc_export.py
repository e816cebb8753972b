"""Pascal VOC: index PNGs of classes and of objects in VOC's palette, with an XML file of boxes per task.

The layout is that of ``VOCdevkit/VOC2012``, with the ``labelmap.txt`` from which CVAT and Datumaro read class names.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np
import numpy.typing as npt
from PIL import Image

from segr1_app.domain import Mask, StoreError
from segr1_app.geometry import mask_box
from segr1_app.store.classes import voc_colour
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, Export, ExportReport, exporting
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.store import AnnotationStore

NEVER_HOLDS: Final = (
    "prompts, instructions, reasoning and completions, verdicts, comments and annotators, what was painted apart from "
    f"the rest of the mask, {ALL_BUT_ONE}"
)
MOST: Final = 254
"""Largest number of classes, and of objects in a picture: index 0 is the background, and 255 means "unclear"."""
ROOT: Final = PurePosixPath("VOCdevkit", "VOC2012")


def export_voc(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    """Write the folders of Pascal VOC; a picture comes once per task.

    Raises:
        StoreError: when the folder is not empty or cannot be written to, or there are more classes than VOC has room
            for.
    """
    with exporting(store, out, options, NEVER_HOLDS) as export:
        root = export.folder / ROOT
        for part in ("JPEGImages", "SegmentationClass", "SegmentationObject", "Annotations"):
            (root / part).mkdir(parents=True)
        lists: dict[str, list[str]] = {name: [] for name in options.splits.names}
        for annotation in export.annotations():
            lists[annotation.split].append(_write(export, root, annotation))
        for folder in ("Segmentation", "Main"):
            (root / "ImageSets" / folder).mkdir(parents=True)
            for name, stems in lists.items():
                text = "".join(f"{stem}\n" for stem in stems)
                (root / "ImageSets" / folder / f"{name}.txt").write_text(text, encoding="utf-8")
        colours = ["# label:color_rgb:parts:actions\n", "background:0,0,0::\n"]
        colours += [
            f"{_in_labelmap(name)}:{','.join(map(str, voc_colour(number)))}::\n"
            for name, number in export.classes.items()
            if number <= MOST
        ]
        (root / "labelmap.txt").write_text("".join(colours), encoding="utf-8")
    return export.report


def _write(export: Export, root: Path, annotation: Annotation) -> str:
    """Write a task's files and return their stem."""
    # VOC's readers add the extension themselves: .jpg for pictures.
    file = export.task_file(annotation.task, jpeg=True)
    stem = file.with_suffix("")
    export.write_picture(annotation.task, root / "JPEGImages" / file)
    masks = annotation.named_masks
    if not masks:
        export.report.losses["Empty masks leave a picture without an object"] += 1
    by_class, by_object = _indices(export, annotation, masks)
    for indices, part in ((by_class, "SegmentationClass"), (by_object, "SegmentationObject")):
        image = Image.fromarray(indices)
        image.putpalette(_palette())
        path = root / part / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, compress_level=1)
    path = root / "Annotations" / f"{stem}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    _record(export, annotation, file, masks).write(path, encoding="utf-8")
    return str(stem)


def _indices(
    export: Export, annotation: Annotation, masks: list[tuple[str, Mask]]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Class numbers and object numbers, uint8 (height, width)."""
    width, height = annotation.task.image_size
    by_class: npt.NDArray[np.uint8] = np.zeros((height, width), np.uint8)
    by_object = by_class.copy()
    for number, (name, mask) in enumerate(masks, start=1):
        if number > MOST:
            export.report.losses[f"Objects beyond {MOST} of a picture are left out"] += 1
            continue
        if by_object[mask].any():
            export.report.losses["Where objects overlap, the later one is kept"] += 1
        if export.class_number(name) > MOST:
            raise StoreError(
                f"Pascal VOC has room for the class numbers up to {MOST}, and '{name}' has a higher one: export COCO "
                "instead."
            )
        by_class[mask], by_object[mask] = export.class_number(name), number
    return by_class, by_object


def _record(
    export: Export, annotation: Annotation, file: PurePosixPath, masks: list[tuple[str, Mask]]
) -> ElementTree[Element]:
    width, height = annotation.task.image_size
    rights = export.options.rights
    root = Element("annotation")
    SubElement(root, "folder").text = ROOT.name
    SubElement(root, "filename").text = xml_text(str(file))
    source = SubElement(root, "source")
    for tag, text in (("database", "Seg-R1 studio"), ("annotation", rights.contributor), ("image", rights.licence)):
        SubElement(source, tag).text = xml_text(text)
    size = SubElement(root, "size")
    for tag, value in (("width", width), ("height", height), ("depth", 3)):
        SubElement(size, tag).text = str(value)
    SubElement(root, "segmented").text = "1"
    for name, mask in masks[:MOST]:
        made, box = SubElement(root, "object"), mask_box(mask)
        SubElement(made, "name").text = _in_labelmap(name)
        if box is not None:
            edges = SubElement(made, "bndbox")
            # VOC counts pixels from 1, and a box includes its last one.
            for tag, edge in (("xmin", box.x1 + 1), ("ymin", box.y1 + 1), ("xmax", box.x2), ("ymax", box.y2)):
                SubElement(edges, tag).text = str(int(edge))
    return ElementTree(root)


def xml_text(text: str) -> str:
    """A text in one line, without characters that XML does not allow."""
    return re.sub(r"[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+", " ", text)


def _in_labelmap(name: str) -> str:
    """A class name for a line of ``labelmap.txt``, where a colon ends the name and a # begins a comment."""
    plain = xml_text(name).replace(":", "\N{FULLWIDTH COLON}")
    return f"\N{FULLWIDTH NUMBER SIGN}{plain[1:]}" if plain.startswith("#") else plain


@cache
def _palette() -> list[int]:
    """VOC's colours of all indices: red, green and blue of each."""
    return [channel for number in range(256) for channel in voc_colour(number)]
