"""Small data sets in the formats that tools write: a picture with an object, and helpers to check what was imported."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from segr1_app.domain import Mask
from segr1_app.images.pictures import load_picture
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.import_options import ImportOptions
from segr1_app.store.exchange.importing import import_paths
from segr1_app.store.exchange.outcomes import ImportReport

WIDTH, HEIGHT = 64, 48
CAT = "Identify and segment the cat."
DEFAULT = "it"


def box_mask(x1: int, y1: int, x2: int, y2: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Mask:
    mask = np.zeros(size[::-1], dtype=bool)
    mask[y1:y2, x1:x2] = True
    return mask


PLACE = (8, 6, 40, 30)
MASK = box_mask(*PLACE)
"""What is marked in most pictures, as corners and as a mask."""


def corners(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def draw(
    path: Path, seed: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT), orientation: int = 1, suffix: str = ""
) -> Path:
    """A picture file without EXIF rotation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation != 1:
        exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **({"format": suffix} if suffix else {}))
    return path


def coco(
    images: Sequence[Any], annotations: Sequence[Any], categories: Sequence[Any] = ({"id": 1, "name": "cat"},)
) -> dict[str, Any]:
    return {"images": list(images), "annotations": list(annotations), "categories": list(categories)}


def image(number: Any = 1, file_name: str = "a.png", **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": file_name, "width": WIDTH, "height": HEIGHT, **more}


def annotation(segmentation: Any, image_id: Any = 1, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image_id, "category_id": 1, "segmentation": segmentation, "iscrowd": 0, **more}


def write_json(path: Path, content: Any, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    return path


def bring(store: AnnotationStore, *paths: Path, options: ImportOptions | None = None, **more: Any) -> ImportReport:
    """Import, and return the report."""
    account = ImportReport()
    for _ in import_paths(store, paths, DEFAULT, options=options, report=account, **more):
        pass
    return account


def truth(store: AnnotationStore, picture: Path, instruction: str = CAT) -> Mask | None:
    return store.ground_truth(load_picture(picture).sha256, instruction)


def truths(store: AnnotationStore) -> Mapping[tuple[str, str], Mask]:
    """Every ground-truth mask by picture name and instruction."""
    found = {}
    for task in store.tasks():
        mask = store.ground_truth(task.sha256, task.instruction)
        if mask is not None:
            found[task.picture_name, task.instruction] = mask
    return found


def instructions(store: AnnotationStore) -> list[tuple[str, str]]:
    return [(task.picture_name, task.instruction) for task in store.tasks()]


def prompts(store: AnnotationStore, picture: Path) -> list[tuple[float, ...]]:
    """The edges of the boxes that a picture's cats came with."""
    (task,) = (task for task in store.tasks_of(load_picture(picture).sha256) if task.instruction == CAT)
    if task.prediction_id is None:
        return []
    boxes = (prompt.box for prompt in store.prediction(task.prediction_id).prediction.objects)
    return [(box.x1, box.y1, box.x2, box.y2) for box in boxes if box is not None]
