"""The Run tab: a picture and an instruction in; reasoning, prompts and masks out."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import gradio as gr
from gradio.events import api
from PIL import Image

from segr1_app.domain import Effort, NotAllowedError, PictureError
from segr1_app.images.pictures import FORMATS
from segr1_app.language.codec import PRESETS
from segr1_app.settings.roles import Act
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.studio.contracts import ComparedPolicies, PredictionRecord
from segr1_app.studio.samples import SamplePicture
from segr1_app.ui.gate.canvas_calls import canvas_decode, canvas_save
from segr1_app.ui.gate.endpoints import RUN_COST, Gate, refusing
from segr1_app.ui.handlers.run import RunHandlers, Upload
from segr1_app.ui.handlers.second import NOTHING, SecondPolicyHandlers
from segr1_app.ui.views import ViewValue, answer_value, view

THUMBNAIL_SIDE = 160
EFFORTS = [(effort.value.capitalize(), effort.value) for effort in Effort]
EFFORT_INFO = "Careful compares 13 answers and thorough 34; the one that agrees best with all is shown."
PARALLEL_RUNS = 8
"""Requests that may wait for the models and show that they are waiting; further ones wait in gradio's queue."""


@dataclass(frozen=True, slots=True)
class _Components:
    """The components of the tab that events refer to."""

    picture: gr.Image
    samples: gr.HTML
    instruction: gr.Textbox
    presets: tuple[gr.Button, ...]
    effort: gr.Radio
    run: gr.Button
    stop: gr.Button
    stage: gr.HTML
    answer: gr.HTML
    second: gr.HTML


def build_run_tab(
    handlers: RunHandlers,
    second: SecondPolicyHandlers,
    canvas: CanvasHandlers,
    samples: tuple[SamplePicture, ...],
    gate: Gate,
) -> None:
    """Build the tab in the current ``gr.Blocks`` and wire its events to ``handlers``, its canvas to ``canvas``."""
    parts = _build_components(
        [canvas_decode(canvas, gate), canvas_save(canvas, gate)], _publish_second(second, gate), samples
    )
    _wire_runs(parts, handlers, second, gate)
    _wire_candidates(parts, handlers, gate)
    _publish_predict(handlers, gate)
    _publish_compare(second, gate)
    _wire_pictures(parts, handlers, samples, gate)
    for button, preset in zip(parts.presets, PRESETS, strict=True):
        button.click(_always(preset.text), None, parts.instruction, api_visibility="private", show_progress="hidden")
    gate.publish(canvas.segment, Act.LOOK)
    gate.publish(canvas.save_run, Act.ANNOTATE)


def _build_components(
    calls: list[Callable[..., Any]], second_calls: list[Callable[..., Any]], samples: tuple[SamplePicture, ...]
) -> _Components:
    """The layout: input, canvas and answer side by side, and two policies' answers below.

    Args:
        calls: the canvas's server functions.
        second_calls: those of the second policy.
        samples: pictures to try.
    """
    with gr.Row(elem_id="workbench"):
        with gr.Column(elem_id="ask"):
            picture = gr.Image(
                type="filepath",
                label="Picture",
                sources=["upload", "clipboard", "webcam"],
                height=208,
                elem_id="picture",
                buttons=[],
            )
            strip = view("run/samples", [_sample_value(sample) for sample in samples], elem_id="samples")
            instruction = gr.Textbox(
                PRESETS[0].text,
                label="Instruction",
                placeholder="What should be found?",
                lines=3,
                max_lines=3,
                elem_id="instruction",
            )
            view("run/understands", None, elem_id="understands")
            with gr.Row(elem_id="presets"):
                presets = tuple(gr.Button(preset.name, size="sm", min_width=0) for preset in PRESETS)
            effort = gr.Radio(EFFORTS, value=Effort.QUICK.value, label="Effort", info=EFFORT_INFO, elem_id="effort")
            with gr.Row(elem_id="actions"):
                run = gr.Button("Run", variant="primary", elem_id="run-button", min_width=0)
                stop = gr.Button("Stop", interactive=False, elem_id="stop-button", min_width=0)
        with gr.Column(elem_id="look"):
            stage = view("canvas/canvas", None, elem_id="stage", functions=calls)
        with gr.Column(elem_id="answer-column"):
            answer = view("run/answer", answer_value("idle"), elem_id="answer")
    second = view("run/second", NOTHING, elem_id="second", functions=second_calls)
    return _Components(picture, strip, instruction, presets, effort, run, stop, stage, answer, second)


