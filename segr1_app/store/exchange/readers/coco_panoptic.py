"""COCO panoptic: a picture of segment numbers for each picture, and JSON that says which category each is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from segr1_app.domain import DatasetError, Mask
from segr1_app.images.frames import fit_pixels
from segr1_app.images.pictures import load_picture
from segr1_app.store.exchange.coordinates import size_of, whole
from segr1_app.store.exchange.intake import Content, Listing, Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.readers.coco_shapes import category_fields, id_key
from segr1_app.store.exchange.readers.sources import Found, Head, Source, Tree, load_json
from segr1_app.store.exchange.shapes import Canvas


def find(tree: Tree) -> list[Source]:
    """Files of segments, with the pictures of their numbers."""
    return [_source(tree, name) for name in tree.with_suffix(".json") if _is_panoptic(tree.head(name))]


def _is_panoptic(head: Head | None) -> bool:
    return head is not None and "segments_info" in head.values.get("annotations", ())


def _source(tree: Tree, name: PurePosixPath) -> Source:
    folder = name.with_suffix("")
    segments = [each for each in tree.pictures() if each.is_relative_to(folder) or "panoptic" in each.parent.name]
    claimed = [name, *segments]
    return Source("COCO panoptic", claimed, lambda pictures: _read(tree, name, segments, pictures))


@dataclass(frozen=True, slots=True)
class _Segment:
    """The pixels of one number, which is red + 256 green + 65536 blue."""

    content: Content
    number: int

    def mask(self, canvas: Canvas) -> Mask:
        """The segment.

        Raises:
            ValueError: when no pixel has its number.
            DatasetError: when the picture of numbers cannot be read or is of another size.
        """
        pixels = load_picture(self.content.read()).pixels.astype(np.int64)
        mask: Mask = pixels @ np.array([1, 256, 65536]) == self.number
        if not mask.any():
            raise ValueError(f"no pixel has its number {self.number}")
        return fit_pixels(mask, canvas.size, canvas.orientation, canvas.reading)


def _read(tree: Tree, name: PurePosixPath, segments: list[PurePosixPath], pictures: Pictures) -> Iterator[Found]:
    where = tree.files.display_name(name)
    try:
        content = load_json(tree.entry(name))
        categories = {id_key(each["id"]): str(each["name"]) for each in content["categories"]}
        listing = Listing.of(where, ({"name": each["name"], **category_fields(each)} for each in content["categories"]))
        images = {id_key(each["id"]): each for each in content["images"]}
    except DatasetError as error:
        raise DatasetError(f"'{where}': {error}") from error
    except (KeyError, TypeError) as error:
        raise DatasetError(f"'{where}' is not COCO panoptic: its images or categories cannot be read.") from error
    yield listing
    numbers = Pictures(tree.files, segments)
    for place, annotation in enumerate(content["annotations"], start=1):
        image = images.get(id_key(annotation.get("image_id"))) if isinstance(annotation, dict) else None
        if image is None or not image.get("file_name"):
            yield f"{where}, annotation {place} is left out: there is no image with its image_id."
            continue
        called = str(image["file_name"])
        found = numbers.find(name, str(annotation.get("file_name")))
        if isinstance(found, str):
            yield f"{where}, {called}: its picture of segments ({annotation.get('file_name')}): {found}"
            continue
        parts = list(_parts(annotation, found, categories))
        declared = size_of(image.get("width"), image.get("height"))
        yield Record(f"{where}, {called}", pictures.find(name, called), called, parts, declared)


def _parts(annotation: Mapping[str, Any], content: Content, categories: Mapping[str, str]) -> Iterator[Part]:
    for segment in annotation.get("segments_info") or []:
        which = f"segment {segment.get('id') if isinstance(segment, dict) else segment}"
        try:
            category = categories.get(id_key(segment.get("category_id")))
            if category is None:
                raise ValueError(f"its category_id {segment.get('category_id')} is not among the categories")
            yield Part(which, _Segment(content, whole(segment.get("id"), "its id")), category)
        except (ValueError, AttributeError) as error:
            yield Part(which, str(error))
