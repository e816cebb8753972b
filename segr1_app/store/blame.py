"""Whose mistake a correction corrects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt
from segr1_app.geometry import union_masks
from segr1_app.metrics import iou, overlap
from segr1_app.store.values import AnnotatedObject, Blame, Correction, RejectReason, Verdict

BLAME_IOU: Final = 0.8
"""Below this IoU of the target with the segmenter's mask from good prompts, the segmenter is at fault."""
BLAME_POINTS: Final = 3
"""An object's prompts are good when it has a box and at least this many points."""
POLICYS_OWN: Final = 0.99
"""Above this IoU with the policy's mask, the final mask counts as unchanged."""


def attribute_blame(
    correction: Correction,
    truth: Mask | None,
    *,
    before: Sequence[ObjectPrompt] = (),
    policy_iou: float | None = None,
) -> Blame | None:
    """Whose mistake a correction corrects.

    It is the segmenter's if it got good prompts from the annotator and still has an IoU below .8 with the target; else
    the policy's. The target is the ground truth; without one, for a fix, it is the painted mask.

    Only objects whose mask comes from good prompts alone are evidence: one that was refined from a mask is not, and for
    one that a reject leaves as the policy prompted it the annotator gave no prompts. Painted objects are compared with
    their own final masks. A ground truth does not separate objects: where some objects are not evidence, it is compared
    within the boxes of those that are, without the pixels that the others cover.

    Args:
        correction: the decision and the edits.
        truth: the ground truth, if there is one.
        before: the policy's prompts.
        policy_iou: IoU of the policy's mask with the final one; None without a prediction.

    Returns:
        None if nothing was wrong (accept, skip, a fix that leaves the policy's mask unchanged) or the picture itself is
        the problem.
    """
    verdict, reason = correction.verdict, correction.reason
    if reason is RejectReason.SEGMENTER:
        return Blame.SEGMENTER
    if verdict in (Verdict.ACCEPT, Verdict.SKIP) or reason is RejectReason.BAD_IMAGE:
        return None
    if verdict is Verdict.FIX and policy_iou is not None and policy_iou > POLICYS_OWN:
        return None
    if reason is RejectReason.NO_OBJECT:
        return Blame.POLICY
    rejected = {(prompt.box, prompt.points) for prompt in before} if verdict is Verdict.REJECT else set()
    evidence = [made for made in correction.objects if _well_prompted(made) and _key(made) not in rejected]
    reached = _reached(correction, evidence, truth)
    return Blame.SEGMENTER if reached is not None and reached < BLAME_IOU else Blame.POLICY


def _well_prompted(made: AnnotatedObject) -> bool:
    prompt = made.prompt
    return prompt.box is not None and len(prompt.points) >= BLAME_POINTS and made.refined_from is None


def _key(made: AnnotatedObject) -> object:
    return made.prompt.box, made.prompt.points


def _reached(correction: Correction, evidence: Sequence[AnnotatedObject], truth: Mask | None) -> float | None:
    """IoU of the segmenter's masks of some objects with their target; None without a target."""
    if not evidence:
        return None
    size = evidence[0].size
    segmented = union_masks((made.segmented for made in evidence), size)
    if truth is None:
        # Objects that were not painted are not evidence against the segmenter; nor are those left as predicted in a
        # reject.
        return (
            None
            if correction.verdict is Verdict.REJECT
            else iou(segmented, union_masks((m.mask for m in evidence), size))
        )
    others = [made for made in correction.objects if made not in evidence]
    if not others:
        return iou(segmented, truth)
    elsewhere = union_masks((made.mask for made in others), size)
    target = truth & _within([made.prompt.box for made in evidence if made.prompt.box], size)
    return overlap(segmented, target, elsewhere).iou if (target & ~elsewhere).any() else None


def _within(boxes: Sequence[Box], size: ImageSize) -> Mask:
    """The pixels whose centres lie in one of some boxes: bool (height, width)."""
    x, y = np.arange(size.width) + 0.5, np.arange(size.height)[:, None] + 0.5
    return union_masks(((box.x1 <= x) & (x < box.x2) & (box.y1 <= y) & (y < box.y2) for box in boxes), size)