def _wire_runs(parts: _Components, handlers: RunHandlers, second: SecondPolicyHandlers, gate: Gate) -> None:
    """The Run and Stop buttons."""

    def run_it(
        picture: Upload | None,
        instruction: str,
        effort: str,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Segment what the instruction asks for; streams the values of the page's views.

        The views receive the reasoning as it is generated, then prompts, masks and their confidence, and three
        downloads.
        """
        try:
            gate.admit(Act.LOOK, request, profile, _cost(effort) + (RUN_COST if second.ready else 0))
        except NotAllowedError as error:
            yield gr.skip(), answer_value("failed", failure=str(error)), gr.skip(), gr.skip()
            return
        yield from handlers.run(picture, instruction, request.session_hash, effort)

    def ask_second(request: gr.Request, profile: gr.OAuthProfile | None) -> Iterator[Any]:
        """Let the second policy answer what the page's last run has asked; its cost was charged with the run's."""
        yield gr.skip()
        with refusing():
            gate.admit(Act.LOOK, request, profile, 0.0)
            yield from second.answers(handlers.last_run(request.session_hash))

    buttons = [parts.run, parts.stop]
    # preprocess=False: gradio would open the uploaded file itself, so that damaged and hostile files would give no
    # clear message, and some would be converted without applying their EXIF rotation. The handlers get the file's path.
    running = parts.run.click(
        run_it,
        [parts.picture, parts.instruction, parts.effort],
        [parts.stage, parts.answer, *buttons],
        api_name="run",
        preprocess=False,
        show_progress="hidden",
        concurrency_limit=PARALLEL_RUNS,
    )
    # The page ignores a click on Run until the server has ended the last run. `then` fires after that, whether the run
    # finished, failed or was cancelled.
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
    comparing = running.then(
        ask_second, None, parts.second, **(quiet | {"queue": True}), concurrency_limit=PARALLEL_RUNS
    )
    comparing.then(handlers.ended, None, buttons, **quiet)

    def stop(answer: object, request: gr.Request) -> tuple[Any, Any]:
        handlers.stop(request.session_hash)
        return handlers.stopping(answer)

    parts.stop.click(stop, parts.answer, [parts.answer, parts.stop], cancels=[running], **quiet)
    # What was compared before belongs to another run.
    gr.on([parts.run.click, parts.picture.change], lambda: NOTHING, None, parts.second, **quiet)


def _wire_candidates(parts: _Components, handlers: RunHandlers, gate: Gate) -> None:
    """The answers to pick from."""

    def pick(event: gr.EventData, request: gr.Request, profile: gr.OAuthProfile | None) -> Iterator[tuple[Any, Any]]:
        """Put another of the answers that were compared on the canvas."""
        try:
            gate.admit(Act.LOOK, request, profile)
        except NotAllowedError as error:
            yield gr.skip(), answer_value("failed", failure=str(error))
            return
        picked = _data_of(event)
        yield from handlers.pick(picked.get("key"), picked.get("index"))

    parts.answer.select(pick, None, [parts.stage, parts.answer], api_visibility="private", show_progress="hidden")


def _publish_predict(handlers: RunHandlers, gate: Gate) -> None:
    """The API's ``/predict``."""

    def predict(
        picture: gr.FileData,
        instruction: str,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
        effort: str = Effort.QUICK.value,
    ) -> PredictionRecord:
        """Segment what the instruction asks for.

        Args:
            picture: an uploaded image file; with gradio_client, ``handle_file("photo.jpg")``.
            instruction: what to find, in words.
            effort: "quick" for the greedy answer; "careful" or "thorough" for the one of several that agrees best.
            request, profile: the caller; gradio fills them in.

        Returns:
            The record of the prediction: completion, reasoning, prompts, masks as COCO RLE, confidences, times.
        """
        with refusing():
            gate.admit(Act.LOOK, request, profile, _cost(effort))
            # gradio documents the upload by its class and hands over its JSON.
            return handlers.predict(cast(Upload, picture), instruction, effort)

    api(predict, api_name="predict", concurrency_limit=PARALLEL_RUNS)


def _publish_second(second: SecondPolicyHandlers, gate: Gate) -> list[Callable[..., Any]]:
    """The endpoints that load and unload a second policy, as functions for the page."""
    acts: dict[Callable[..., Any], Act] = {
        second.second_policy: Act.LOOK,
        second.open_second_policy: Act.ADMINISTER,
        second.close_second_policy: Act.ADMINISTER,
    }
    for method, act in acts.items():
        gate.publish(method, act)
    return [gate.page(method, act) for method, act in acts.items()]


def _publish_compare(second: SecondPolicyHandlers, gate: Gate) -> None:
    """The API's ``/compare_policies``."""

    def compare_policies(
        picture: gr.FileData, instruction: str, request: gr.Request, profile: gr.OAuthProfile | None
    ) -> ComparedPolicies:
        """Ask both policies, and compare their masks; a second policy must be loaded.

        Args:
            picture: an uploaded image file; with gradio_client, ``handle_file("photo.jpg")``.
            instruction: what to find, in words.
            request, profile: the caller; gradio fills them in.

        Returns:
            {"first", "second": records like that of ``/predict``, "overlap": IoU and pixel counts of both masks,
            "first_scores", "second_scores": IoU and S-measure if the task's true mask is known, else None}.
        """
        with refusing():
            gate.admit(Act.LOOK, request, profile, 2 * RUN_COST)
            return second.compare(cast(Upload, picture), instruction)

    api(compare_policies, api_name="compare_policies", concurrency_limit=PARALLEL_RUNS)


def _wire_pictures(parts: _Components, handlers: RunHandlers, samples: tuple[SamplePicture, ...], gate: Gate) -> None:
    """The picture and the strip of samples."""

    def show(picture: gr.FileData | None, request: gr.Request, profile: gr.OAuthProfile | None) -> Any:
        """Show a picture without marks and clear the previous answer."""
        try:
            gate.admit(Act.LOOK, request, profile)
        except NotAllowedError as error:
            return None, answer_value("failed", failure=str(error))
        return handlers.show(cast(Upload | None, picture), request.session_hash)

    # Without `cancels`, because the browser would also cancel a run that was just started on this picture.
    parts.picture.change(
        show, parts.picture, [parts.stage, parts.answer], api_name="show", preprocess=False, show_progress="hidden"
    )

    def choose(event: gr.EventData) -> str:
        """The file of the sample that was clicked, or the upload that was dropped or pasted."""
        with refusing():
            data = _data_of(event)
            if "path" in data:
                return str(handlers.uploaded(data["path"]))
            index = data.get("index")
            if not isinstance(index, int) or not 0 <= index < len(samples):
                raise PictureError(f"Choose a sample by its number, from 0 to {len(samples) - 1}.")
            return handlers.uploaded_copy(samples[index].path)

    parts.samples.select(choose, None, parts.picture, api_visibility="private", show_progress="hidden")


def _cost(effort: object) -> float:
    """The cost of a run for its caller, by its seconds."""
    return RUN_COST * {Effort.CAREFUL.value: 2, Effort.THOROUGH.value: 5}.get(str(effort), 1)


def _data_of(event: gr.EventData) -> dict[str, object]:
    """What the page sends along with an event; that may be missing, or anything at all."""
    data: object = vars(event).get("_data")
    return data if isinstance(data, dict) else {}


def _always(text: str) -> Callable[[], str]:
    return lambda: text


def _sample_value(sample: SamplePicture) -> ViewValue:
    """Title and thumbnail of a sample; the thumbnail is embedded in the page."""
    with Image.open(sample.path, formats=FORMATS) as image:
        image.draft("RGB", (2 * THUMBNAIL_SIDE, 2 * THUMBNAIL_SIDE))
        thumbnail = image.convert("RGB")
    thumbnail.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    thumbnail.save(buffer, "JPEG", quality=82)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"title": sample.title, "thumbnail": f"data:image/jpeg;base64,{encoded}"}
