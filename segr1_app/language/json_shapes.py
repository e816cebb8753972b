"""The shapes in which models write objects, boxes and points as JSON, whatever they were asked for.

All functions take decoded JSON (`segr1_app.language.loose_json`), whose numbers are floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from segr1_app.language.codec import MAX_POINTS
from segr1_app.language.loose_json import Whole, decode_json

BOX, POINT = "bbox_2d", "point_2d"
NAMES: Final = {
    BOX: (BOX, "bbox", "box", "boxes", "bboxes", "bboxes_2d", "bounding_box", "bounding_boxes"),
    POINT: (POINT, "point", "points_2d", "points"),
}
"""Names that models use for a box and a point, as `plain_key` spells them; the first one is asked for."""
EVERY_NAME: Final = frozenset(name for names in NAMES.values() for name in names)
CORNERS: Final = {
    BOX: (
        ("x1", "y1", "x2", "y2"),
        ("xmin", "ymin", "xmax", "ymax"),
        ("x_min", "y_min", "x_max", "y_max"),
        ("left", "top", "right", "bottom"),
    ),
    POINT: (("x", "y"),),
}
"""Names under which models write coordinates one by one."""
EVERY_CORNER: Final = frozenset(name for possible in CORNERS.values() for names in possible for name in names)
MAX_NESTING: Final = 8
"""Most wrappers around a box, a point or the list of objects that are looked through."""
SHARE_MARGIN: Final = 0.5
"""How far outside the picture a fraction of width or height may lie and still be distinguished from a pixel."""


def unwrap(value: Any) -> Any:
    """What a wrapper holds, such as {"objects": [...]} or a list around the list; None if it is not a wrapper."""
    if isinstance(value, dict) and not is_entry(value):
        entries = [each for each in value.values() if is_entry(each)]
        if len(entries) > 1:
            return entries
        inner = [each for each in value.values() if isinstance(each, dict) or _may_hold_objects(each)]
        # The longest list: besides the objects there may be an empty list of something else.
        return max(inner, key=len, default=[each for each in value.values() if numbers_of(each, 4)] or None)
    if isinstance(value, list) and len(value) == 1:
        if isinstance(value[0], list) and not numbers_of(value[0], 4):
            return value[0]
        return unwrap(value[0]) if isinstance(value[0], dict) else None
    return None


def holds_nothing(value: Any) -> bool:
    """Whether a value is an empty list, or a list of nothing but such lists."""
    rest = [value]
    while rest:
        each = rest.pop()
        if not isinstance(each, list):
            return False
        rest += each
    return True


def plain_key(name: str) -> str:
    """A key in lower case, with underscores."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def is_entry(value: Any) -> bool:
    """Whether a value is an object with a box or a point, not a wrapper such as {"boxes": [{"bbox_2d": ...}]}."""
    return _has_coordinates(value) and not any(
        isinstance(each, list) and any(_has_coordinates(inner) for inner in each) for each in value.values()
    )


def _has_coordinates(value: Any) -> bool:
    return isinstance(value, dict) and any(plain_key(name) in EVERY_NAME for name in value)


def _may_hold_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, list | dict) for each in value)


def unquoted(value: Any, nesting: int = MAX_NESTING) -> Any:
    """Coordinates, with those in quotes read as numbers: "10", ["10", "20"], "10, 20" and "(10,20),(30,40)".

    What has no unambiguous meaning as a number stays as it is: "10px" and "50%", and "12,5" where one number belongs.
    """
    if isinstance(value, str):
        try:
            inner = decode_json(f"[{value}]").value
        except ValueError:
            return value
        return inner[0] if len(inner) == 1 else inner or value
    if nesting and isinstance(value, list):
        return [unquoted(each, nesting - 1) for each in value]
    if nesting and isinstance(value, dict):
        return {name: unquoted(each, nesting - 1) for name, each in value.items()}
    return value


def peel(value: Any) -> Any:
    """A list of lists without further brackets around it, or what an object holds that has nothing else."""
    for _ in range(MAX_NESTING):
        if isinstance(value, dict) and len(value) == 1:
            (inner,) = value.values()
            if not isinstance(inner, list | dict):
                break
            value = inner
            continue
        if not (isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)):
            break
        if not any(isinstance(each, list) for each in value[0]):
            break
        value = value[0]
    return value


def box_lists(value: Any) -> list[Any] | None:
    """The entries of a list of boxes, or the one box whose two corners are lists; None for anything else."""
    if not isinstance(value, list) or not value or not all(isinstance(each, list | dict) for each in value):
        return None
    if len(value) == 2 and all(numbers_of(each, 2) for each in value):
        return [[*value[0], *value[1]]]
    return value


def all_numbers(entries: list[Mapping[str, Any]]) -> Iterator[float]:
    """Every coordinate of the entries, of boxes and points alike."""
    for entry in entries:
        waiting = [value for name, value in entry.items() if plain_key(name) in EVERY_NAME]
        while waiting:
            value = waiting.pop()
            if isinstance(value, float):
                yield value
            elif isinstance(value, list):
                waiting += value[:MAX_POINTS]
            elif isinstance(value, dict):
                waiting += list(value.values())[:MAX_POINTS]


def are_shares(numbers: Sequence[Any]) -> bool:
    """Whether coordinates run from 0 to 1, or little beyond, and not all are whole, as those of a pixel would be."""
    return (
        bool(numbers)
        and all(isinstance(number, float) and -SHARE_MARGIN <= number <= 1 + SHARE_MARGIN for number in numbers)
        and not all(isinstance(number, Whole) for number in numbers)
    )


def numbers_of(value: Any, count: int) -> tuple[float, ...] | None:
    """The numbers of a list of exactly ``count``; None for anything else."""
    if not isinstance(value, list) or len(value) != count:
        return None
    if not all(isinstance(each, float) and isfinite(each) for each in value):
        return None
    return tuple(float(each) for each in value)
