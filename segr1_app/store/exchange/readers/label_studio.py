"""Label Studio's JSON: polygons, brushes, ellipses, boxes and keypoints in percent of the picture as displayed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np

from segr1_app.domain import DatasetError, ImageSize
from segr1_app.images.frames import Reading
from segr1_app.images.masks import read_labels
from segr1_app.store.exchange.coordinates import Ring, number, ring_of, size_of
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures, path_in_address
from segr1_app.store.exchange.outcomes import Remark
from segr1_app.store.exchange.readers.brush_runs import decode_brush
from segr1_app.store.exchange.readers.ellipses import ellipse, rotated
from segr1_app.store.exchange.readers.labelme import decode_picture
from segr1_app.store.exchange.readers.sources import MALFORMED, Found, Head, Source, Tree, fault_of, list_in, load_json
from segr1_app.store.exchange.readers.xml_files import root_name
from segr1_app.store.exchange.shapes import BoxShape, Dots, Piece, Polygons, Shape, box_around

_BASES: Final = frozenset({"polygon", "brush", "rectangle", "keypoint", "ellipse", "bitmask"})
_LABELS: Final = frozenset(f"{base}labels" for base in _BASES)
_WORDS: Final = frozenset({"choices", "textarea", "taxonomy", "rating", "number", "datetime", "pairwise", "relation"})
"""Types of results that mark nothing; so does "labels", which names another result's region."""


def find(tree: Tree) -> list[Source]:
    """Files of tasks."""
    names = [name for name in tree.with_suffix(".json") if _is_label_studio(tree.head(name))]
    # The configuration of a project says how to show its tasks.
    configurations = (
        [name for name in tree.with_suffix(".xml") if root_name(tree.entry(name)) == "View"] if names else []
    )
    return [_source(tree, name, configurations) for name in names]


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
    """A task of JSON_MIN in the form of the full JSON."""
    if not isinstance(task, dict) or "data" in task:
        return task
    regions = [each for value in task.values() if isinstance(value, list) for each in value if isinstance(each, dict)]
    results = [{**each, "type": kind, "value": each} for each in regions for kind in sorted(_LABELS & each.keys())]
    texts = {key: value for key, value in task.items() if isinstance(value, str)}
    return {"id": task.get("id"), "data": texts, "annotations": [{"result": results}]}


def _source(tree: Tree, name: PurePosixPath, configurations: Sequence[PurePosixPath]) -> Source:
    return Source("Label Studio", [name, *configurations], lambda pictures: _read(tree, name, pictures))


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
        yield from _task(task, f"{record} ({PurePosixPath(path_in_address(called)).name})", called, name, pictures)


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
    try:
        made = list_in(task, "annotations") or list_in(task, "completions")
        guesses = [] if made else list_in(task, "predictions")
    except DatasetError as error:
        yield f"{where}: {error}"
        return
    answers = [each for each in made or guesses if isinstance(each, dict) and not each.get("was_cancelled")]
    if made and not answers:
        yield Remark(f"{where}: its annotation was cancelled and is not used.")
    if made and task.get("predictions"):
        yield Remark(f"{where}: its predictions are not used, because somebody has annotated it.")
    try:
        asked: dict[str | None, list[Mapping[str, Any]]] = {}
        for each in answers:
            asked.setdefault(_instruction(each), []).append(each)
        chosen = {words: _chosen(alike) for words, alike in asked.items()}
        size = _size([result for each in chosen.values() for result in _results(each)])
        parts = [part for words, each in chosen.items() for part in _parts_of(each, words, size, guessed=not made)]
    except DatasetError as error:
        yield f"{where}: {error}"
        return
    for words, alike in asked.items():
        if made and len(alike) > 1:
            which = "ground truth" if chosen[words].get("ground_truth") else "last"
            yield Remark(f"{where}: of {len(alike)} annotations the {which} is taken.")
    if said := [kind for each in chosen.values() for result in _results(each) if (kind := _kind_of_words(result))]:
        yield Remark(f"{where}: its answers in words mark nothing and are not used: {', '.join(dict.fromkeys(said))}.")
    data = task.get("data", {}).get("instruction")
    instructions = [each for each in (data, *chosen) if isinstance(each, str) and each.strip()]
    # Browsers turn pictures upright.
    yield Record(
        where,
        pictures.find(name, called),
        PurePosixPath(path_in_address(called)).name,
        parts,
        size,
        Reading.UPRIGHT,
        () if parts else tuple(instructions[-1:]),
    )


