"""The Annotate tab: tasks on a canvas, one key to decide them, and imports and exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from segr1_app.settings.roles import Act
from segr1_app.store.exchange.formats import FORMATS, TITLES
from segr1_app.store.exchange.options import ExportedPictures, Rights, Selection, parse_names
from segr1_app.store.values import Verdict
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.ui.gate.canvas_calls import canvas_decode
from segr1_app.ui.gate.endpoints import Gate, checked, one_of, refusing
from segr1_app.ui.handlers.annotate import JobHandlers
from segr1_app.ui.handlers.classes import ClassHandlers
from segr1_app.ui.handlers.exports import ExportHandlers
from segr1_app.ui.handlers.imports import ImportHandlers
from segr1_app.ui.tabs.import_panel import build_import_panel
from segr1_app.ui.views import view

PICTURES = [("default of the format", ""), *((kind.value, kind.value) for kind in ExportedPictures)]
VERDICTS = [("accept and fix", ""), ("accept", "accept"), ("fix", "fix")]
EXPORTS = [(TITLES[form], form) for form in FORMATS]


def _build_filters() -> list[gr.Component]:
    """What an export leaves out, and what it says of its rights, in the order of its arguments."""
    with gr.Accordion("Filters and rights", open=False, elem_id="export-filters"):
        with gr.Row():
            annotators = gr.Textbox("", label="Annotators", placeholder="Ada, Grace", elem_id="export-annotators")
            verdict = gr.Dropdown(VERDICTS, value="", label="Verdict", elem_id="export-verdict")
            classes = gr.Textbox("", label="Classes", placeholder="cat, dog", elem_id="export-classes")
        with gr.Row():
            since = gr.Textbox("", label="Decided since", placeholder="2026-11-30", elem_id="export-since")
            until = gr.Textbox("", label="Decided until", placeholder="2026-12-31", elem_id="export-until")
            least = gr.Number(
                0, label="IoU with the policy's mask from", minimum=0, maximum=1, step=0.1, elem_id="export-min-iou"
            )
            most = gr.Number(1, label="to", minimum=0, maximum=1, step=0.1, elem_id="export-max-iou")
        with gr.Row():
            licence = gr.Textbox("", label="Licence", placeholder="CC BY 4.0", elem_id="export-licence")
            contributor = gr.Textbox("", label="Contributor", elem_id="export-contributor")
            seed = gr.Number(0, label="Seed of the splits", precision=0, elem_id="export-seed")
    return [annotators, verdict, classes, since, until, least, most, licence, contributor, seed]


# Longer than 60 lines: it lists everything on the tab in order.
def build_annotate_tab(
    jobs: JobHandlers,
    canvas: CanvasHandlers,
    imports: ImportHandlers,
    exports: ExportHandlers,
    gate: Gate,
    *,
    classes: ClassHandlers,
) -> list[gr.Accordion]:
    """Build the tab in the current ``gr.Blocks`` and wire its events; returns what only an admin needs to see."""
    page_calls: list[Callable[..., Any]] = [
        jobs.next_task,
        jobs.upcoming,
        jobs.open_task,
        jobs.open_neighbour,
        jobs.set_instruction,
        jobs.add_task,
        jobs.save_decision,
        jobs.put_draft,
        jobs.drop_draft,
    ]
    class_calls: list[Callable[..., Any]] = [classes.put_class, classes.remove_class]
    # Where people sign in, visibility is decided once they are identified.
    seen = gate.access.sign_in == "none" and gate.access.possible(Act.ADMINISTER)
    view(
        "annotate/annotate",
        {"finds": jobs.finds},
        elem_id="annotate",
        functions=[
            canvas_decode(canvas, gate),
            *(gate.page(method, Act.ANNOTATE) for method in page_calls),
            gate.page(classes.classes, Act.LOOK),
            *(gate.page(method, Act.ADMINISTER) for method in class_calls),
            gate.page(jobs.find_all, Act.LOOK),
        ],
    )
    importing = build_import_panel(imports, gate, visible=seen)
    with gr.Accordion("Export annotations", open=False, elem_id="export", visible=seen) as exporting, gr.Row():
        with gr.Column():
            form = gr.Dropdown(EXPORTS, value="coco", label="Format", elem_id="export-format")
            with gr.Row():
                split = gr.Textbox(
                    "", label="Splits", placeholder="train=.8,val=.1,test=.1", scale=2, elem_id="export-split"
                )
                pictures = gr.Dropdown(PICTURES, value="", label="Pictures", elem_id="export-pictures")
                simplify = gr.Number(0, label="Polygon tolerance in pixels", minimum=0, elem_id="export-simplify")
            filters = _build_filters()
            make = gr.Button("Export", variant="primary", elem_id="export-button")
            with gr.Row():
                vouching = gr.Textbox(label="Your name", elem_id="accept-name", scale=2)
                accept = gr.Button("Accept all imported masks", elem_id="accept-truths")
        with gr.Column():
            archive = gr.File(label="Archive", interactive=False, height=90, elem_id="export-file")
            notes = gr.Textbox(label="Notes", interactive=False, lines=2, max_lines=8)

    def export(  # noqa: PLR0917 - two of them are filled in by gradio
        request: gr.Request,
        profile: gr.OAuthProfile | None,
        form: str,
        split: str = "",
        pictures: str = "",
        simplify: float | None = 0,
        annotators: str = "",
        verdict: str = "",
        classes: str = "",
        since: str = "",
        until: str = "",
        min_iou: float | None = 0,
        max_iou: float | None = 1,
        licence: str = "",
        contributor: str = "",
        seed: int | None = 0,
    ) -> tuple[str, str]:
        """Export the current annotations in another tool's format.

        Args:
            form: the format.
            split: fractions of the pictures, such as train=.8,val=.1,test=.1; empty for no splits.
            pictures: original, png, jpeg or none; empty for the default of the format.
            simplify: tolerance of polygons in pixels.
            annotators: only what these people decided, separated by commas; empty for everybody.
            verdict: accept or fix; empty for both.
            classes: only objects of these classes, separated by commas, as in cat, "dog, black"; empty for all.
            since: only what was decided on this day (UTC) or later, such as 2026-11-30.
            until: only what was decided on this day (UTC) or earlier.
            min_iou: only where the IoU of the policy's mask with the final one is at least this; 0 for all.
            max_iou: only where that IoU is at most this; 1 for all.
            licence: of the export, for formats with a field for it.
            contributor: who made the annotations, for formats with a field for it.
            seed: another one draws other splits.

        Returns:
            A ZIP archive, and what the format cannot represent.
        """
        with refusing():
            person = gate.admit(Act.ADMINISTER, request, profile)
            gate.note("export", request, person, str(form))
            selection = Selection.parse(
                parse_names(annotators),
                parse_names(one_of(Verdict, verdict, "A verdict is") if verdict else ""),
                parse_names(classes),
                since.strip() or None,
                until.strip() or None,
                # From 0 to 1 means no filter: tasks without a mask of the policy are included.
                min_iou or None,
                None if max_iou == 1 else max_iou,
            )
            rights = Rights(licence.strip(), contributor=contributor.strip())
            made, losses = exports.export(
                form, split, pictures, simplify or 0, selection=selection, rights=rights, seed=seed or 0
            )
        return str(made), "\n".join(losses)

    def accept_truths(request: gr.Request, profile: gr.OAuthProfile | None, annotator: str) -> str:
        """Accept every open task that was imported with a ground-truth mask, with that mask.

        Args:
            annotator: who vouches for the masks; where people sign in, the name they signed in with is used.

        Returns:
            How many were accepted, and which were left open.
        """
        with refusing():
            person = gate.admit(Act.ADMINISTER, request, profile)
            gate.note("accept_truths", request, person, annotator)
            return "\n".join(exports.accept_truths(person.name or annotator))

    make.click(checked(export), [form, split, pictures, simplify, *filters], [archive, notes], api_name="export")
    accept.click(checked(accept_truths), vouching, notes, api_name="accept_truths")
    for method in page_calls:
        gate.publish(method, Act.ANNOTATE)
    gate.publish(jobs.progress, Act.LOOK)
    gate.publish(classes.classes, Act.LOOK)
    for method in class_calls:
        gate.publish(method, Act.ADMINISTER)
    gate.publish(jobs.find_all, Act.LOOK)
    return [importing, exporting]
