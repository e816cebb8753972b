"""The part of the Annotate tab that imports pictures, masks and other tools' annotations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import gradio as gr

from segr1_app.domain import SegR1Error
from segr1_app.images.frames import Reading
from segr1_app.language.codec import PRESETS
from segr1_app.settings.roles import Act
from segr1_app.store.exchange.hub import DEFAULT_ROWS
from segr1_app.store.exchange.import_options import ImportOptions, Watch, parse_columns
from segr1_app.studio.contracts import Imported
from segr1_app.ui.gate.endpoints import Gate, checked, one_of
from segr1_app.ui.handlers.imports import ImportHandlers

ANNOUNCE = "() => void document.dispatchEvent(new Event('segr1:imported'))"
"""Tells the Annotate tab that there may be new tasks."""
ORIENTATIONS = [("not known", ""), ("as they are stored", "raw"), ("as they are seen", "upright")]
MOST_TOLD = 20
"""Largest number of failed records that are listed individually."""
HELP = """\
**Pictures**: files, or ZIP archives of them. An archive may include ground-truth masks in a folder `masks` next to the
pictures or to their folder `images`, under the same names. Archives from *Export* can be imported again, and so can
annotations of COCO, YOLO, Pascal VOC, CVAT, Label Studio, labelme, Datumaro, RefCOCO, ReasonSeg and other tools that
are in one archive with their pictures.

**Ground-truth masks**, if you have any: one file per picture with the picture's name (`nest.png` for `nest.jpg`), or an
archive of them. White is the object; where there are several classes, choose one under *Options*. On the canvas,
answers are scored against these masks.