def _chosen(answers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of several answers to the same question, the one that was marked as ground truth, else the last."""
    return next((each for each in answers if each.get("ground_truth")), answers[-1])


def _instruction(answer: Mapping[str, Any]) -> str | None:
    """The instruction of an annotation, which our own export writes: several of a picture are tasks of their own."""
    for result in _results(answer):
        value = result.get("value")
        if result.get("type") == "textarea" and result.get("from_name") == "instruction" and isinstance(value, dict):
            texts = value.get("text")
            first = texts[0] if isinstance(texts, list) and texts else texts
            return first if isinstance(first, str) and first.strip() else None
    return None


def _results(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in list_in(answer, "result") if isinstance(each, dict)]


def _parts_of(answer: Mapping[str, Any], words: str | None, size: ImageSize | None, *, guessed: bool) -> Iterator[Part]:
    """The regions of one annotation or prediction."""
    model = str(answer.get("model_version") or "Label Studio") if guessed else None
    named = {each.get("id"): each["value"].get("labels") for each in _results(answer) if _is_name(each)}
    for index, each in enumerate(list_in(answer, "result"), start=1):
        if not isinstance(each, dict):
            yield Part(f"region {index}", "it is not a record", instruction=words)
        elif not _is_name(each):
            for part in _parts(index, each, named.get(each.get("id")), size, model):
                yield replace(part, instruction=words)


def _size(results: Sequence[Mapping[str, Any]]) -> ImageSize | None:
    sizes = {size for each in results if (size := size_of(each.get("original_width"), each.get("original_height")))}
    if len(sizes) > 1:
        raise DatasetError("its regions state different sizes of the picture.")
    return next(iter(sizes), None)


def _kind_of_words(result: Mapping[str, Any]) -> str | None:
    """What a result is called that marks nothing; None for a region, and for the instruction of our own export."""
    kind, name = result.get("type"), result.get("from_name")
    if str(kind).lower() not in _WORDS or (kind == "textarea" and name == "instruction"):
        return None
    return str(name or kind)


def _is_name(result: Mapping[str, Any]) -> bool:
    """Whether a result only says what the region of the same id is called."""
    return result.get("type") == "labels" and isinstance(result.get("value"), dict)


def _parts(
    index: int, result: Mapping[str, Any], named: Any, size: ImageSize | None, model: str | None
) -> Iterator[Part]:
    kind, value = str(result.get("type") or "").lower(), result.get("value")
    base = kind.removesuffix("labels")
    if kind in _WORDS:
        return
    if not isinstance(value, dict):
        yield Part(f"region {index}", "it has no value, which holds its coordinates")
        return
    names = value.get(f"{base}labels") or value.get("labels") or named or [None]
    for name in names if isinstance(names, list) else [names]:
        which = f"region {index} ({name or base})"
        label = None if name is None else str(name)
        try:
            if result.get("image_rotation"):
                raise ValueError("its picture was rotated in Label Studio: rotate it back there, and export again")
            yield Part(which, _shape(base, value, size), label, model=model)
        except (*MALFORMED, DatasetError) as error:
            yield Part(which, fault_of(error), label)


def _shape(kind: str, value: Mapping[str, Any], size: ImageSize | None) -> Shape:
    if kind == "polygon":
        return Polygons([ring_of(value.get("points") or []) / 100], normalised=True)
    if kind == "brush":
        if value.get("format") != "rle" or size is None:
            raise ValueError("its brush is in an unsupported format")
        return Piece(decode_brush(value.get("rle"), size))
    if kind == "bitmask":
        return Piece(read_labels(decode_picture(str(value.get("imageDataURL")).partition("base64,")[2])).mask("all"))
    if kind not in _BASES:
        raise ValueError(f"a {kind} marks no area")
    return _shape_at(kind, value, size)


def _shape_at(kind: str, value: Mapping[str, Any], size: ImageSize | None) -> Shape:
    """A keypoint, rectangle or ellipse, which may be turned."""
    x, y = (number(value.get(key), key) for key in ("x", "y"))
    if kind == "keypoint":
        return Dots(((x / 100, y / 100, 1),), normalised=True)
    if kind == "rectangle":
        width, height = (number(value.get(key), key) for key in ("width", "height"))
        if value.get("rotation"):
            corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
            return box_around(_turned((x, y), corners, value["rotation"], size))
        return BoxShape((x / 100, y / 100, (x + width) / 100, (y + height) / 100), normalised=True)
    rx, ry = (number(value.get(key), key) for key in ("radiusX", "radiusY"))
    around = ellipse(rx, ry)
    if value.get("rotation"):
        return Polygons([_turned((x, y), around, value["rotation"], size)])
    return Polygons([(around + np.array([x, y])) / 100], normalised=True)


def _turned(pivot: tuple[float, float], around: Ring, rotation: Any, size: ImageSize | None) -> Ring:
    """Corners that were turned about a point, in pixels: percents of two sides cannot be turned.

    Args:
        pivot: the upper left corner of a box, or the centre of an ellipse, in percent.
        around: the corners as they lie from there before they are turned, in percent.
        rotation: degrees, clockwise.
        size: of the picture.
    """
    if size is None:
        raise ValueError("a rotated region needs original_width and original_height")
    scale = np.array([size.width, size.height]) / 100
    turned: Ring = np.array(pivot) * scale + rotated(around * scale, math.radians(number(rotation, "rotation")))
    return turned
