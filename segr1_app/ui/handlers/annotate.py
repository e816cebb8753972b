"""Annotation: tasks are leased, decided and stored. Every method is also an API endpoint."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from segr1_app.domain import Box, LeaseLostError, PictureError, Prediction, StoreError
from segr1_app.geometry import encode_rle, resize_nearest
from segr1_app.images.pictures import Picture
from segr1_app.language.typed_text import one_line
from segr1_app.models.concepts import ConceptHost
from segr1_app.models.host import ModelHost
from segr1_app.store import (
    AnnotationStore,
    Draft,
    QueueOrder,
    RejectReason,
    Revision,
    StaleRevisionError,
    Task,
    Verdict,
)
from segr1_app.studio.callers import charge
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.studio.contracts import (
    CanvasValue,
    Decision,
    DraftState,
    FoundInstances,
    LeasedTask,
    NoTask,
    SavedWork,
    Stale,
    TaskProgress,
    UpcomingTask,
)
from segr1_app.studio.decisions import DecisionRecorder, DecisionRequest
from segr1_app.studio.previews import live_size
from segr1_app.studio.recording import WorkDone
from segr1_app.studio.sessions import CanvasSession, CanvasSessions
from segr1_app.studio.task_preparation import TaskPreparer
from segr1_app.ui.gate.endpoints import RUN_COST, one_of
from segr1_app.ui.views import addressed, cached_file_url, canvas_value, revision_value

MAX_DRAFT = 4_000_000
"""Longest draft, in characters."""
NOTHING_TO_SORT_BY = {
    QueueOrder.LEAST_CONFIDENT: "No open task has a prediction yet, so they come as imported: run preannotate first.",
    QueueOrder.MOST_DISAGREEMENT: "No open task has sampled answers to disagree, so they come as imported: run "
    "preannotate --samples 4 first.",
}
"""The notice for an order that has nothing to sort by yet."""


class JobHandlers:
    """Leases tasks to annotators and stores their decisions.

    Every method takes and returns JSON values and raises `SegR1Error` with a message for the caller.

    Args:
        store: where everything is stored.
        models: predict what has no prediction yet; the hash of the policy's weights is stored with each prediction.
        cache: an existing folder from which gradio serves files.
        sessions: get the pictures of leased tasks.
        canvas: makes the masks that are saved.
        concepts: finds all instances of something; None for a host without a model.
    """

    def __init__(
        self,
        store: AnnotationStore,
        models: ModelHost,
        *,
        cache: Path,
        sessions: CanvasSessions,
        canvas: CanvasHandlers,
        concepts: ConceptHost | None = None,
    ) -> None:
        self._store = store
        self._concepts = concepts or ConceptHost(None, "cpu")
        self._cache = cache.resolve()
        self._preparer = TaskPreparer(store, models, self._cache)
        self._sessions = sessions
        self._decisions = DecisionRecorder(store, self._preparer, canvas)
        self._drafting = threading.Lock()

    @property
    def finds(self) -> bool:
        """Whether there is a model for `find_all`."""
        return self._concepts.offered

    def find_all(self, key: str, words: str = "", example: list[float] | None = None) -> FoundInstances:
        """Propose every instance of something in a task's picture; nothing is stored.

        Args:
            key: of the task's canvas, as `next_task` gives it.
            words: what to look for, in a few words; empty to go by the example.
            example: [left, top, right, bottom] of a box around one instance, in the picture's pixels; None for none.

        Returns:
            {"found": [{"box", "start": a mask to refine, as COCO RLE at the size of the canvas, "score": 0 to 1}]}, the
            likeliest first.
        """
        picture = self._sessions.get(key).picture
        charge.get()(RUN_COST)
        live = live_size(picture.size)
        found = self._concepts.find(picture, words, None if example is None else _box(example, picture))
        return {
            "found": [
                {
                    "box": [round(edge, 2) for edge in each.box.xyxy],
                    "start": encode_rle(resize_nearest(each.mask, live)),
                    "score": round(each.score, 4),
                }
                for each in found
            ]
        }

    def next_task(self, annotator: str, order: str = QueueOrder.IMPORTED.value) -> LeasedTask | NoTask:
        """Lease the next open task to an annotator, or renew the one that they hold.

        Args:
            annotator: name of the annotator.
            order: "imported", "least-confident" or "most-disagreement".

        Returns:
            {"task": its number, or None when nothing is left, "canvas": what the canvas shows, "instruction",
            "picture_name", "reasoning", "prediction": its number, "parent": the number of the annotator's own
            revision of it or None, "draft": what `put_draft` stored or None, "decided": whether somebody decided it,
            "saved": the current revision to continue from, {"revision", "verdict", "comment", "objects"}, or None,
            "notice": a message to show or "", "progress": as for `progress`}.
        """
        sequence = _order(order)
        unsorted = "" if self._store.can_sort(sequence) else NOTHING_TO_SORT_BY[sequence]
        task = self._store.lease_next(annotator, sequence)
        if task is None:
            return {"task": None, "progress": self.progress(annotator)}
        handed = self._handed_out(task, annotator)
        handed["notice"] = f"{handed['notice']} {unsorted}".strip()
        self._preparer.prewarm(annotator, sequence)
        return handed

    def upcoming(self, annotator: str, order: str = QueueOrder.IMPORTED.value) -> UpcomingTask:
        """Wait until the next task, which `next_task` began to prepare, is ready, and return its picture.

        Args:
            annotator: name of the annotator.
            order: as for `next_task`.

        Returns:
            The address of its preview.
        """
        preview = self._preparer.prewarmed(annotator, _order(order))
        return {"picture": cached_file_url(preview) if preview else None}

    def open_task(self, annotator: str, task: int) -> LeasedTask:
        """Lease a given task, also a decided one, to continue from what was saved; the lease held before is released.

        Args:
            annotator: name of the annotator.
            task: its number.

        Returns:
            As for `next_task`.
        """
        self._store.lease(task, annotator)
        return self._handed_out(self._store.task(task), annotator)

    def open_neighbour(self, annotator: str, task: int, step: int) -> LeasedTask:
        """Lease the next or the previous task by number, open or decided; those that others hold are passed over.

        Args:
            annotator: name of the annotator.
            task: the number of the present task.
            step: 1 for the next task, -1 for the previous one.

        Returns:
            As for `next_task`.
        """
        if step not in (1, -1):
            raise StoreError("A step is 1 for the next task or -1 for the previous one.")
        found = self._store.neighbour(int(task), annotator, step)
        if found is None:
            raise StoreError("There is no later task." if step > 0 else "There is no earlier task.")
        return self.open_task(annotator, found)

    def set_instruction(self, annotator: str, task: int, instruction: str) -> LeasedTask:
        """Change a task's instruction; the policy predicts again, and the annotator's draft is discarded.

        Args:
            annotator: name of the annotator.
            task: its number.
            instruction: what to segment instead.

        Returns:
            As for `next_task`.
        """
        self._store.lease(task, annotator)
        changed = self._store.set_instruction(task, instruction)
        self._store.drop_draft(changed.id, annotator)
        return self._handed_out(changed, annotator)

    def add_task(self, annotator: str, task: int, instruction: str) -> LeasedTask:
        """Lease another task for a task's picture, which is created if there is none with this instruction yet.

        Args:
            annotator: name of the annotator.
            task: the number of the task whose picture it is.
            instruction: what else to segment in it.

        Returns:
            As for `next_task`.
        """
        added = self._store.add_task(self._store.task(task).sha256, instruction)
        return self.open_task(annotator, added.id)

    def save_decision(  # noqa: PLR0917 - its arguments are those of the endpoint, which clients name
        self,
        annotator: str,
        task: int,
        verdict: str,
        objects: list[dict[str, Any]],
        reason: str | None = None,
        comment: str = "",
        seconds: float = 0.0,
        clicks: int = 0,
        prediction: int | None = None,
        parent: int | None = None,
        origin: int | None = None,
    ) -> Decision | Stale:
        """Store a decision about a task; this ends the lease and deletes the draft.

        An accept of prompts that were changed, or painted on, is stored as a fix.

        Args:
            annotator: who decides.
            task: its number.
            verdict: "accept", "fix", "reject" or "skip".
            objects: what is on the canvas: [{"box", "points", "name", "strokes", "start", "clean"}], in the picture's
                pixels.
            reason: why it is rejected: "reasoning", "grounding", "segmenter", "no-object" or "bad-image".
            comment: any text.
            seconds: working time it took.
            clicks: edits it took.
            prediction: the number of the prediction that was corrected; None for none.
            parent: the annotator's own revision that this one follows, as `next_task` gave it.
            origin: the revision that it was started from, as `next_task` gave it as "saved"; None for none.

        Returns:
            {"revision": its number, "verdict", "progress"}; or {"stale": number of the newer revision, "message"} when
            the annotator saved the task elsewhere in the meantime: nothing was stored then.
        """
        decision = one_of(Verdict, verdict, "A decision is")
        request = DecisionRequest(
            annotator=annotator,
            task=task,
            verdict=decision,
            objects=objects,
            reason=one_of(RejectReason, reason, "A reject needs a reason:") if decision is Verdict.REJECT else None,
            comment=comment,
            work=WorkDone(seconds, clicks),
            prediction=prediction,
            parent=parent,
            origin=origin,
        )
        try:
            revision = self._decisions.record(request)
        except StaleRevisionError as error:
            return {"stale": error.newest.id, "message": str(error)}
        return {
            "revision": revision.id,
            "verdict": revision.correction.verdict.value,
            "progress": self.progress(annotator),
        }

    def put_draft(self, annotator: str, task: int, content: dict[str, Any]) -> DraftState:
        """Store unfinished work, and renew the lease.

        Args:
            annotator: who works.
            task: its number.
            content: whatever the page needs to continue. Of two with the same "page", the one with the higher "edit" is
                the later one, whichever arrives first.

        Returns:
            {"kept": True, "held": whether the task is still held for this person}.
        """
        text = json.dumps(content, ensure_ascii=False)
        if len(text) > MAX_DRAFT:
            raise StoreError("This draft is too large to be kept: save the task, or paint with fewer strokes.")
        with self._drafting:
            if _follows(content, self._store.get_draft(task, annotator)):
                self._store.put_draft(task, annotator, text)
        try:
            self._store.renew(task, annotator)
        except LeaseLostError:
            return {"kept": True, "held": False}
        return {"kept": True, "held": True}

    def drop_draft(self, annotator: str, task: int) -> DraftState:
        """Discard unfinished work and release the task.

        Args:
            annotator: who worked.
            task: its number.

        Returns:
            {"kept": False}.
        """
        self._store.drop_draft(task, annotator)
        self._store.release(task, annotator)
        return {"kept": False}

    def progress(self, annotator: str = "") -> TaskProgress:
        """How many tasks are done.

        Args:
            annotator: whose share is returned as "own".

        Returns:
            {"tasks", "open", "done", "own", "clicks", "seconds", "verdicts": {verdict: number}}.
        """
        found = self._store.statistics()
        own = found.by_annotator.get(one_line(annotator))
        return {
            "tasks": found.tasks,
            "open": found.open_tasks,
            "done": found.tasks - found.open_tasks,
            "own": own.done if own else 0,
            "clicks": found.total.clicks,
            "seconds": round(found.total.seconds, 1),
            "verdicts": {verdict.value: count for verdict, count in found.total.verdicts.items()},
        }

    def _handed_out(self, task: Task, annotator: str) -> LeasedTask:
        prepared = self._preparer.prepare(task)
        prediction = prepared.stored.prediction if prepared.stored else None
        draft = self._store.get_draft(task.id, annotator)
        own = self._store.head_of(task.id, one_line(annotator))
        current = self._store.current(task.id)
        return {
            "task": task.id,
            "canvas": self._canvas_value(task, prepared.picture, prediction),
            "instruction": task.instruction,
            "picture_name": task.picture_name,
            "reasoning": (prediction.reasoning if prediction else None) or "",
            "prediction": prepared.stored.id if prepared.stored else None,
            "parent": own,
            "draft": json.loads(draft.content) if draft else None,
            "decided": not task.open,
            "saved": _saved(current, own),
            "notice": prepared.notice,
            "progress": self.progress(annotator),
        }

    def _canvas_value(self, task: Task, picture: Picture, prediction: Prediction | None) -> CanvasValue:
        truth = self._store.ground_truth(task.sha256, task.instruction)
        key = self._sessions.begin(CanvasSession(picture, prediction, truth))
        title = f"Picture of {picture.size.width} by {picture.size.height} pixels"
        value = canvas_value(
            key,
            self._preparer.preview(picture),
            title,
            picture.size,
            objects=prediction.objects if prediction else (),
            masks=prediction.masks if prediction else (),
            truth=truth,
        )
        return addressed(value)


def _follows(content: object, kept: Draft | None) -> bool:
    """Whether a draft replaces the stored one."""
    new, old = _edit_of(content), _edit_of(json.loads(kept.content)) if kept else None
    return new is None or old is None or new[0] != old[0] or new[1] > old[1]


def _edit_of(content: object) -> tuple[object, int] | None:
    """The page that a draft is from and its edit number there, if it has them."""
    match content:
        case {"page": page, "edit": int(edit)}:
            return page, edit
    return None


def _saved(current: Revision | None, own: int | None) -> SavedWork | None:
    """The current revision of a task to continue from, if it has objects; its comment only for its author."""
    if current is None or (current.correction.verdict is Verdict.REJECT and not current.correction.objects):
        return None
    return {
        "revision": current.id,
        "verdict": current.correction.verdict.value,
        "comment": current.correction.comment if own == current.id else "",
        "objects": revision_value(current),
    }


def _order(text: str) -> QueueOrder:
    return one_of(QueueOrder, text, "Tasks come in one of these orders:")


def _box(edges: list[float], picture: Picture) -> Box:
    """An example's box.

    Raises:
        PictureError: when it is none within the picture.
    """
    width, height = picture.size
    if len(edges) == 4:
        left, top, right, bottom = edges
        if 0 <= left < right <= width and 0 <= top < bottom <= height:
            return Box(left, top, right, bottom)
    raise PictureError(f"The example is not a box [left, top, right, bottom] within {width} by {height} pixels.")
