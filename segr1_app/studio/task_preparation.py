"""Prepare tasks for annotation: prediction, embedding and preview; the next task is prepared in advance."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from cachetools import LRUCache

from segr1_app.domain import NotUnderstoodError, Prediction, SegR1Error
from segr1_app.geometry import union_masks
from segr1_app.images.pictures import Picture
from segr1_app.models.host import ModelHost
from segr1_app.store import AnnotationStore, QueueOrder, StoredPrediction, Task
from segr1_app.studio.previews import RecentPictures, preview_of

NAMES = 1000
"""Annotators whose next task is being prepared; anybody may call themselves anything."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedTask:
    """A task that can be opened.

    Attributes:
        picture: its picture.
        stored: its prediction; None where the policy does not understand the instruction.
        notice: the reason for that; else empty.
    """

    picture: Picture
    stored: StoredPrediction | None
    notice: str = ""


class TaskPreparer:
    """Prepares tasks for annotation.

    Args:
        store: the store with the tasks, to which predictions are added.
        models: make missing predictions and embeddings.
        cache: an existing folder from which gradio serves files.
    """

    def __init__(self, store: AnnotationStore, models: ModelHost, cache: Path) -> None:
        self._store = store
        self._models = models
        self._cache = cache
        self._pictures = RecentPictures(store)
        self._predicting = threading.Lock()
        self._prewarming: LRUCache[str, threading.Thread] = LRUCache(NAMES)
        self._guard = threading.Lock()

    def picture(self, task: Task) -> Picture:
        """A task's picture.

        Raises:
            StoreError: when it cannot be read.
        """
        return self._pictures.get(task.sha256)

    def preview(self, picture: Picture) -> Path:
        """The preview of a picture for the page.

        Raises:
            StoreError: when it cannot be written.
        """
        return preview_of(picture, self._cache)

    def prepare(self, task: Task) -> PreparedTask:
        """A task's picture and prediction, which is made now if there is none yet.

        An instruction that the policy does not understand leaves the task without a prediction, to be drawn by hand.

        Raises:
            SegR1Error: when the prediction cannot be made.
        """
        picture = self.picture(task)
        number = self._store.task(task.id).prediction_id
        if number is None:
            try:
                number = self._predict(picture, task)
            except NotUnderstoodError as error:
                return PreparedTask(picture, None, f"{error} Mark the object yourself.")
        stored = self._store.prediction(number)
        if _lacks_masks(stored.prediction):
            stored = self._store.prediction(self._segment(picture, task, stored))
        return PreparedTask(picture, stored)

    def prewarm(self, annotator: str, order: QueueOrder) -> None:
        """Start preparing an annotator's next task in the background."""
        thread = threading.Thread(target=self._prewarm, args=(annotator, order), name="prewarm", daemon=True)
        with self._guard:
            self._prewarming[annotator] = thread
        thread.start()

    def prewarmed(self, annotator: str, order: QueueOrder) -> Path | None:
        """The preview of an annotator's next task, once `prewarm` has finished; None if there is none."""
        with self._guard:
            thread = self._prewarming.pop(annotator, None)
        if thread is None:
            return None
        thread.join()
        task = self._store.upcoming(annotator, order)
        return self.preview(self.picture(task)) if task else None

    def _prewarm(self, annotator: str, order: QueueOrder) -> None:
        try:
            task = self._store.upcoming(annotator, order)
            if task is not None:
                prepared = self.prepare(task)
                picture, found = prepared.picture, prepared.stored
                self.preview(picture)
                # Makes the embeddings that clicks on and around these objects will need.
                segmenter = self._models.pipeline().segmenter
                objects = found.prediction.objects if found else ()
                segmenter.segment(picture, objects, embedding=segmenter.encode(picture))
        except SegR1Error:
            # The annotator who opens the task gets the same error, where it can be shown.
            return

    def _predict(self, picture: Picture, task: Task) -> int:
        """Predict for a task, unless another call did so while this one waited; a task that has a prediction does
        not wait.
        """
        with self._predicting:
            number = self._store.task(task.id).prediction_id
            if number is None:
                pipeline = self._models.pipeline()
                pipeline.check_understood(task.instruction)
                with self._models.turn:
                    prediction = pipeline.run(picture, task.instruction)
                number = self._store.add_prediction(task.id, prediction, self._models.checkpoint)
            return number

    def _segment(self, picture: Picture, task: Task, stored: StoredPrediction) -> int:
        """Make the masks of boxes and points that came from a file, once; masks that came with them stay."""
        with self._predicting:
            number = self._store.task(task.id).prediction_id
            if number != stored.id and number is not None:
                return number
            segmenter = self._models.pipeline().segmenter
            given = stored.prediction
            with self._models.turn:
                found = segmenter.segment(picture, given.objects, embedding=segmenter.encode(picture))
            masks = tuple(old if old.mask.any() else new for old, new in zip(given.masks, found, strict=True))
            union = union_masks([each.mask for each in masks], given.image_size)
            made = replace(given, masks=masks, mask=union, segmenter_id=segmenter.model_id)
            return self._store.add_prediction(task.id, made, stored.checkpoint_hash)


def _lacks_masks(prediction: Prediction) -> bool:
    """Whether no segmenter has seen the boxes and points of a prediction yet, because they came from a file."""
    prompted = any(prompt.box is not None or prompt.points for prompt in prediction.objects)
    return not prediction.segmenter_id and prompted and not all(each.mask.any() for each in prediction.masks)
