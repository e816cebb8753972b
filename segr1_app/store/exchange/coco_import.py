"""COCO annotations as tasks with ground truth: one per picture and instruction."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as coco

from segr1_app.domain import DatasetError, ImageSize, Mask, SegR1Error
from segr1_app.geometry import check_rle, decode_rle
from segr1_app.images import load_picture
from segr1_app.store.rows import unite
from segr1_app.store.store import AnnotationStore


def import_coco(store: AnnotationStore, path: Path) -> Iterator[str | None]:
    """Take in a COCO file with the pictures beside it or in ``images/``.

    Annotations of one picture and one "instruction" (as our own export writes it), else of one category, are united
    into one ground truth.

    Yields:
        None for each task, a sentence for each picture or annotation that could not be taken.

    Raises:
        DatasetError: when the file is no COCO file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        by_image: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for annotation in content["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        images = [(image["id"], str(image["file_name"]), image) for image in content["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"'{path}' is no COCO file: {error!r}") from error
    for number, file_name, image in images:
        try:
            picture = load_picture(_find(path.parent, file_name))
        except SegR1Error as error:
            yield f"{file_name}: {error}"
            continue
        masks: dict[str, list[Mask]] = defaultdict(list)
        for annotation in by_image[number]:
            try:
                instruction = _instruction(annotation, names)
                masks[instruction].append(_mask(annotation["segmentation"], picture.size))
            except (ValueError, KeyError, TypeError) as error:
                yield f"{file_name}: an annotation cannot be read ({error})."
        sha256 = store.add_picture(picture, str(image.get("name", PurePosixPath(file_name).name)))
        for instruction, parts in masks.items():
            try:
                store.add_task(sha256, instruction, unite(parts, picture.size))
            except SegR1Error as error:
                yield f"{file_name}: {error}"
            else:
                yield None


def _find(folder: Path, file_name: str) -> Path:
    """The file of a picture; never one outside the annotations' own folder."""
    for base in (folder, folder / "images"):
        found = (base / file_name).resolve()
        if found.is_relative_to(folder.resolve()) and found.is_file():
            return found
    raise DatasetError("there is no such picture beside the annotations or in their images folder.")


def _instruction(annotation: Mapping[str, Any], names: Mapping[Any, str]) -> str:
    own = annotation.get("instruction")
    return str(own) if own else f"Identify and segment the {names[annotation['category_id']]}."


def _mask(segmentation: Any, size: ImageSize) -> Mask:
    """A segmentation of any of COCO's three kinds: polygons, runs, runs as a compressed text."""
    width, height = size
    if isinstance(segmentation, list):
        polygons = [[float(value) for value in polygon] for polygon in segmentation]
        if not polygons or any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
            raise ValueError("a polygon has at least three corners of two coordinates")
        if not np.isfinite(np.concatenate(polygons)).all():
            raise ValueError("a polygon has finite coordinates")
        # The rasteriser allocates by the coordinates it is given.
        inside = [np.clip(np.reshape(polygon, (-1, 2)), 0, (width, height)).ravel().tolist() for polygon in polygons]
        drawn: Mask = coco.decode(coco.merge(coco.frPyObjects(inside, height, width))).astype(bool)
        return drawn
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"the mask is of {segmentation['size']}, the picture of {[height, width]} (height, width)")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        check_rle({"size": [height, width], "counts": counts})
        return decode_rle({"size": [height, width], "counts": counts})
    runs = np.array(counts, dtype=np.int64)
    if (runs < 0).any() or int(runs.sum()) != width * height:
        raise ValueError("the run lengths do not add up to the picture")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    unrolled: Mask = np.ascontiguousarray(flat.reshape((height, width), order="F"))
    return unrolled
