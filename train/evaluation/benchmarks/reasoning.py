"""ReasonSeg (Lai et al., *LISA*, arXiv 2308.00692): a JSON file with queries and polygons for each picture.

Polygons are painted from the largest to the smallest, so that a target can have an ignored hole, or lie on top of an
ignored region; edges belong to the polygons. Both are as in the authors' code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from segr1_app.domain import DatasetError, ImageSize
from train.evaluation.benchmarks.question import Question, QuestionSet, Target

SPLITS: Final = ("val", "test")
_TARGET, _IGNORED = 1, 2


def read_reasoning(split: str, folder: Path) -> QuestionSet:
    """Every query of a split, in groups of short phrases and long sentences as the authors report them.

    Args:
        split: one of `SPLITS`.
        folder: the set's folder, with one subfolder per split.

    Raises:
        DatasetError: when there is no such split, or a file in it cannot be read.
    """
    files = sorted((folder / split).glob("*.json"))
    if not files:
        raise DatasetError(f"There are no annotations (*.json) in '{folder / split}'.")
    questions: list[Question] = []
    for file in files:
        content = _read(file)
        try:
            group = "long" if content["is_sentence"] else "short"
            # A single string means a list of one.
            texts = [content["text"]] if isinstance(content["text"], str) else [str(text) for text in content["text"]]
            target = partial(_target, file, content["shapes"])
        except (KeyError, TypeError) as error:
            raise DatasetError(f"'{file}' is not an annotation of ReasonSeg: {error!r}") from error
        image = file.with_suffix(".jpg")
        questions += [Question(f"{file.stem}/{i}", image, text, target, group) for i, text in enumerate(texts)]
    return QuestionSet(tuple(questions), {"pictures": len(files)})


def _read(file: Path) -> Any:
    content = file.read_bytes()
    try:
        try:
            return json.loads(content.decode("utf-8"))
        except UnicodeDecodeError:
            # Some files of the set were written on Windows.
            return json.loads(content.decode("cp1252"))
    except ValueError as error:
        raise DatasetError(f"'{file}' cannot be read: {error}") from error


def _target(file: Path, shapes: Sequence[dict[str, Any]], image_wh: ImageSize) -> Target:
    size = (image_wh.height, image_wh.width)
    try:
        outlines = [
            (_IGNORED if "ignore" in shape["label"].lower() else _TARGET, np.array(shape["points"], dtype=np.int32))
            for shape in shapes
            # Annotators' marks without a meaning.
            if shape["label"].lower() != "flag"
        ]
        outlines.sort(key=lambda outline: -int(np.count_nonzero(_paint(np.zeros(size, np.uint8), outline[1], 1))))
        painted: npt.NDArray[np.uint8] = np.zeros(size, np.uint8)
        for value, points in outlines:
            _paint(painted, points, value)
    except (KeyError, TypeError, ValueError, AttributeError, cv2.error) as error:
        raise DatasetError(f"The outlines in '{file}' cannot be read: {error}") from error
    left_out = painted == _IGNORED
    return Target(painted == _TARGET, left_out if left_out.any() else None)


def _paint(canvas: npt.NDArray[np.uint8], points: npt.NDArray[np.int32], value: int) -> npt.NDArray[np.uint8]:
    """Draw a polygon, int32 (N, 2), including its edge, onto a canvas in place."""
    cv2.polylines(canvas, [points], isClosed=True, color=value, thickness=1)
    cv2.fillPoly(canvas, [points], value)
    return canvas
