"""Event handlers of the Run tab; each yields or returns new values of the views."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import gradio as gr
from cachetools import LRUCache

from segr1_app.domain import Effort, PictureError, Prediction, SegR1Error
from segr1_app.images.pictures import Picture, header_size, load_picture
from segr1_app.language.codec import check_instruction
from segr1_app.models.host import ModelHost
from segr1_app.store.connection import translate_errors
from segr1_app.studio.cache_folder import keep_upload
from segr1_app.studio.callers import charge
from segr1_app.studio.contracts import CanvasValue, PredictionRecord, RunAnswer
from segr1_app.studio.output_folders import new_downloads
from segr1_app.studio.previews import preview_of
from segr1_app.studio.sessions import CanvasSession, CanvasSessions
from segr1_app.ui.gate.endpoints import one_of
from segr1_app.ui.views import answer_value, canvas_value, comparison_value, prediction_value

if TYPE_CHECKING:
    from segr1_app.models.effort import Consensus
    from segr1_app.models.pipeline import Pipeline

STREAM_SECONDS = 0.05
"""Shortest time in seconds between two updates of the growing text: an event per token would slow down generation."""

LEFT_SECONDS = 0.2
"""Seconds between checks of whether the user has left, while a run waits for the models."""

CANDIDATES = 6
"""Most answers that are offered to pick from."""

PIXELS_PER_CALL = 1_000_000
"""Pixels of an upload that are charged as much as a call: decoding them takes a hundredth of a second or two."""

VISITORS = 4096
"""Number of page sessions whose last run is remembered."""

Upload: TypeAlias = dict[str, Any]
"""An uploaded file as gradio's ``FileData`` in JSON; its "path" is in the cache."""

Update: TypeAlias = tuple[Any, Any]
"""New values of stage and answer."""

Buttons: TypeAlias = tuple[Any, Any]
"""New values of the Run and Stop buttons, of which one is enabled at a time."""


@dataclass(slots=True, eq=False)
class Run:
    """A run on the page.

    Attributes:
        path: of its picture.
        left: whether its user has since switched to another picture.
        stopped: whether its user has pressed Stop.
        shown: its picture and answer, once this is complete.
    """

    path: object
    left: bool = False
    stopped: bool = False
    shown: CanvasSession | None = None

    @property
    def over(self) -> bool:
        """Whether its user waits for nothing more."""
        return self.left or self.stopped


