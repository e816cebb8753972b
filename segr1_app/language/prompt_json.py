"""Mask prompts as JSON: the one format that API, files and page write, and the older ones that are still read.

The format, in pixels of the original picture, x before y:

    {"box": [x1, y1, x2, y2] or null, "points": [{"x": x, "y": y, "label": 1 or 0}, ...], "name": "class, if any"}

Two other formats are read too: points as ``[x, y]`` with a separate list ``labels``, as ``/predict`` wrote them up to
version 0.1, and points as ``[x, y, label]`` with a name that may be null, as the store keeps them. The store's own form
(`segr1_app.store.rows.prompt_record`) does not change, because content digests are computed from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from reprlib import repr as short
from typing import Annotated, Any, Final, NotRequired, TypedDict

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point
from segr1_app.language.typed_text import one_line

MAX_POINTS: Final = 256
"""Largest number of points of one object."""
MAX_NUMBER: Final = 1e7
"""Largest coordinate or length, in pixels: strokes may leave the picture, but only as far as a person can draw."""
MAX_NAME: Final = 200
"""Longest class name in characters."""


class PointValue(TypedDict):
    """A point prompt: ``label`` is 1 on the object and 0 on the background."""

    x: float
    y: float
    label: Annotated[int, "0 | 1"]


class PromptValue(TypedDict):
    """The mask prompt of one object; ``box`` is [x1, y1, x2, y2], ``name`` is omitted if there is none."""

    box: Annotated[list[float], "[number, number, number, number]"] | None
    points: list[PointValue]
    name: NotRequired[str]


def prompt_value(prompt: ObjectPrompt) -> PromptValue:
    """A prompt as JSON values; coordinates keep all their digits."""
    value = PromptValue(
        box=list(prompt.box.xyxy) if prompt.box else None,
        points=[PointValue(x=point.x, y=point.y, label=point.label) for point in prompt.points],
    )
    if prompt.name is not None:
        value["name"] = prompt.name
    return value


def read_prompt(value: object, image_wh: ImageSize) -> ObjectPrompt:
    """Read the prompt from a JSON object in any of the three formats; unknown keys are ignored.

    Args:
        value: an object with a box, points, or both.
        image_wh: size of the picture, within which the prompt must lie.

    Raises:
        ValueError: when it is anything else; its text says what is wrong.
    """
    if not isinstance(value, Mapping) or not {"box", "points"} & value.keys():
        raise ValueError("it has neither a box nor points")
    given = listed(value.get("points", []), MAX_POINTS)
    points = tuple(_point(point, image_wh) for point in _labelled(given, value))
    box = None if value.get("box") is None else _box(value["box"], image_wh)
    return ObjectPrompt(box, points, _name(value, given))


def listed(value: Any, most: int) -> Sequence[Any]:
    """A JSON list of ``most`` entries at most.

    Raises:
        ValueError: when it is anything else.
    """
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"{short(value)} is not a list of at most {most}")
    return value


def pixel_number(value: Any) -> float:
    """A finite JSON number of a size that pixels can have.

    Raises:
        ValueError: when it is anything else.
    """
    # Written this way to reject NaN too, and integers too large for a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        raise ValueError(f"{short(value)} is not a number of pixels")
    return float(value)


def _labelled(points: Sequence[Any], value: Mapping[str, Any]) -> list[Any]:
    """Each point as (x, y, label); points in none of the three formats are returned unchanged."""
    if all(isinstance(point, Mapping) for point in points):
        # A list of labels next to such points is a copy that /predict adds for older readers: the points' own labels
        # count.
        return [(point["x"], point["y"], point["label"]) for point in points]
    if "labels" not in value:
        return list(points)
    labels = listed(value["labels"], MAX_POINTS)
    if len(labels) != len(points):
        raise ValueError(f"{len(points)} points have {len(labels)} labels")
    return [
        (*point, label) if isinstance(point, list) and len(point) == 2 else point
        for point, label in zip(points, labels, strict=True)
    ]


def _point(value: Any, image_wh: ImageSize) -> Point:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise ValueError(f'{short(value)} is not a point: write {{"x": 10, "y": 20, "label": 1}}')
    x, y, label = (pixel_number(part) for part in value)
    if not (0 <= x <= image_wh.width and 0 <= y <= image_wh.height):
        raise ValueError(f"a point lies outside the picture of {image_wh.width} x {image_wh.height} pixels")
    if label not in (0, 1):
        raise ValueError(f"a point's label is 1 or 0, not {short(value[2])}")
    return Point(x, y, int(label))


def _box(value: Any, image_wh: ImageSize) -> Box:
    if len(listed(value, 4)) != 4:
        raise ValueError("a box is [x1, y1, x2, y2]")
    x1, y1, x2, y2 = (pixel_number(edge) for edge in value)
    if not (x1 >= 0 and y1 >= 0 and x2 <= image_wh.width and y2 <= image_wh.height):
        raise ValueError(f"its box does not lie within the picture of {image_wh.width} x {image_wh.height} pixels")
    return Box(x1, y1, x2, y2)


def _name(value: Mapping[str, Any], points: Sequence[Any]) -> str | None:
    name = value.get("name", "")
    if name is None and not any(isinstance(point, Mapping) for point in points):
        return None  # how the store writes that there is no name
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise ValueError(f"its name is not text of at most {MAX_NAME} characters")
    return one_line(name) or None
