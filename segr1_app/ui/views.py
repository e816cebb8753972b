"""The page's own views: ``gr.HTML`` components implemented by the JavaScript modules in ``static/``.

A view receives its data as a JSON value and builds the DOM from it. Model output, instructions and file names reach the
page as text nodes only: gradio's templates would run ``${...}`` as code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from segr1_app.domain import Box, ImageSize, Mask, ObjectMask, ObjectPrompt, Point, Prediction
from segr1_app.geometry import encode_rle, resize_nearest
from segr1_app.language.prompt_json import PointValue, prompt_value
from segr1_app.models.host import ModelStatus
from segr1_app.people.access import SignInMethod
from segr1_app.settings.roles import MAY, Person
from segr1_app.store import Revision
from segr1_app.store.changes import PromptChange
from segr1_app.store.rows import optional_rle
from segr1_app.studio.contracts import (
    BoxValue,
    CanvasValue,
    ChangeValue,
    ComparedAnswers,
    Header,
    RunAnswer,
    RunPhase,
    SavedObject,
    StoredFile,
    Visitor,
)
from segr1_app.studio.palette import CASING, OBJECT_COLOURS, object_colour
from segr1_app.studio.previews import live_size
from segr1_app.studio.sessions import CanvasSession

STATIC = Path(__file__).parent / "static"
STATIC_ROUTE = "studio"
"""Below which address they are served, relative to the page."""
STYLES = (
    STATIC / "shared" / "page.css",
    *(STATIC / name / f"{name}.css" for name in ("canvas", "annotate", "review", "progress", "train")),
)

ViewValue: TypeAlias = dict[str, Any]


def view(module: str, value: Any, *, elem_id: str, functions: Sequence[Callable[..., Any]] = ()) -> gr.HTML:
    """A component drawn by ``static/<module>.js``, whose ``mount`` receives a host, as described in
    ``static/shared/dom.js``.

    Args:
        module: the file's path in ``static/`` without the suffix.
        value: what it shows.
        elem_id: the id of the component on the page.
        functions: functions that its module may call as ``server.<name>(argument)``, outside the queue; gradio sets an
            attribute on them.
    """
    server = ", server" if functions else ""  # gradio defines it only for views with functions
    return gr.HTML(
        value,
        elem_id=elem_id,
        html_template=f'<div class="view view-{Path(module).name}"></div>',
        js_on_load=(
            "const root = element.querySelector('.view');"
            "import(new URL(encodeURI(props.module), document.baseURI).href)"
            f".then((module) => module.mount({{ element: root, props, trigger, watch{server} }}));"
        ),
        apply_default_css=False,
        server_functions=list(functions) or None,
        module=f"{STATIC_ROUTE}/{module}.js",
    )


def header_value(status: ModelStatus, person: Person | None = None, sign_in: SignInMethod = "none") -> Header:
    """The value of the header view.

    Args:
        status: the state of the models.
        person: the page's visitor; None while unknown.
        sign_in: how people identify themselves.
    """
    return {
        "state": status.state,
        "policy": status.policy,
        "segmenter": status.segmenter,
        "device": status.device,
        "understands": status.understands,
        "failure": status.failure,
        "reason": status.reason,
        "offered": status.offered,
        "person": _visitor(person, sign_in) if person else None,
    }


def _visitor(person: Person, sign_in: SignInMethod) -> Visitor:
    return {"name": person.name, "role": person.role, "may": sorted(MAY[person.role]), "sign_in": sign_in}


def canvas_value(
    key: str,
    picture: Path,
    title: str,
    image_wh: ImageSize,
    *,
    objects: Sequence[ObjectPrompt] = (),
    masks: Sequence[ObjectMask] = (),
    truth: Mask | None = None,
) -> CanvasValue:
    """The value of the canvas view: a picture with its prompts and masks, in original pixels.

    Args:
        key: identifies the canvas session of the picture; see `CanvasSessions`.
        picture: the file to show; it may be smaller than the original.
        title: alternative text for screen readers.
        image_wh: the original picture's size, the frame of ``objects`` and ``masks``.
        objects: the mask prompts.
        masks: one per object, or empty; they are sent at the size of the canvas.
        truth: the ground-truth mask of the picture, if there is one; it is sent at its own size.
    """
    live = live_size(image_wh)
    shown = [resize_nearest(found.mask, live) for found in masks]
    rles = [encode_rle(mask) if mask.any() else None for mask in shown]
    rles += [None] * (len(objects) - len(rles))
    return {
        "key": key,
        "picture": file_value(picture, picture.name),
        "title": title,
        "image_size": list(image_wh),
        "live_size": list(live),
        "palette": list(OBJECT_COLOURS),
        "casing": CASING,
        "objects": [{**prompt_value(prompt), "mask": rle} for prompt, rle in zip(objects, rles, strict=True)],
        "truth": None if truth is None else encode_rle(truth),
    }


def revision_value(revision: Revision) -> list[SavedObject]:
    """The objects of a revision, for continuing on a canvas, each with the segmenter's "mask"."""
    return [
        {
            **prompt_value(made.prompt),
            "name": made.prompt.name or "",
            "strokes": [],
            "start": optional_rle(made.refined_from),
            "painted": optional_rle(made.painted),
            "erased": optional_rle(made.erased),
            "mask": encode_rle(made.segmented) if made.segmented.any() else None,
        }
        for made in revision.correction.objects
    ]


