"""The Annotate tab: tasks on a canvas, one key to decide them, and imports and exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from segr1_app.settings.roles import Act
from segr1_app.store.exchange.formats import FORMATS, TITLES
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.ui.gate.canvas_calls import canvas_decode
from segr1_app.ui.gate.endpoints import Gate, refusing
from segr1_app.ui.handlers.annotate import JobHandlers
from segr1_app.ui.handlers.imports import ImportHandlers
from segr1_app.ui.tabs.import_panel import build_import_panel
from segr1_app.ui.views import view

EXPORTS = [(TITLES[form], form) for form in FORMATS]


def build_annotate_tab(
    jobs: JobHandlers, canvas: CanvasHandlers, imports: ImportHandlers, gate: Gate
) -> list[gr.Accordion]:
    """Build the tab in the current ``gr.Blocks`` and wire its events; returns what only an admin needs to see."""
    page_calls: list[Callable[..., Any]] = [
        jobs.next_task,
        jobs.upcoming,
        jobs.open_task,
        jobs.set_instruction,
        jobs.add_task,
        jobs.save_decision,
        jobs.put_draft,
        jobs.drop_draft,
    ]
    # Where people sign in, what they see is decided once they are identified.
    seen = gate.access.sign_in == "none" and gate.access.possible(Act.ADMINISTER)
    view(
        "annotate/annotate",
        None,
        elem_id="annotate",
        functions=[
            canvas_decode(canvas, gate),
            *(gate.page(method, Act.ANNOTATE) for method in page_calls),
        ],
    )
    importing = build_import_panel(imports, gate, visible=seen)
    with gr.Accordion("Export annotations", open=False, elem_id="export", visible=seen) as exporting, gr.Row():
        with gr.Column():
            form = gr.Dropdown(EXPORTS, value="coco", label="Format", elem_id="export-format")
            make = gr.Button("Export", variant="primary", elem_id="export-button")
        with gr.Column():
            archive = gr.File(label="Archive", interactive=False, height=90, elem_id="export-file")
            notes = gr.Textbox(label="Notes", interactive=False, lines=2, max_lines=8)

    def export(form: str, request: gr.Request, profile: gr.OAuthProfile | None) -> tuple[str, str]:
        """Export the current annotations in another tool's format; returns a ZIP archive and what it cannot hold."""
        with refusing():
            person = gate.admit(Act.ADMINISTER, request, profile)
            gate.note("export", request, person, str(form))
            made, told = jobs.export(form)
        return str(made), "\n".join(told)

    make.click(export, form, [archive, notes], api_name="export")
    for method in page_calls:
        gate.publish(method, Act.ANNOTATE)
    gate.publish(jobs.progress, Act.LOOK)
    return [importing, exporting]
