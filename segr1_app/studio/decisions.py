"""Decisions about tasks: from what an annotator's page sends to a revision in the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from segr1_app.domain import StoreError
from segr1_app.store import AnnotationStore, Correction, RejectReason, Revision, Task, Verdict
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.studio.edits import read_objects
from segr1_app.studio.recording import WorkDone
from segr1_app.studio.task_preparation import TaskPreparer

LONGEST_COMMENT: Final = 4000
"""Most characters of a comment from the page; the store keeps longer ones that are imported."""


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """A decision as a client asks for it to be stored.

    Attributes:
        annotator: who decides.
        task: its number.
        verdict: the decision; an accept of objects that were changed is stored as a fix.
        objects: what is on the canvas, as `segr1_app.studio.edits.read_objects` takes it.
        reason: why it is rejected; None for any other verdict.
        comment: any text.
        work: what it took.
        prediction: the number of the prediction that was corrected; None for none.
        parent: the annotator's own revision that this one follows; None for none.
        origin: the revision that it was started from; None for none.
    """

    annotator: str
    task: int
    verdict: Verdict
    objects: list[dict[str, Any]]
    reason: RejectReason | None = None
    comment: str = ""
    work: WorkDone = field(default_factory=WorkDone)
    prediction: int | None = None
    parent: int | None = None
    origin: int | None = None


class DecisionRecorder:
    """Stores decisions, with full-size masks of what is on the canvas.

    Args:
        store: where to.
        preparer: reads the pictures of tasks.
        canvas: makes the masks.
    """

    def __init__(self, store: AnnotationStore, preparer: TaskPreparer, canvas: CanvasHandlers) -> None:
        self._store, self._preparer, self._canvas = store, preparer, canvas

    def record(self, request: DecisionRequest) -> Revision:
        """Store a decision.

        Raises:
            StaleRevisionError: when the annotator has a newer revision; nothing is stored.
            SegR1Error: when it cannot be stored, with the reason.
        """
        task = self._store.task(request.task)
        return self._store.save(
            task.id,
            request.annotator,
            self._correction(task, request),
            parent_id=request.parent,
            prediction_id=request.prediction,
            origin_id=None if request.origin == request.parent else self._revision_of(task, request.origin),
        )

    def _correction(self, task: Task, request: DecisionRequest) -> Correction:
        if len(request.comment) > LONGEST_COMMENT:
            raise StoreError(f"The comment has {len(request.comment)} characters; the limit is {LONGEST_COMMENT}.")
        stored = None if request.prediction is None else self._store.prediction(request.prediction).prediction
        picture = self._preparer.picture(task)
        corrected = self._canvas.correct(picture, read_objects(request.objects, picture.size), stored)
        fixed = request.verdict is Verdict.ACCEPT and corrected.changes(stored)
        return Correction(
            Verdict.FIX if fixed else request.verdict,
            corrected.annotated,
            request.reason,
            request.comment,
            seconds=request.work.seconds,
            clicks=request.work.clicks,
        )

    def _revision_of(self, task: Task, number: int | None) -> int | None:
        """A revision's number, if it is one of this task's."""
        if number is not None and self._store.revision(number).task_id != task.id:
            raise StoreError(f"Revision {number} belongs to another task: nothing was saved.")
        return number