class RunHandlers:
    """Handles the events of the Run tab.

    Domain errors are shown in the answer view as one sentence; that is done only here.

    Args:
        models: runs the predictions.
        cache: an existing folder for previews and downloads, from which gradio serves files.
        sessions: receive every picture that is shown on the canvas.
    """

    def __init__(self, models: ModelHost, cache: Path, sessions: CanvasSessions) -> None:
        self._models = models
        self._sessions = sessions
        self._cache = cache.resolve()
        self._runs: LRUCache[str, Run] = LRUCache(VISITORS)
        self._lock = threading.Lock()

    def show(self, picture: Upload | None, session: str | None) -> Update:
        """Show a picture without marks and clear the previous answer, whose run ends by itself.

        A fast user may press Run before the new picture is shown: that run shows the picture too, and is not stopped.
        """
        if self._runs_on(picture, session):
            return gr.skip(), gr.skip()
        if picture is None:
            return None, answer_value("idle")
        try:
            return self._bare(self.load(picture)), answer_value("idle")
        except SegR1Error as error:
            return None, answer_value("failed", failure=str(error))

    def _runs_on(self, picture: Upload | None, session: str | None) -> bool:
        """Whether the last run of a session was started on this picture; if not, it is marked as abandoned."""
        if session is None:
            return False
        with self._lock:
            run = self._runs.get(session)
            if run is None:
                return False
            if picture is not None and _path_of(picture) == run.path:
                return True
            run.left = True
            del self._runs[session]
            return False

    def last_run(self, session: str | None) -> Run | None:
        """The run that a session has started last, unless its user has turned to another picture."""
        with self._lock:
            return self._runs.get(session) if session is not None else None

    def stop(self, session: str | None) -> None:
        """Note that a session's run was stopped: nobody else is asked after it."""
        run = self.last_run(session)
        if run is not None:
            run.stopped = True

    def stopping(self, answer: object) -> tuple[RunAnswer, Any]:
        """The run is being stopped; its picture stays, and Run stays disabled until `ended`.

        An answer that was complete, and only being compared with others, stays, too.
        """
        if isinstance(answer, dict) and answer.get("phase") in {"comparing", "done"}:
            return cast(RunAnswer, {**answer, "phase": "done"}), gr.update(interactive=False)
        return answer_value("stopped"), gr.update(interactive=False)

    def ended(self) -> Buttons:
        """The run has ended for whatever reason: the next one can begin."""
        return gr.update(interactive=True), gr.update(interactive=False)

    def run(
        self, picture: Upload | None, instruction: str, session: str | None, effort: str = Effort.QUICK.value
    ) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Segment what the instruction asks for; streams the values of stage, answer and buttons."""
        run = Run(_path_of(picture))
        try:
            check_asked(instruction)
            work = _effort(effort)
            if picture is None:
                raise PictureError("There is no picture yet: upload or paste one, or click a sample.")
            if session is not None:
                with self._lock:
                    self._runs[session] = run
            loaded = self.load(picture)
            stop_only = gr.update(interactive=False), gr.update(interactive=True)
            yield self._bare(loaded), answer_value("looking"), *stop_only
            for update in self._answers(loaded, instruction, run, work):
                if run.left:
                    break
                yield *update, gr.skip(), gr.skip()
        except SegR1Error as error:
            if not run.left:
                yield gr.skip(), answer_value("failed", failure=str(error)), gr.skip(), gr.skip()
        if run.left:
            # gradio repeats the last values at the end of a run, which must not overwrite a picture that was opened
            # since.
            yield gr.skip(), gr.skip(), gr.skip(), gr.skip()

    def _answers(self, picture: Picture, instruction: str, run: Run, effort: Effort) -> Iterator[Update]:
        if not self._models.wait(seconds=0):
            yield gr.skip(), answer_value("loading")
            self._models.start()
            while not self._models.wait(LEFT_SECONDS):
                if run.left:
                    return
        pipeline = self._models.pipeline()
        pipeline.check_understood(instruction)
        if self._models.turn.locked():
            yield gr.skip(), answer_value("waiting")
        with self.turn(run) as is_ours:
            if not is_ours:
                return
            yield gr.skip(), answer_value("looking")
            text, shown_at, found = "", 0.0, None
            for event in pipeline.stream(picture, instruction):
                if isinstance(event, Prediction):
                    found = event
                    continue
                text += event.text
                if time.monotonic() - shown_at >= STREAM_SECONDS:
                    # A server may be silent for long, and the user may stop it even so.
                    yield gr.skip(), answer_value("writing", text) if text else gr.skip()
                    shown_at = time.monotonic()
            if found is None:
                return
            # Shown at once: comparing takes a moment, and writing the downloads of a large picture several times as
            # long as finding its masks.
            shown = self._sessions.begin(CanvasSession(picture, found))
            phase = "done" if effort is Effort.QUICK else "comparing"
            yield self._stage(shown), {**prediction_value(found, {}), "phase": phase}
            consensus = None if effort is Effort.QUICK else (yield from _consensus(pipeline, picture, found, effort))
        if consensus is None:
            yield gr.skip(), prediction_value(found, self._save(picture, found))
        elif not run.left:
            yield from self._compared(picture, consensus, found, shown)
        run.shown = CanvasSession(picture, consensus.prediction if consensus else found)

    def _compared(self, picture: Picture, consensus: Consensus, first: Prediction, shown: str) -> Iterator[Update]:
        """The answer that agrees best, in place of the first one, which is ``shown`` by this session."""
        chosen = consensus.prediction
        session = CanvasSession(picture, chosen, candidates=consensus.distinct(CANDIDATES))
        key = self._sessions.begin(session)
        replaced = chosen.completion != first.completion
        comparison = comparison_value(key, session, answers=consensus.answers, replaced=replaced)
        stage = {**self._stage(key), "instead_of": shown} if replaced else gr.skip()
        yield stage, prediction_value(chosen, {}, comparison)
        yield gr.skip(), prediction_value(chosen, self._save(picture, chosen), comparison)

    def pick(self, key: object, index: object) -> Iterator[Update]:
        """Put another of the answers that were compared on the canvas.

        Args:
            key: of the comparison, as the answer view has it.
            index: the answer's place among the candidates.
        """
        try:
            session = self._sessions.get(key)
            if type(index) is not int or not 0 <= index < len(session.candidates):
                raise PictureError(f"A candidate is picked by its place, from 0 to {len(session.candidates) - 1}.")
            yield from self._picked(session, session.candidates[index].completion)
        except SegR1Error as error:
            yield gr.skip(), answer_value("failed", failure=str(error))

    def _picked(self, session: CanvasSession, completion: str) -> Iterator[Update]:
        from segr1_app.models.effort import predict_candidate  # noqa: PLC0415 - brings torch along

        assert session.prediction is not None, "candidates are of a prediction"
        picture = session.picture
        picked = predict_candidate(self._models.pipeline(), picture, session.prediction, completion)
        session = replace(session, prediction=picked)
        key = self._sessions.begin(session)
        comparison = comparison_value(key, session, picked=True)
        yield self._stage(key), prediction_value(picked, {}, comparison)
        yield gr.skip(), prediction_value(picked, self._save(picture, picked), comparison)

    @contextmanager
    def turn(self, run: Run) -> Iterator[bool]:
        """Wait for exclusive use of the models; yields False if the run was abandoned before its turn."""
        while not self._models.turn.acquire(timeout=LEFT_SECONDS):
            if run.over:
                yield False
                return
        try:
            yield True
        finally:
            self._models.turn.release()

    def predict(self, picture: Upload, instruction: str, effort: str = Effort.QUICK.value) -> PredictionRecord:
        """The record of a prediction, as JSON values.

        Raises:
            SegR1Error: when it cannot be made.
        """
        from segr1_app.models.effort import find_consensus  # noqa: PLC0415 - brings torch along
        from segr1_app.studio.results import prediction_record  # noqa: PLC0415

        check_asked(instruction)
        work = _effort(effort)
        loaded = self.load(picture)
        pipeline = self._models.pipeline()
        pipeline.check_understood(instruction)
        with self._models.turn:
            first = pipeline.run(loaded, instruction)
            return prediction_record(find_consensus(pipeline, loaded, first, work).prediction)

    def uploaded_copy(self, file: Path) -> str:
        """A copy of ``file`` among the uploads.

        Raises:
            StoreError: when the disk is full or read-only.
        """
        with translate_errors():
            return str(shutil.copy(file, self._cache / file.name))

    def uploaded(self, named: object) -> Path:
        """The path of an upload, as a client names it; it must not name other files on this machine.

        Raises:
            PictureError: when it does.
        """
        path = Path(named).resolve() if isinstance(named, str) and "\0" not in named else None
        if path is None or not path.is_relative_to(self._cache):
            raise PictureError("The picture is not an upload: with gradio_client, send it by handle_file().")
        keep_upload(path)
        return path

    def load(self, upload: Upload) -> Picture:
        """The picture of an upload.

        Raises:
            PictureError: when it is not an upload, or cannot be read.
        """
        path = self.uploaded(_path_of(upload))
        size = header_size(path, f"'{path.name}'")
        charge.get()(size.width * size.height / PIXELS_PER_CALL)
        return load_picture(path)

    def _bare(self, picture: Picture) -> CanvasValue:
        """The value of the canvas for a picture without marks."""
        return self._stage(self._sessions.begin(CanvasSession(picture)))

    def _stage(self, key: str) -> CanvasValue:
        """The value of the canvas for a session."""
        session = self._sessions.get(key)
        return self.canvas(key, session.picture, session.prediction)

    def canvas(self, key: str, picture: Picture, prediction: Prediction | None = None) -> CanvasValue:
        """The value of a canvas; without a key, of one that nobody edits."""
        preview = preview_of(picture, self._cache)
        title = f"Picture of {picture.size.width} by {picture.size.height} pixels"
        if prediction is None:
            return canvas_value(key, preview, title, picture.size)
        return canvas_value(key, preview, title, picture.size, objects=prediction.objects, masks=prediction.masks)

    def _save(self, picture: Picture, prediction: Prediction) -> dict[str, Path]:
        from segr1_app.studio.results import save_prediction  # noqa: PLC0415

        with new_downloads(self._cache, "run-") as folder:
            return save_prediction(folder, picture, prediction)


def _path_of(upload: object) -> object:
    """The path that an upload names, whatever a client sent as one."""
    return upload.get("path") if isinstance(upload, dict) else None


def check_asked(instruction: object) -> None:
    """Raise a `SegR1Error` if an instruction is not a string, empty or too long."""
    if not isinstance(instruction, str):
        raise PictureError("The instruction is not a text: describe what should be found.")
    check_instruction(instruction)


def _consensus(
    pipeline: Pipeline, picture: Picture, first: Prediction, effort: Effort
) -> Generator[Update, None, Consensus]:
    """`find_consensus`; updates without a change come meanwhile, after each of which the run can be stopped."""
    from segr1_app.models.effort import find_consensus  # noqa: PLC0415 - brings torch along

    stopped = threading.Event()
    with ThreadPoolExecutor(1, "compare") as pool:
        comparing = pool.submit(find_consensus, pipeline, picture, first, effort, stopped=stopped)
        try:
            while not wait([comparing], LEFT_SECONDS).done:
                yield gr.skip(), gr.skip()
            return comparing.result()
        finally:
            stopped.set()


def _effort(text: object) -> Effort:
    return one_of(Effort, text if isinstance(text, str) else "", "The effort is")
