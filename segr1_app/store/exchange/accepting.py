"""Accept imported ground-truth masks in bulk: one person vouches for all of them, and they are exported like any
other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segr1_app.domain import Mask, ObjectPrompt, StoreError
from segr1_app.geometry import mask_box
from segr1_app.language.typed_text import person_name
from segr1_app.store.exchange.class_names import class_of
from segr1_app.store.store import AnnotationStore
from segr1_app.store.values import AnnotatedObject, Correction, StaleRevisionError, Verdict


@dataclass(slots=True)
class Accepted:
    """The result: tasks decided, open tasks without a ground-truth mask, and tasks that somebody else is working on."""

    done: int = 0
    without_truth: int = 0
    held: int = 0

    @property
    def sentences(self) -> list[str]:
        sentences = [f"{self.done} imported masks accepted."]
        if self.without_truth:
            sentences.append(f"{self.without_truth} open tasks have no imported mask and stay open.")
        if self.held:
            sentences.append(f"{self.held} tasks are being worked on and were left alone: run it again later.")
        return sentences


def accept_truths(
    store: AnnotationStore, annotator: str, on_progress: Callable[[int], None] = lambda _: None
) -> Accepted:
    """Accept every open task that has an imported ground-truth mask, with that mask. Decided tasks are not changed.

    The object is painted, because no prompt made it; its name is the class that the instruction asks for, if it does.

    Args:
        store: where the tasks are.
        annotator: who vouches for the masks.
        on_progress: is called with how many open tasks were looked at.

    Raises:
        StoreError: when nobody is named, or the store cannot be written to.
    """
    name, accepted = person_name(annotator), Accepted()
    if name is None:
        raise StoreError("Name the person who accepts the masks, in 1 to 200 characters.")
    # The tasks are listed first; some may be decided in the meantime.
    for seen, task_id in enumerate([task.id for task in store.tasks(open_only=True)], start=1):
        task = store.task(task_id)
        truth = store.ground_truth(task.sha256, task.instruction)
        own = store.head_of(task_id, name)
        if truth is None:
            accepted.without_truth += 1
        elif store.holder(task_id) not in (None, name):
            accepted.held += 1
        elif task.open:
            correction = Correction(Verdict.ACCEPT, _objects(truth, class_of(task.instruction)))
            try:
                store.save(task_id, name, correction, parent_id=own)
                accepted.done += 1
            except StaleRevisionError:
                # The same person has just saved it in another window.
                accepted.held += 1
        on_progress(seen)
    return accepted


def _objects(truth: Mask, name: str | None) -> tuple[AnnotatedObject, ...]:
    box = mask_box(truth)
    if box is None:
        return ()
    return (AnnotatedObject(ObjectPrompt(box, name=name), np.zeros_like(truth), painted=truth),)
