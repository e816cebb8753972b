"""The live reward next to the canvas: the terms that training optimises, computed by the same function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segr1_app.domain import ImageSize, Mask, ObjectMask, ObjectPrompt
from segr1_app.geometry import compose_layers, resize_nearest, union_masks
from segr1_app.language.codec import is_expressible
from segr1_app.rewards import Answer, Truth, score
from segr1_app.studio.contracts import RewardOfPrompts
from segr1_app.studio.edits import EditedObject
from segr1_app.studio.sessions import CanvasSession

TRUTH = "Your prompts, against the imported mask."
PAINTED = "Your prompts, against what you painted."
CLEANED = "Your prompts, against their mask as it is cleaned."
CORRECTED = "The policy's answer, against your mask."
UNTOUCHED = "No target yet: paint on the mask, or correct the prompts to score the policy's answer."
NOTHING = "No target yet: paint the mask to score the prompts."


def live_reward(
    session: CanvasSession, objects: Sequence[EditedObject], masks: Sequence[ObjectMask]
) -> RewardOfPrompts:
    """The reward of a canvas's contents.

    The target is the imported mask, else the painted one; without either, if the policy's prompts were changed, the
    policy's own answer is scored against the current mask.

    Args:
        session: the picture, with its prediction and truth, if any.
        objects: what is on the canvas.
        masks: the segmenter's masks for their prompts, one per object, of the whole picture, all at the same size.

    Returns:
        The terms "format", "iou", "s_measure" and "total", all None where there is no target, and "text", which says
        what is scored against what.
    """
    height, width = masks[0].mask.shape if masks else (session.picture.size.height, session.picture.size.width)
    size = ImageSize(width, height)
    segmented = union_masks([found.mask for found in masks], size)
    prompts = [edited.prompt for edited in objects if not edited.blank]
    answer = Answer(is_expressible(prompts, session.picture.size), segmented)
    prediction = session.prediction
    if session.truth is not None:
        return _terms(answer, resize_nearest(session.truth, size), TRUTH)
    finishes = [edited.finish(found.mask, session.picture.size) for edited, found in zip(objects, masks, strict=True)]
    finished = zip(masks, finishes, strict=True)
    final = union_masks([compose_layers(found.mask, finish.painted, finish.erased) for found, finish in finished], size)
    if any(edited.brushed for edited in objects):
        return _terms(answer, final, PAINTED)
    if any(finish.cleaned for finish in finishes):
        return _terms(answer, final, CLEANED)
    if prediction is None:
        return _terms(answer, None, NOTHING)
    if same_prompts(prompts, prediction.objects) and not any(edited.start for edited in objects):
        return _terms(answer, None, UNTOUCHED)
    return _terms(Answer(prediction.well_formed, resize_nearest(prediction.mask, size)), final, CORRECTED)


def same_prompts(these: Sequence[ObjectPrompt], those: Sequence[ObjectPrompt]) -> bool:
    """Whether two sets of prompts are the same for the segmenter, whatever the objects' names."""
    return _shapes(these) == _shapes(those)


def _terms(answer: Answer, target: Mask | None, text: str) -> RewardOfPrompts:
    terms = score(answer, Truth(target))
    return {
        "text": text,
        "format": terms.format if terms else None,
        "iou": terms.iou if terms else None,
        "s_measure": terms.s_measure if terms else None,
        "total": terms.total if terms else None,
    }


def _shapes(objects: Sequence[ObjectPrompt]) -> list[Any]:
    """Boxes and points; the canvas rounds to hundredths."""
    return [
        (
            prompt.box and tuple(round(edge, 2) for edge in prompt.box.xyxy),
            [(round(point.x, 2), round(point.y, 2), point.label) for point in prompt.points],
        )
        for prompt in objects
    ]
