"""Pascal VOC: class and object indices as palette PNGs, boxes as XML; one entry per task."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np
import numpy.typing as npt
from PIL import Image

from segr1_app.domain import StoreError
from segr1_app.geometry import mask_box
from segr1_app.store.connection import translate_errors
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, ExportReport, decided, new_folder
from segr1_app.store.store import AnnotationStore

NEVER_HOLDS: Final = (
    "prompts, instructions, reasoning and completions, verdicts, comments and annotators, what was painted apart from "
    f"the rest of the mask, {ALL_BUT_ONE}"
)
MOST: Final = 254
"""Most classes, and most objects of a picture: index 0 is the background, and VOC leaves 255 to what is unclear."""


def export_voc(store: AnnotationStore, out: Path) -> ExportReport:
    """Write the folders of Pascal VOC.

    Raises:
        StoreError: when the folder is not empty or cannot be written to, or there are more classes than VOC has room
            for.
    """
    report, folder = ExportReport(NEVER_HOLDS), new_folder(out)
    classes: dict[str, int] = {}
    lists = folder / "ImageSets" / "Segmentation"
    with translate_errors():
        for part in ("JPEGImages", "SegmentationClass", "SegmentationObject", "Annotations"):
            (folder / part).mkdir()
        lists.mkdir(parents=True)
        with (lists / "all.txt").open("w", encoding="utf-8") as entries:
            for annotation in decided(store, report):
                _write(store, annotation, folder, classes, report)
                entries.write(f"{annotation.stem}\n")
        names = "".join(f"{number} {_plain(name)}\n" for name, number in classes.items())
        (folder / "classes.txt").write_text(names, encoding="utf-8")
    if report.written:
        report.losses["Pictures in JPEGImages are PNG, which loses nothing"] = report.written
    return report


def _write(
    store: AnnotationStore, annotation: Annotation, out: Path, classes: dict[str, int], report: ExportReport
) -> None:
    width, height = annotation.task.image_size
    by_class: npt.NDArray[np.uint8] = np.zeros((height, width), np.uint8)
    by_object = by_class.copy()
    root = Element("annotation")
    SubElement(root, "filename").text = f"{annotation.stem}.png"
    size = SubElement(root, "size")
    for tag, value in (("width", width), ("height", height), ("depth", 3)):
        SubElement(size, tag).text = str(value)
    SubElement(root, "segmented").text = "1"
    masks = annotation.named_masks
    if not masks:
        report.losses["Empty masks leave a picture without an object"] += 1
    for number, (name, mask) in enumerate(masks, start=1):
        if number > MOST:
            report.losses[f"Objects beyond {MOST} of a picture are left out"] += 1
            continue
        if by_object[mask].any():
            report.losses["Where objects overlap, the later one is kept"] += 1
        if classes.setdefault(name, len(classes) + 1) > MOST:
            raise StoreError(f"Pascal VOC has room for {MOST} classes, and there are more: export COCO instead.")
        by_class[mask], by_object[mask] = classes[name], number
        made, box = SubElement(root, "object"), mask_box(mask)
        SubElement(made, "name").text = _plain(name)
        if box is not None:
            edges = SubElement(made, "bndbox")
            # VOC counts pixels from 1 and takes the last one in.
            for tag, edge in (("xmin", box.x1 + 1), ("ymin", box.y1 + 1), ("xmax", box.x2), ("ymax", box.y2)):
                SubElement(edges, tag).text = str(int(edge))
    for indices, part in ((by_class, "SegmentationClass"), (by_object, "SegmentationObject")):
        image = Image.fromarray(indices)
        image.putpalette(_palette())
        image.save(out / part / f"{annotation.stem}.png")
    picture = store.picture_path(annotation.task.sha256).read_bytes()
    (out / "JPEGImages" / f"{annotation.stem}.png").write_bytes(picture)
    ElementTree(root).write(out / "Annotations" / f"{annotation.stem}.xml", encoding="utf-8")


def _plain(name: str) -> str:
    """A class name in one line and without what XML cannot hold."""
    return re.sub(r"[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+", " ", name)


def _palette() -> list[int]:
    """VOC's own colours: the bits of an index, spread over red, green and blue from the highest on."""
    return [
        sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
        for index in range(256)
        for channel in range(3)
    ]