**A dataset** needs a column `image`; the columns `mask` and `instruction` are used if present.
"""


@dataclass(frozen=True, slots=True)
class _Components:
    """The components of the panel that events refer to."""

    panel: gr.Accordion
    files: gr.File
    masks: gr.File
    instruction: gr.Textbox
    start: gr.Button
    dataset: gr.Textbox
    rows: gr.Number
    fetch: gr.Button
    options: list[gr.Component]
    outcome: gr.Textbox


def _build_options() -> list[gr.Component]:
    """How annotations and masks are read, in the order of `_options`."""
    with gr.Accordion("Options", open=False, elem_id="import-options"), gr.Row():
        label = gr.Textbox(
            "",
            label="Class of mask files",
            placeholder="3, #ff0000, cat, or all",
            info="Which of several classes or instances is the object.",
            elem_id="import-class",
        )
        columns = gr.Textbox(
            "",
            label="Columns of a table",
            placeholder="mask=label,instruction=text",
            info="Where they are called something else than image, mask, instruction and name.",
            elem_id="import-columns",
        )
        orientation = gr.Dropdown(
            ORIENTATIONS,
            value="",
            label="Pictures that are to be turned",
            info="How they were annotated, where their sizes cannot tell.",
            elem_id="import-orientation",
        )
        with gr.Column():
            partial = gr.Checkbox(
                label="Keep masks of which a part cannot be read", elem_id="import-keep-partial", container=False
            )
            alone = gr.Checkbox(
                label="Pictures only, without annotations", elem_id="import-pictures-only", container=False
            )
    return [label, columns, orientation, partial, alone]


def _options(label: str, columns: str, orientation: str, keep_partial: bool, pictures_only: bool) -> ImportOptions:
    return ImportOptions(
        keep_partial=keep_partial,
        pictures_only=pictures_only,
        label=label.strip() or None,
        reading=one_of(Reading, orientation, "An orientation is") if orientation else None,
        columns=parse_columns(columns),
    )


def _build_components(*, visible: bool) -> _Components:
    with gr.Accordion("Import pictures", open=False, elem_id="import", visible=visible) as panel:
        gr.Markdown(HELP)
        with gr.Row():
            files = gr.File(
                label="Pictures or ZIP archives",
                file_count="multiple",
                type="filepath",
                height=140,
                elem_id="import-files",
            )
            masks = gr.File(
                label="Ground-truth masks, if any",
                file_count="multiple",
                type="filepath",
                height=140,
                elem_id="import-masks",
            )
            with gr.Column():
                instruction = gr.Textbox(
                    PRESETS[0].text, label="Instruction for these pictures", lines=2, elem_id="import-instruction"
                )
                start = gr.Button("Import", variant="primary", elem_id="import-button")
        with gr.Row(elem_id="import-hub"):
            dataset = gr.Textbox(
                label="Or a dataset on the Hugging Face hub",
                placeholder="owner/name",
                scale=3,
                elem_id="import-dataset",
            )
            rows = gr.Number(DEFAULT_ROWS, label="Maximum rows", precision=0, minimum=1, elem_id="import-rows")
            fetch = gr.Button("Import dataset", elem_id="import-dataset-button")
        options = _build_options()
        outcome = gr.Textbox(label="Result", interactive=False, lines=2, max_lines=8, elem_id="import-result")
    return _Components(panel, files, masks, instruction, start, dataset, rows, fetch, options, outcome)


# Longer than 60 lines: most of them describe the arguments of two endpoints.
def build_import_panel(imports: ImportHandlers, gate: Gate, *, visible: bool) -> gr.Accordion:
    """Build the panel in the current ``gr.Blocks`` and wire its events."""
    parts = _build_components(visible=visible)
    admit = partial(_admit, gate)

    def add_pictures(  # noqa: PLR0917 - two of them are filled in by gradio
        request: gr.Request,
        profile: gr.OAuthProfile | None,
        files: list[str] | None,
        instruction: str,
        masks: list[str] | None = None,
        label: str = "",
        columns: str = "",
        orientation: str = "",
        keep_partial: bool = False,
        pictures_only: bool = False,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - gradio recognises the progress argument by this default
    ) -> str:
        """Create tasks from pictures, ZIP archives of pictures and masks, or other tools' annotations.

        Args:
            files: uploads; with gradio_client, handle_file("photo.jpg") each.
            instruction: what to segment in them.
            masks: uploaded ground-truth masks with the pictures' names, or ZIP archives of them.
            label: which class or instance of mask files is the object: an index, a colour, a name, or all.
            columns: which columns of a table are the image, mask, instruction and name, as in mask=label.
            orientation: whether pictures with an EXIF orientation were annotated raw, as they are stored, or upright.
            keep_partial: whether readable annotations make a ground-truth mask although others of the class are not.
            pictures_only: whether annotations are left alone, and every picture becomes a task.

        Returns:
            How many records were imported, and a line for each that was not and for each mask that replaced another
            one.
        """

        def work() -> Imported:
            admit(request, profile, f"{len(files or [])} files, {len(masks or [])} masks")
            options = _options(label, columns, orientation, keep_partial, pictures_only)
            report = _progress_reporter(progress)
            return imports.add_pictures(files or [], instruction, masks or [], options=options, on_progress=report)

        return _summary(work)

    def add_dataset(  # noqa: PLR0917 - as above
        request: gr.Request,
        profile: gr.OAuthProfile | None,
        dataset: str,
        instruction: str,
        rows: int | None = DEFAULT_ROWS,
        label: str = "",
        columns: str = "",
        orientation: str = "",
        keep_partial: bool = False,
        pictures_only: bool = False,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - as above
    ) -> str:
        """Create tasks from a dataset on the Hugging Face hub; none of its code is run.

        Args:
            dataset: its id, owner/name. Of its columns image, mask, instruction and name, only the first is needed.
            instruction: what to segment in rows that have no instruction.
            rows: the largest number of rows to import; others are not downloaded.
            label, columns, orientation, keep_partial, pictures_only: as of add_pictures.

        Returns:
            As for add_pictures.
        """

        def work() -> Imported:
            admit(request, profile, f"dataset {dataset}")
            options = _options(label, columns, orientation, keep_partial, pictures_only)
            report = _progress_reporter(progress)
            return imports.add_dataset(dataset, instruction, rows or 0, options=options, on_progress=report)

        return _summary(work)

    inputs = [parts.files, parts.instruction, parts.masks, *parts.options]
    parts.start.click(checked(add_pictures), inputs, parts.outcome, api_name="add_pictures").then(None, js=ANNOUNCE)
    inputs = [parts.dataset, parts.instruction, parts.rows, *parts.options]
    parts.fetch.click(checked(add_dataset), inputs, parts.outcome, api_name="add_dataset").then(None, js=ANNOUNCE)
    return parts.panel


def _admit(gate: Gate, request: gr.Request, profile: gr.OAuthProfile | None, what: str) -> None:
    """Check that the caller may import, and note in the audit log what they do."""
    gate.note("import", request, gate.admit(Act.ADMINISTER, request, profile), what)


def _progress_reporter(progress: gr.Progress) -> Watch:
    """Shows in the page how far an import is."""
    return lambda now: progress((now.done, now.total or None), desc="Importing", unit=now.unit)


def _summary(work: Callable[[], Imported]) -> str:
    """The result of an import as lines of text."""
    try:
        done = work()
    except SegR1Error as error:
        return str(error)
    added, problems = done["added"], done["problems"]
    entries = "entry" if added == 1 else "entries"
    lines = [f"{added} {entries} imported. {done['summary']}", *problems[:MOST_TOLD]]
    if len(problems) > MOST_TOLD:
        lines.append(f"And {len(problems) - MOST_TOLD} more.")
    return "\n".join(lines)
