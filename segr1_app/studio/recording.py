"""Store the contents of a canvas as a correction."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from segr1_app.domain import Mask, ObjectMask, ObjectPrompt, Prediction
from segr1_app.language.typed_text import one_line
from segr1_app.models.host import ModelHost
from segr1_app.store import AnnotatedObject, AnnotationStore, Correction, Revision, Verdict
from segr1_app.store.limits import MAX_CLICKS
from segr1_app.studio.edits import EditedObject, Finish
from segr1_app.studio.reward_preview import same_prompts
from segr1_app.studio.sessions import CanvasSession

VISITOR = "visitor"
"""The annotator's name for saves from the Run tab without a name."""
LONGEST_WORK: Final = 86_400.0
"""Most working time that is stored for one decision, in seconds: a page may have been open for days."""


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What a decision took, as a page reports it.

    Attributes:
        seconds: working time; counted within [0, `LONGEST_WORK`].
        clicks: edits; counted within [0, `MAX_CLICKS`].
    """

    seconds: float = 0.0
    clicks: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", max(0.0, min(self.seconds, LONGEST_WORK)))
        object.__setattr__(self, "clicks", max(0, min(self.clicks, MAX_CLICKS)))


@dataclass(frozen=True, slots=True, eq=False)
class CanvasResult:
    """The objects of a canvas with their masks, all of the picture's size.

    Attributes:
        objects: the objects on the canvas, without blank ones.
        segmented: the segmenter's masks, one per object.
        finishes: the layers that are applied to them, from paint and cleaning.
        final: the same with that applied.
        mask_inputs: the masks that were refined; None for an object that refines none.
    """

    objects: tuple[EditedObject, ...]
    mask_inputs: tuple[Mask | None, ...]
    segmented: tuple[ObjectMask, ...]
    finishes: tuple[Finish, ...]
    final: tuple[ObjectMask, ...]

    @property
    def prompts(self) -> tuple[ObjectPrompt, ...]:
        return tuple(edited.prompt for edited in self.objects)

    @property
    def annotated(self) -> tuple[AnnotatedObject, ...]:
        """The objects with every layer of their masks."""
        return tuple(
            AnnotatedObject(edited.prompt, found.mask, finish.painted, finish.erased, start, cleaned=finish.cleaned)
            for edited, found, finish, start in zip(
                self.objects, self.segmented, self.finishes, self.mask_inputs, strict=True
            )
        )

    def changes(self, prediction: Prediction | None) -> bool:
        """Whether anything differs from the prediction."""
        before = prediction.objects if prediction else ()
        painted = any(each.brushed or each.start for each in self.objects)
        return painted or any(finish.cleaned for finish in self.finishes) or not same_prompts(self.prompts, before)


class RunRecorder:
    """Saves corrected runs of the Run tab: the picture, the task, the prediction and its correction.

    Args:
        store: the store to write to.
        models: the hash of the policy's weights is stored with the prediction.
    """

    def __init__(self, store: AnnotationStore, models: ModelHost) -> None:
        self._store = store
        self._models = models
        self._predictions: LRUCache[str, tuple[int, int]] = LRUCache(1000)
        self._lock = threading.Lock()

    def record(
        self, key: str, session: CanvasSession, corrected: CanvasResult, annotator: str, work: WorkDone
    ) -> Revision | None:
        """Store a corrected run; a picture without a prediction is not stored.

        Args:
            key: the key of the session; its prediction is stored once, however often it is saved.
            session: the picture and its prediction.
            corrected: the contents of the canvas.
            annotator: who saves; empty for a visitor.
            work: what the correction took.

        Raises:
            StoreError: when it cannot be stored.
        """
        prediction = session.prediction
        if prediction is None:
            return None
        name = one_line(annotator) or VISITOR
        with self._lock:
            if key not in self._predictions:
                sha256 = self._store.add_picture(session.picture, "from the Run tab")
                task_id = self._store.add_task(sha256, prediction.instruction).id
                number = self._store.add_prediction(task_id, prediction, self._models.checkpoint)
                self._predictions[key] = (task_id, number)
            task_id, number = self._predictions[key]
            verdict = Verdict.FIX if corrected.changes(prediction) else Verdict.ACCEPT
            before = self._store.head_of(task_id, name)
            return self._store.save(
                task_id,
                name,
                Correction(verdict, corrected.annotated, seconds=work.seconds, clicks=work.clicks),
                parent_id=before,
                prediction_id=number,
            )
