"""The page's own views: ``gr.HTML`` components whose looks and behaviour are the modules in ``static/``.

A view gets its data as a JSON value and builds the DOM from it. Model output, instructions and file names reach the
page as text nodes only: gradio's templates would run ``${...}`` as code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeAlias

import gradio as gr

from segr1_app.domain import ImageSize, ObjectMask, ObjectPrompt, Prediction
from segr1_app.geometry import encode_rle
from segr1_app.palette import CASING, object_colour
from segr1_app.ui.models import ModelStatus

STATIC = Path(__file__).parent / "static"
STYLES = STATIC / "page.css"

Phase = Literal["idle", "loading", "waiting", "looking", "writing", "done", "stopped", "failed"]
ViewValue: TypeAlias = dict[str, Any]


def view(module: str, value: Any, *, elem_id: str) -> gr.HTML:
    """A component drawn by ``static/<module>.js``, whose ``mount`` gets gradio's element, props, trigger and watch."""
    return gr.HTML(
        value,
        elem_id=elem_id,
        html_template=f'<div class="view view-{module}"></div>',
        js_on_load=(
            "const root = element.querySelector('.view');"
            "import(new URL(encodeURI(props.module), document.baseURI).href)"
            ".then((module) => module.mount({ element: root, props, trigger, watch }));"
        ),
        apply_default_css=False,
        module=f"gradio_api/file={(STATIC / module).with_suffix('.js').as_posix()}",
    )


def header_value(status: ModelStatus) -> ViewValue:
    """The value of the header view."""
    return asdict(status)


def stage_value(
    picture: Path,
    title: str,
    image_wh: ImageSize,
    objects: Sequence[ObjectPrompt] = (),
    masks: Sequence[ObjectMask] = (),
) -> ViewValue:
    """The value of the stage view: a picture with its layers, in original pixels.

    Args:
        picture: the file to show; it may be smaller than the original.
        title: what is read out for it.
        image_wh: the original picture's size, the frame of ``objects`` and ``masks``.
        objects: the mask prompts.
        masks: one per object, or none.
    """
    rles = [encode_rle(found.mask) if found.mask.any() else None for found in masks]
    rles += [None] * (len(objects) - len(rles))
    return {
        "picture": file_value(picture, picture.name),
        "title": title,
        "image_size": list(image_wh),
        "casing": CASING,
        "objects": [
            {
                "colour": object_colour(index),
                "box": list(prompt.box.xyxy) if prompt.box else None,
                "points": [asdict(point) for point in prompt.points],
                "mask": rle,
            }
            for index, (prompt, rle) in enumerate(zip(objects, rles, strict=True))
        ],
    }


def answer_value(phase: Phase, text: str = "", *, failure: str = "") -> ViewValue:
    """The value of the answer view before there is a prediction: the text so far, or why there is none."""
    return {
        "phase": phase,
        "text": text,
        "failure": failure,
        "problems": [],
        "objects": [],
        "seconds": {},
        "files": {},
    }


def prediction_value(prediction: Prediction, files: Mapping[str, Path]) -> ViewValue:
    """The value of the answer view for a finished run.

    Args:
        prediction: what came of it.
        files: the downloads: "mask", "overlay" and "record".
    """
    confidences = [found.confidence if found.mask.any() else None for found in prediction.masks]
    return {
        **answer_value("done", prediction.completion),
        "problems": list(prediction.problems),
        "objects": [
            {
                "colour": object_colour(index),
                "confidence": confidence,
                "box": list(prompt.box.xyxy) if prompt.box else None,
                "positive": sum(point.label == 1 for point in prompt.points),
                "negative": sum(point.label == 0 for point in prompt.points),
            }
            for index, (prompt, confidence) in enumerate(zip(prediction.objects, confidences, strict=True))
        ],
        "seconds": dict(prediction.seconds),
        "files": {kind: file_value(path, path.name) for kind, path in files.items()},
    }


def file_value(path: Path, name: str) -> ViewValue:
    """A file in a view's value; gradio recognises it, adds its ``url`` and serves it."""
    return gr.FileData(path=str(path), orig_name=name).model_dump()
