"""Turn corrections into rows: what an annotator's verdict says about the correct answer, if anything.

An accepted or fixed mask is the ground truth. A rejected one is not, and the right one is unknown: it becomes a penalty
on making the same mistake again. "No such object" becomes a row on which abstaining is right. What the segmenter got
wrong from good prompts teaches the policy nothing and is left out; it is what the segmenter learns most from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from segr1_app.domain import PictureError, StoreError
from segr1_app.rewards import Truth
from segr1_app.store import AnnotationStore, Blame, Feedback, RejectReason, Verdict
from segr1_app.store.store import DATABASE_NAME
from train.data.doctor import look_of
from train.data.rows import Collected, Example, LeftOut, Row

FEEDBACK_SOURCE = "feedback"


def useless_for_policy(feedback: Feedback) -> str | None:
    """Why a policy can learn nothing from a correction; None when it can."""
    if feedback.reason is RejectReason.BAD_IMAGE:
        return "the picture is bad"
    if feedback.blame is Blame.SEGMENTER or feedback.reason is RejectReason.SEGMENTER:
        return "the segmenter is to blame, not the policy"
    if feedback.reason is RejectReason.NO_OBJECT:
        return None
    if feedback.verdict is Verdict.REJECT:
        rejected = feedback.rejected_mask
        return None if rejected is not None and rejected.any() else "there is no rejected mask"
    return _without_mask(feedback)


def useless_for_segmenter(feedback: Feedback) -> str | None:
    """Why a segmenter can learn nothing from a correction; None when it can.

    Whoever is to blame, a mask that somebody accepted or fixed is the correct answer to its prompts.
    """
    if feedback.verdict is Verdict.REJECT:
        return "the correct mask of a reject is unknown"
    return _without_mask(feedback)


def feedback_rows(
    home: Path,
    only: Collection[str] | None = None,
    useless: Callable[[Feedback], str | None] = useless_for_policy,
) -> Collected:
    """Rows of all corrections in a data folder.

    Args:
        home: the data folder.
        only: content hashes of the corrections to take, whether still current or not; None for all current ones.
        useless: says why nothing can be learnt from one.

    Raises:
        StoreError: when the store cannot be read.
    """
    rows: list[Row] = []
    left_out: list[LeftOut] = []
    looks: dict[str, bytes] = {}
    if not (home / DATABASE_NAME).is_file():
        # Nothing is annotated here yet, and reading must not create a store.
        return Collected()
    with AnnotationStore.open(home) as store:
        for feedback in store.feedback(only):
            verdict = str(feedback.reason or feedback.verdict)
            reason = useless(feedback)
            if reason:
                left_out.append(LeftOut(FEEDBACK_SOURCE, verdict, reason))
                continue
            if feedback.sha256 not in looks:
                try:
                    looks[feedback.sha256] = look_of(store.picture(feedback.sha256).pixels)
                except (StoreError, PictureError) as error:
                    left_out.append(LeftOut(FEEDBACK_SOURCE, verdict, f"its picture cannot be read: {error}"))
                    continue
            rows.append(
                Row(
                    look=looks[feedback.sha256],
                    image_id=feedback.sha256,
                    source=FEEDBACK_SOURCE,
                    verdict=verdict,
                    instruction=feedback.instruction,
                    load=partial(_load, home, feedback),
                    content_hash=feedback.content_hash,
                    unedited=feedback.unedited,
                )
            )
    return Collected(tuple(rows), tuple(left_out))


def truth_of(feedback: Feedback) -> Truth:
    """The ground truth according to a correction."""
    return Truth(
        mask=feedback.mask,
        rejected=feedback.rejected_mask,
        absent=feedback.reason is RejectReason.NO_OBJECT,
        objects=tuple(mask for mask in feedback.object_masks if mask.any()),
        prompts=feedback.objects,
    )


def _without_mask(feedback: Feedback) -> str | None:
    mask = feedback.mask
    return None if mask is not None and mask.any() else "its mask is empty"


def _load(home: Path, feedback: Feedback) -> Example:
    # Opened for each picture, because a connection must not survive a fork, and opening costs less than decoding.
    with AnnotationStore.open(home) as store:
        return Example(store.picture(feedback.sha256), truth_of(feedback), feedback.reasoning)
