"""Calls from a canvas to the server that bypass gradio's queue, with the caller's permissions checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from segr1_app.domain import NotAllowedError
from segr1_app.settings.roles import Act
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.studio.contracts import DecodedCanvas, Failure, SavedRun
from segr1_app.ui.gate.arguments import MAX_NUMBER
from segr1_app.ui.gate.endpoints import Gate

CanvasQuestion = dict[str, Any]


def canvas_decode(canvas: CanvasHandlers, gate: Gate) -> Callable[..., DecodedCanvas]:
    """`CanvasHandlers.decode` for everybody who may view."""

    def decode(question: CanvasQuestion, request: gr.Request, profile: gr.OAuthProfile | None) -> DecodedCanvas:
        try:
            gate.admit(Act.LOOK, request, profile)
        except NotAllowedError as error:
            return {"rev": _numbered(question)["rev"], "failure": str(error)}
        return canvas.decode(_numbered(question))

    return decode


def canvas_save(canvas: CanvasHandlers, gate: Gate) -> Callable[..., SavedRun | Failure]:
    """`CanvasHandlers.save`: files for everybody who may view, an annotation from those who may annotate."""

    def save(question: CanvasQuestion, request: gr.Request, profile: gr.OAuthProfile | None) -> SavedRun | Failure:
        try:
            person = gate.admit(Act.LOOK, request, profile)
        except NotAllowedError as error:
            return {"failure": str(error)}
        return canvas.save(
            question, keep=person.may(Act.ANNOTATE), name=gate.name_of(person, question.get("annotator"))
        )

    return save


def _numbered(question: CanvasQuestion) -> CanvasQuestion:
    """A request and its number, which is returned with the response: an integer that a browser can represent, or
    None.
    """
    rev = question.get("rev")
    return {**question, "rev": rev if isinstance(rev, int) and abs(rev) <= MAX_NUMBER else None}
