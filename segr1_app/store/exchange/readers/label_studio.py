"""Label Studio's JSON: polygons, brushes, ellipses, boxes and keypoints in percent of the picture as it is seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np

from segr1_app.domain import DatasetError, ImageSize
from segr1_app.frames import Reading
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers.brush_runs import decode_brush
from segr1_app.store.exchange.readers.sources import MALFORMED, Found, Head, Source, Tree, fault_of, load_json
from segr1_app.store.exchange.shapes import BoxShape, Dots, Piece, Polygons, Ring, Shape, number, ring_of, size_of

_AROUND: Final = 64
_LABELS: Final = frozenset({"polygonlabels", "brushlabels", "rectanglelabels", "keypointlabels", "ellipselabels"})
_KINDS: Final = _LABELS | {"polygon", "brush", "rectangle", "keypoint", "ellipse"}


def find(tree: Tree) -> list[Source]:
    """Files of tasks."""
    return [_source(tree, name) for name in tree.with_suffix(".json") if _is_label_studio(tree.head(name))]


def _is_label_studio(head: Head | None) -> bool:
    if head is None:
        return False
    return _is_minimal(head) or (
        "data" in head.keys and bool(head.keys & {"annotations", "predictions", "completions"})
    )


def _is_minimal(head: Head) -> bool:
    """Whether a file has Label Studio's smaller form, JSON_MIN: regions under the names of their labels' controls."""
    return "data" not in head.keys and any(inner & _LABELS for inner in head.values.values())


def _whole(task: Any) -> Any:
    """A task of the smaller form as one of the larger."""
    if not isinstance(task, dict) or "data" in task:
        return task
    regions = [each for value in task.values() if isinstance(value, list) for each in value if isinstance(each, dict)]
    results = [{**each, "type": kind, "value": each} for each in regions for kind in sorted(_LABELS & each.keys())]
    texts = {key: value for key, value in task.items() if isinstance(value, str)}
    return {"id": task.get("id"), "data": texts, "annotations": [{"result": results}]}


def _source(tree: Tree, name: PurePosixPath) -> Source:
    return Source("Label Studio", [name], lambda pictures: _read(tree, name, pictures))


def _read(tree: Tree, name: PurePosixPath, pictures: Pictures) -> Iterator[Found]:
    where = tree.files.display_name(name)
    try:
        content = load_json(tree.entry(name))
    except DatasetError as error:
        raise DatasetError(f"'{where}': {error}") from error
    tasks = [_whole(task) for task in (content if isinstance(content, list) else [content])]
    pictures.expect(filter(None, (_picture(task) for task in tasks if isinstance(task, dict))))
    for number_of, task in enumerate(tasks, start=1):
        record = f"{where}, task {task.get('id', number_of) if isinstance(task, dict) else number_of}"
        called = _picture(task) if isinstance(task, dict) else None
        if called is None:
            yield f"{record} is left out: it names no picture."
            continue
        yield from _task(task, f"{record} ({PurePosixPath(called).name})", called, name, pictures)


def _picture(task: Mapping[str, Any]) -> str | None:
    data = task.get("data")
    if not isinstance(data, dict):
        return None
    texts = {key: value for key, value in data.items() if isinstance(value, str) and value.strip()}
    for key in ("image", "img", "picture", "photo"):
        if key in texts:
            return texts[key]
    return next((text for text in texts.values() if "." in PurePosixPath(text).name), None)


def _task(task: Mapping[str, Any], where: str, called: str, name: PurePosixPath, pictures: Pictures) -> Iterator[Found]:
    made = task.get("annotations") or task.get("completions") or []
    done = [each for each in made if isinstance(each, dict) and not each.get("was_cancelled")]
    chosen = next((each for each in done if each.get("ground_truth")), done[-1] if done else None)
    if len(done) > 1:
        which = "ground truth" if chosen and chosen.get("ground_truth") else "last"
        yield Remark(f"{where}: of {len(done)} annotations the {which} is taken.")
    model = None
    if chosen is None:
        guesses = [each for each in task.get("predictions") or [] if isinstance(each, dict)]
        chosen = guesses[-1] if guesses else None
        model = str(chosen.get("model_version") or "Label Studio") if chosen else None
    results = [each for each in (chosen or {}).get("result") or [] if isinstance(each, dict)]
    try:
        size = _size(results)
    except DatasetError as error:
        yield f"{where}: {error}"
        return
    parts = [part for index, each in enumerate(results, start=1) for part in _parts(index, each, size, model)]
    words = task.get("data", {}).get("instruction")
    instructions = (words,) if isinstance(words, str) and words.strip() and not parts else ()
    # Browsers turn pictures upright.
    yield Record(
        where, pictures.find(name, called), PurePosixPath(called).name, parts, size, Reading.UPRIGHT, instructions
    )


def _size(results: Sequence[Mapping[str, Any]]) -> ImageSize | None:
    sizes = {size for each in results if (size := size_of(each.get("original_width"), each.get("original_height")))}
    if len(sizes) > 1:
        raise DatasetError("its regions say different sizes of the picture.")
    return next(iter(sizes), None)


def _parts(index: int, result: Mapping[str, Any], size: ImageSize | None, model: str | None) -> Iterator[Part]:
    kind, value = str(result.get("type") or "").lower(), result.get("value")
    if kind not in _KINDS or not isinstance(value, dict):
        return
    base = kind.removesuffix("labels")
    names = value.get(f"{base}labels") or value.get("labels") or [None]
    for name in names if isinstance(names, list) else [names]:
        which = f"region {index} ({name or base})"
        try:
            yield Part(which, _shape(base, value, size), None if name is None else str(name), model=model)
        except MALFORMED as error:
            yield Part(which, fault_of(error), None if name is None else str(name))


def _shape(kind: str, value: Mapping[str, Any], size: ImageSize | None) -> Shape:
    if kind == "polygon":
        return Polygons([ring_of(value.get("points") or []) / 100], normalised=True)
    if kind == "brush":
        if value.get("format") != "rle" or size is None:
            raise ValueError("its brush is in no format that is read")
        return Piece(decode_brush(value.get("rle"), size))
    x, y = (number(value.get(key), key) for key in ("x", "y"))
    if kind == "keypoint":
        return Dots(((x / 100, y / 100, 1),), normalised=True)
    if kind == "rectangle":
        width, height = (number(value.get(key), key) for key in ("width", "height"))
        if float(value.get("rotation") or 0):
            return Polygons([_turned((x, y, width, height), number(value["rotation"], "rotation"), size)])
        return BoxShape((x / 100, y / 100, (x + width) / 100, (y + height) / 100), normalised=True)
    rx, ry = (number(value.get(key), key) for key in ("radiusX", "radiusY"))
    angles = np.arange(_AROUND) * 2 * math.pi / _AROUND
    return Polygons([np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1) / 100], normalised=True)


def _turned(box: tuple[float, float, float, float], degrees: float, size: ImageSize | None) -> Ring:
    """A box that was turned about its upper left corner, in pixels: percents of two sides cannot be turned."""
    if size is None:
        raise ValueError("a turned box needs original_width and original_height")
    x, y, width, height = box
    scale = np.array([size.width, size.height]) / 100
    corner = np.array([x, y]) * scale
    sides = np.array([[0, 0], [width, 0], [width, height], [0, height]]) * scale
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    turned: Ring = corner + sides @ np.array([[cosine, sine], [-sine, cosine]])
    return turned