def change_value(change: PromptChange) -> ChangeValue:
    """The difference between two sets of prompts as JSON values."""
    return {
        "added": [_point(point) for point in change.added],
        "removed": [_point(point) for point in change.removed],
        "flipped": [_point(point) for point in change.flipped],
        "moved": [(_point(old), _point(new)) for old, new in change.moved],
        "box_shifts": [(_box(old), _box(new)) for old, new in change.box_shifts],
        "boxes_added": [_box(box) for box in change.boxes_added],
        "boxes_removed": [_box(box) for box in change.boxes_removed],
        "objects_added": change.objects_added,
        "objects_removed": change.objects_removed,
    }


def _point(point: Point) -> PointValue:
    return {"x": point.x, "y": point.y, "label": point.label}


def _box(box: Box) -> BoxValue:
    return {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2}


def addressed(canvas: CanvasValue) -> CanvasValue:
    """A `canvas_value` sent outside gradio's queue, where gradio does not add the picture's URL."""
    canvas["picture"]["url"] = cached_file_url(Path(canvas["picture"]["path"]))
    return canvas


def cached_file_url(file: Path) -> str:
    """The URL of a file in gradio's cache, relative to the page."""
    return f"gradio_api/file={file.as_posix()}"


def answer_value(phase: RunPhase, text: str = "", *, failure: str = "") -> RunAnswer:
    """The value of the answer view before there is a prediction: the text so far, or the error."""
    return {
        "phase": phase,
        "text": text,
        "failure": failure,
        "problems": [],
        "objects": [],
        "seconds": {},
        "files": {},
        "abstains": False,
        "asked": [],
        "comparison": None,
    }


def comparison_value(
    key: str, session: CanvasSession, *, answers: int = 1, replaced: bool = False, picked: bool = False
) -> ComparedAnswers:
    """What the answer view shows of several answers that were compared.

    Args:
        key: of the session, by which one of its candidates is picked.
        session: the candidates, and the prediction that is shown.
        answers: how many were compared.
        replaced: whether the one that agrees best took the place of the first.
        picked: whether somebody picked the one that is shown.
    """
    shown = session.prediction and session.prediction.completion
    return {
        "key": key,
        "answers": answers,
        "replaced": replaced,
        "picked": picked,
        "candidates": [
            {"mask": encode_rle(each.mask), "mean_iou": round(each.mean_iou, 3), "shown": each.completion == shown}
            for each in session.candidates
        ],
    }


def prediction_value(
    prediction: Prediction, files: Mapping[str, Path], comparison: ComparedAnswers | None = None
) -> RunAnswer:
    """The value of the answer view for a finished run.

    Args:
        prediction: the result.
        files: the downloads: "mask", "overlay" and "record".
        comparison: what else was answered, if several answers were compared.
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
        "abstains": prediction.abstains,
        "asked": [{"role": role, "text": text} for role, text in prediction.asked],
        "comparison": comparison,
    }


def file_value(path: Path, name: str) -> StoredFile:
    """A file in a view's value; gradio recognises it, adds its ``url`` and serves it."""
    return {"path": str(path), "url": None, "orig_name": name, "meta": {"_type": "gradio.FileData"}}
