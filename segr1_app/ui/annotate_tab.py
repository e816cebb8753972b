"""The Annotate tab: tasks on a canvas, one key to decide them, and pictures coming in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from segr1_app.codec import PRESETS
from segr1_app.domain import SegR1Error
from segr1_app.roles import Act
from segr1_app.ui.canvas_calls import canvas_decode
from segr1_app.ui.corrections import CanvasHandlers
from segr1_app.ui.endpoints import Gate
from segr1_app.ui.jobs import JobHandlers
from segr1_app.ui.views import view

EXPORTS = [
    ("COCO, run lengths", "coco"),
    ("COCO, polygons", "coco-polygons"),
    ("YOLO segmentation", "yolo"),
    ("Pascal VOC", "voc"),
    ("Mask PNGs", "masks"),
    ("Hugging Face data set", "hf"),
    ("JSONL of everything", "jsonl"),
    ("Traces for training", "sft"),
]
MOST_TOLD = 20
"""Most pictures that could not be taken and are told one by one."""


def build_annotate_tab(jobs: JobHandlers, canvas: CanvasHandlers, gate: Gate) -> list[gr.Accordion]:
    """Lay out the tab in the current ``gr.Blocks`` and wire its events; returns what only an admin needs to see."""
    page_calls: list[Callable[..., Any]] = [
        jobs.next_task,
        jobs.open_task,
        jobs.set_instruction,
        jobs.add_task,
        jobs.save_decision,
        jobs.put_draft,
        jobs.drop_draft,
    ]
    # Where people sign in, what they see is decided when it is known who they are.
    seen = gate.access.sign_in == "none" and gate.access.possible(Act.ADMINISTER)
    view(
        "annotate",
        None,
        elem_id="annotate",
        functions=[
            canvas_decode(canvas, gate),
            *(gate.page(method, Act.ANNOTATE) for method in page_calls),
        ],
    )
    with gr.Accordion("Import pictures", open=False, elem_id="import", visible=seen) as importing:
        with gr.Row():
            files = gr.File(
                label="Pictures or ZIP archives of pictures",
                file_count="multiple",
                type="filepath",
                height=140,
                elem_id="import-files",
            )
            with gr.Column():
                instruction = gr.Textbox(
                    PRESETS[0].text, label="Instruction for these pictures", lines=2, elem_id="import-instruction"
                )
                start = gr.Button("Import", variant="primary", elem_id="import-button")
        outcome = gr.Textbox(label="Result", interactive=False, lines=2, max_lines=8, elem_id="import-result")

    with gr.Accordion("Export annotations", open=False, elem_id="export", visible=seen) as exporting, gr.Row():
        with gr.Column():
            form = gr.Dropdown(EXPORTS, value="coco", label="Format", elem_id="export-format")
            make = gr.Button("Export", variant="primary", elem_id="export-button")
        with gr.Column():
            archive = gr.File(label="Archive", interactive=False, height=90, elem_id="export-file")
            notes = gr.Textbox(label="What to know of it", interactive=False, lines=2, max_lines=8)

    def add_pictures(
        files: list[str] | None, instruction: str, request: gr.Request, profile: gr.OAuthProfile | None
    ) -> str:
        """Make a task of each picture; returns what was taken, and a line for each file that was not."""
        try:
            gate.admit(Act.ADMINISTER, request, profile)
            done = jobs.add_pictures(files or [], instruction)
        except SegR1Error as error:
            return str(error)
        added, problems = done["added"], done["problems"]
        lines = [f"{added} {'picture' if added == 1 else 'pictures'} taken.", *problems[:MOST_TOLD]]
        if len(problems) > MOST_TOLD:
            lines.append(f"And {len(problems) - MOST_TOLD} more that could not be taken.")
        return "\n".join(lines)

    def export(form: str, request: gr.Request, profile: gr.OAuthProfile | None) -> tuple[str, str]:
        """Write the annotations that count in another tool's format; returns a ZIP archive and what it cannot hold."""
        try:
            gate.admit(Act.ADMINISTER, request, profile)
            made, told = jobs.export(form)
        except SegR1Error as error:
            raise gr.Error(str(error), print_exception=False) from error
        return str(made), "\n".join(told)

    make.click(export, form, [archive, notes], api_name="export")
    start.click(add_pictures, [files, instruction], outcome, api_name="add_pictures")
    for method in page_calls:
        gate.publish(method, Act.ANNOTATE)
    gate.publish(jobs.progress, Act.LOOK)
    return [importing, exporting]
