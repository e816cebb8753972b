"""The shape of one COCO annotation, and its ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segr1_app.language.typed_text import MAX_NAME, one_line
from segr1_app.store.classes import MAX_TAKEN_NUMBER, read_colour
from segr1_app.store.exchange.coordinates import Ring, number, ring_of
from segr1_app.store.exchange.readers.boxed import Boxed
from segr1_app.store.exchange.shapes import Area, BoxShape, Dots, Polygons, Runs, Several, Shape


def id_key(value: Any) -> str:
    """An id as a text, the same for 7, 7.0, "7" and " 7 "; empty for no id."""
    if value is None or isinstance(value, bool | list | dict):
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**63 else str(value)
    text = str(value).strip()
    whole = text.removesuffix(".0").removeprefix("-")
    if whole.isascii() and whole.isdigit() and len(whole) < 20:
        return str(int(text.removesuffix(".0")))
    return text


def category_key(annotation: Mapping[str, Any]) -> str:
    """The id of an annotation's category."""
    return id_key(annotation.get("category_id"))


def category_fields(category: Mapping[str, Any]) -> dict[str, Any]:
    """What a category says of its class beside the name, as far as that can be used; see `read_class`."""
    fields: dict[str, Any] = {}
    key = id_key(category.get("id"))
    if key.isdecimal() and 1 <= int(key) <= MAX_TAKEN_NUMBER:
        fields["number"] = int(key)
    above, colour = category.get("supercategory"), read_colour(category.get("color"))
    # COCO's own people are of the supercategory "person", too.
    if isinstance(above, str) and 0 < len(one_line(above)) <= MAX_NAME and above != category.get("name"):
        fields["parent"] = above
    if colour is not None:
        fields["colour"] = colour
    return fields


def shape_of(annotation: Mapping[str, Any]) -> Shape:
    """The shape of an annotation: its mask, else its keypoints, else its box.

    Raises:
        ValueError: when it marks nothing, or something that cannot be read.
    """
    segmentation = annotation.get("segmentation")
    if segmentation in (None, [], {}, ""):
        return _prompt(annotation)
    area = _area_of(segmentation, annotation)
    try:
        return Boxed(area, box_of(annotation.get("bbox")))
    except ValueError:
        # The mask already says what the box would.
        return area


def _area_of(segmentation: Any, annotation: Mapping[str, Any]) -> Area:
    if isinstance(segmentation, dict):
        return _runs(segmentation, annotation)
    if not isinstance(segmentation, list):
        raise ValueError(f"its segmentation is {str(segmentation)[:40]!r}, neither polygons nor run lengths")
    if all(isinstance(each, dict) for each in segmentation):
        return Several(tuple(_runs(each, annotation) for each in segmentation))
    if not isinstance(segmentation[0], list):
        segmentation = [segmentation]
    if not all(isinstance(each, list) for each in segmentation):
        raise ValueError("its segmentation is a list of different things")
    return polygons_of([ring_of(each) for each in segmentation], annotation.get("bbox"))


def polygons_of(rings: list[Ring], box: Any = None) -> Polygons:
    """Polygons in pixels, or in fractions of width and height if all coordinates lie between 0 and 1.

    Raises:
        ValueError: when both readings are possible.
    """
    filled = [ring for ring in rings if len(ring)]
    if not filled or max(float(ring.max()) for ring in filled) > 1 or min(float(ring.min()) for ring in filled) < 0:
        return Polygons(rings)
    if any((ring != ring.round()).any() for ring in filled):
        return Polygons(rings, normalised=True)
    if isinstance(box, list) and any(number(side, "a side of its box") > 1 for side in box):
        return Polygons(rings)
    raise ValueError("all its coordinates are 0 or 1, so they could be pixels or fractions of width and height")


def _runs(segmentation: Mapping[str, Any], annotation: Mapping[str, Any]) -> Runs:
    if "counts" not in segmentation:
        raise ValueError("its segmentation has no counts")
    # An intentional empty mask has an instruction, which only this app writes; otherwise it is a mistake.
    return Runs(segmentation.get("size"), segmentation["counts"], empty=bool(annotation.get("instruction")))


def _prompt(annotation: Mapping[str, Any]) -> Shape:
    box = annotation.get("bbox")
    shape = box_of(box) if box else None
    keypoints = annotation.get("keypoints")
    if isinstance(keypoints, list) and len(keypoints) % 3 == 0:
        values = [number(value, "a keypoint") for value in keypoints]
        seen = tuple((x, y, 1) for x, y, flag in zip(*[iter(values)] * 3, strict=True) if flag > 0)
        if seen:
            return Dots(seen, box=shape)
    if shape is None:
        raise ValueError("it has neither segmentation nor bbox")
    return shape


def box_of(box: Any) -> BoxShape:
    """A box [left, top, width, height].

    Raises:
        ValueError: when it is invalid.
    """
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("its bbox is not a list of four numbers")
    left, top, width, height = (number(value, "a side of its bbox") for value in box)
    if width <= 0 or height <= 0:
        raise ValueError(f"its bbox is {width:g} x {height:g}")
    fractions = max(left + width, top + height) <= 1 and any(value != round(value) for value in (left, top, width))
    return BoxShape((left, top, left + width, top + height), normalised=fractions)
