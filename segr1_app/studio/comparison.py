"""Two masks of a task, compared: a revision or prediction against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segr1_app.domain import Mask, ObjectPrompt, StoreError
from segr1_app.geometry import encode_rle
from segr1_app.language.prompt_json import prompt_value
from segr1_app.metrics import iou, s_measure
from segr1_app.store import AnnotationStore, Task
from segr1_app.studio.contracts import ComparedSide, Comparison, MaskOverlap, MaskScores


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two: its mask, bool (height, width), and its mask prompts, in the picture's pixels."""

    task_id: int
    mask: Mask
    objects: tuple[ObjectPrompt, ...]


def find_side(store: AnnotationStore, task: Task, name: str) -> Side:
    """What "revision N" or "prediction N" names.

    Raises:
        StoreError: when the name is not of that form, or names nothing, or something of another task.
    """
    kind, _, number = str(name).partition(" ")
    if kind not in ("revision", "prediction") or not number.isdecimal():
        raise StoreError("Choose what to compare by names such as 'revision 1' or 'prediction 1'.")
    if kind == "revision":
        revision = store.revision(int(number))
        side = Side(revision.task_id, revision.mask, revision.correction.prompts)
    else:
        stored = store.prediction(int(number))
        side = Side(stored.task_id, stored.prediction.mask, stored.prediction.objects)
    if side.task_id != task.id:
        raise StoreError(f"This {kind} belongs to another task.")
    return side


def compare_sides(one: Side, other: Side) -> Comparison:
    """Both sides with their IoU and the pixels that only one, only the other, and both contain."""
    return {
        "first": shown_side(one.mask, one.objects),
        "second": shown_side(other.mask, other.objects),
        **mask_overlap(one.mask, other.mask),
    }


def mask_overlap(one: Mask, other: Mask) -> MaskOverlap:
    """How two masks of one shape differ."""
    return {
        "iou": iou(one, other),
        "only_first": int(np.count_nonzero(one & ~other)),
        "only_second": int(np.count_nonzero(other & ~one)),
        "both": int(np.count_nonzero(one & other)),
    }


def shown_side(mask: Mask, objects: Sequence[ObjectPrompt]) -> ComparedSide:
    """A mask and its prompts as JSON values."""
    return {
        "mask": encode_rle(mask) if mask.any() else None,
        "objects": [prompt_value(prompt) for prompt in objects],
    }


def mask_scores(mask: Mask, truth: Mask | None) -> MaskScores | None:
    """The scores of a mask against the true one, both bool (height, width); None where that is not known."""
    if truth is None or truth.shape != mask.shape:
        return None
    return {"iou": iou(mask, truth), "s_measure": s_measure(mask, truth)}
