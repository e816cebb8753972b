"""The values of the store. Masks are bool (height, width) and prompts are pixels of the original picture.

Times are Unix seconds of the store's clock. Annotators are plain names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from segr1_app.domain import ImageSize, Mask, ObjectPrompt, Prediction, StoreError
from segr1_app.geometry import Rle, compose_layers, decode_rle
from segr1_app.store.changes import PromptChange
from segr1_app.store.limits import MAX_CLICKS, MAX_COMMENT, MAX_SECONDS, is_count, is_number


class InvalidCorrectionError(StoreError, ValueError):
    """An invalid decision: numbers out of bounds, or parts that contradict each other."""


class Verdict(StrEnum):
    """What an annotator decided about a task."""

    ACCEPT = "accept"
    FIX = "fix"
    REJECT = "reject"
    SKIP = "skip"
    """No decision: the task stays open, but is not offered to the same person again."""


class RejectReason(StrEnum):
    """Why a task was rejected."""

    REASONING = "reasoning"
    GROUNDING = "grounding"
    SEGMENTER = "segmenter"
    NO_OBJECT = "no-object"
    BAD_IMAGE = "bad-image"


class Blame(StrEnum):
    """Whose mistake a revision corrects."""

    POLICY = "policy"
    SEGMENTER = "segmenter"


class QueueOrder(StrEnum):
    """The order in which open tasks are leased."""

    IMPORTED = "imported"
    LEAST_CONFIDENT = "least-confident"
    MOST_DISAGREEMENT = "most-disagreement"


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A stored picture.

    Attributes:
        sha256: the digest of its pixels.
        name: what it was called.
        size: in pixels.
        added_at: when it came.
        original: the name of its original file, if that is kept; None for a PNG of its pixels.
    """

    sha256: str
    name: str
    size: ImageSize
    added_at: float
    original: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A picture and an instruction to be annotated.

    Attributes:
        id: the task's number; tasks are numbered as they came in.
        sha256: the picture.
        picture_name: the name of the picture's file; any text, never a path to follow.
        image_size: the picture's size in pixels.
        instruction: what to segment.
        created_at: when it was added.
        prediction_id: the newest prediction for the present instruction, if any.
        confidence: the segmenter's own estimate for the weakest of its objects, in [0, 1]; None without a prediction.
        disagreement: how much sampled completions disagree; None without samples.
        current_id: the current revision (see `AnnotationStore.current`); None while the task is open.
    """

    id: int
    sha256: str
    picture_name: str
    image_size: ImageSize
    instruction: str
    created_at: float
    prediction_id: int | None
    confidence: float | None
    disagreement: float | None
    current_id: int | None

    @property
    def open(self) -> bool:
        """Whether it is undecided."""
        return self.current_id is None


@dataclass(frozen=True, slots=True, eq=False)
class SampledCompletion:
    """One sampled completion: its text, the union of its masks, and its reward where the ground truth was known."""

    completion: str
    mask: Mask
    reward: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredPrediction:
    """A prediction and where it came from.

    Attributes:
        id, task_id: its number, and the task it was made for.
        prediction: what policy and segmenter produced.
        checkpoint_hash: hash of the policy's weights.
        confidence, disagreement: see `Task`.
        created_at: when it was stored.
        content_hash: SHA-256 of everything above but the numbers.
    """

    id: int
    task_id: int
    prediction: Prediction
    checkpoint_hash: str
    confidence: float
    disagreement: float | None
    created_at: float
    content_hash: str


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedObject:
    """One object of a correction; its mask can be recomputed from its parts.

    Attributes:
        prompt: box, points and class name.
        segmented: the segmenter's mask for the prompt; all False for an object that is only painted.
        painted: pixels added by brush, or by filling small holes, or None.
        erased: pixels removed by eraser, or as small parts, or None.
        refined_from: the mask that was given to the segmenter as its mask input, or None.
        cleaned: whether some of these pixels come from cleaning: small parts removed, small holes filled.
    """

    prompt: ObjectPrompt
    segmented: Mask
    painted: Mask | None = None
    erased: Mask | None = None
    refined_from: Mask | None = None
    cleaned: bool = False

    def __post_init__(self) -> None:
        for layer in ("segmented", "painted", "erased", "refined_from"):
            mask = getattr(self, layer)
            if mask is not None and (mask.dtype != np.bool_ or mask.shape != self.segmented.shape or mask.ndim != 2):
                raise ValueError(
                    f"{layer} is a bool (height, width) array like segmented, not {mask.dtype} {mask.shape}"
                )

    @property
    def size(self) -> ImageSize:
        """(width, height) of the masks."""
        height, width = self.segmented.shape
        return ImageSize(width, height)

    @property
    def mask(self) -> Mask:
        """The object's final mask: segmented, without the erased pixels, with the painted ones."""
        return compose_layers(self.segmented, self.painted, self.erased)


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """A decision and its objects.

    Attributes:
        verdict: the decision.
        objects: the final objects; all of one size.
        reason: why it was rejected; None for any other verdict.
        comment: any text of at most `MAX_COMMENT` characters.
        seconds: working time it took, at most `MAX_SECONDS`.
        clicks: edits it took, at most `MAX_CLICKS`.

    Raises:
        InvalidCorrectionError: for numbers out of these bounds, for NaN, a float of clicks or a bool; for a reason
            without a reject or the other way round; for masks of several sizes.
    """

    verdict: Verdict
    objects: tuple[AnnotatedObject, ...] = ()
    reason: RejectReason | None = None
    comment: str = ""
    seconds: float = 0.0
    clicks: int = 0

    def __post_init__(self) -> None:
        if (self.verdict is Verdict.REJECT) != (self.reason is not None):
            raise InvalidCorrectionError("a reject needs a reason, and only a reject has one")
        if not is_number(self.seconds, MAX_SECONDS) or not is_count(self.clicks, MAX_CLICKS):
            raise InvalidCorrectionError(
                f"seconds must be from 0 to {MAX_SECONDS:.0f} and clicks a whole number from 0 to {MAX_CLICKS}; "
                f"got {self.seconds!r} and {self.clicks!r}"
            )
        if len(self.comment) > MAX_COMMENT:
            raise InvalidCorrectionError(f"a comment has at most {MAX_COMMENT} characters, not {len(self.comment)}")
        if len({made.segmented.shape for made in self.objects}) > 1:
            raise InvalidCorrectionError("all objects of a picture have masks of its size")

    @property
    def prompts(self) -> tuple[ObjectPrompt, ...]:
        return tuple(made.prompt for made in self.objects)


@dataclass(frozen=True, slots=True, eq=False)
class Revision:
    """A saved correction; never changed afterwards.

    Attributes:
        id, task_id: its number, and its task.
        instruction: the task's instruction when it was saved.
        annotator: who saved it.
        parent_id: the same annotator's revision before it; None for the first.
        origin_id: the revision it restores or was started from, if any.
        prediction_id: the prediction it corrects; None when it was drawn from scratch.
        correction: decision, objects and cost.
        mask: the union of the objects' masks.
        before: the policy's prompts.
        change: how the prompts differ from ``before``.
        policy_iou: IoU of the policy's mask with ``mask``; None without a prediction.
        blame: whose mistake it corrects; None when nobody's, or undecidable.
        reasoning, completion, policy_id, segmenter_id, checkpoint_hash: of the prediction; empty without one.
        created_at: when it was saved.
        content_hash: SHA-256 of everything but the numbers: equal wherever the revision is copied to.
    """

    id: int
    task_id: int
    instruction: str
    annotator: str
    parent_id: int | None
    origin_id: int | None
    prediction_id: int | None
    correction: Correction
    mask: Mask
    before: tuple[ObjectPrompt, ...]
    change: PromptChange
    policy_iou: float | None
    blame: Blame | None
    reasoning: str
    completion: str
    policy_id: str
    segmenter_id: str
    checkpoint_hash: str
    created_at: float
    content_hash: str


class StaleRevisionError(StoreError):
    """A save on a revision that is no longer the annotator's newest; nothing was stored.

    Attributes:
        newest: the revision that is. Saving again with ``parent_id=newest.id`` puts the correction on top of it.
    """

    def __init__(self, newest: Revision) -> None:
        super().__init__(
            "This task was saved in the meantime, in another window or by another process: keep that version, or save "
            "yours on top of it."
        )
        self.newest = newest


@dataclass(frozen=True, slots=True)
class Feedback:
    """Training data of one task: its current revision, or one that was current once.

    Masks stay encoded until asked for, so that a whole store of feedback fits into memory.

    Attributes:
        task_id, revision_id: where it comes from.
        sha256, image_size: the picture.
        instruction: what was asked for.
        annotator: who saved it.
        verdict, reason: the decision.
        mask_rle: the final mask of an accept or fix; None for a reject, which says nothing about the right mask.
        rejected_rle: the policy's mask that was rejected; None for any other verdict or without a prediction.
        objects: the corrected prompts of an accept or fix; empty for a reject.
        object_rles: the final masks of these objects, whose union is the final mask.
        unedited: whether it was accepted as the policy and the segmenter made it.
        policy_iou, blame, completion, checkpoint_hash, content_hash: see `Revision`.
    """

    task_id: int
    revision_id: int
    sha256: str
    image_size: ImageSize
    instruction: str
    annotator: str
    verdict: Verdict
    reason: RejectReason | None
    mask_rle: Rle | None
    rejected_rle: Rle | None
    objects: tuple[ObjectPrompt, ...]
    object_rles: tuple[Rle, ...]
    unedited: bool
    policy_iou: float | None
    blame: Blame | None
    reasoning: str
    completion: str
    checkpoint_hash: str
    content_hash: str

    @property
    def mask(self) -> Mask | None:
        """``mask_rle`` decoded: bool (height, width)."""
        return decode_rle(self.mask_rle) if self.mask_rle else None

    @property
    def object_masks(self) -> tuple[Mask, ...]:
        """``object_rles`` decoded: bool (height, width) each."""
        return tuple(map(decode_rle, self.object_rles))

    @property
    def rejected_mask(self) -> Mask | None:
        """``rejected_rle`` decoded: bool (height, width)."""
        return decode_rle(self.rejected_rle) if self.rejected_rle else None


@dataclass(frozen=True, slots=True)
class Draft:
    """An unfinished correction, as text in the canvas's own format."""

    content: str
    saved_at: float


@dataclass(frozen=True, slots=True)
class WorkTotals:
    """Totals of work.

    Attributes:
        done: tasks decided: accepted, fixed or rejected, by each person's latest revision only.
        verdicts: how often each verdict is somebody's latest.
        revisions: saves, including superseded ones.
        clicks, seconds: effort of all saves.
        iou_gained: mean of 1 - IoU of the policy's mask with the final one, over accepts and fixes of a prediction;
            None when there is none.
    """

    done: int
    verdicts: Mapping[Verdict, int]
    revisions: int
    clicks: int
    seconds: float
    iou_gained: float | None

    @property
    def per_hour(self) -> float | None:
        """Tasks decided per hour of working time; None before any time was spent."""
        return self.done * 3600 / self.seconds if self.seconds >= 1e-3 else None


@dataclass(frozen=True, slots=True)
class Statistics:
    """The progress of a store.

    Attributes:
        tasks, open_tasks: how many tasks there are, and how many nobody decided.
        total: all work.
        by_annotator: by name.
        by_checkpoint: by (policy id, checkpoint hash); both empty for work without a prediction.
        by_day: by UTC day, as YYYY-MM-DD, in order.
    """

    tasks: int
    open_tasks: int
    total: WorkTotals
    by_annotator: Mapping[str, WorkTotals]
    by_checkpoint: Mapping[tuple[str, str], WorkTotals]
    by_day: Mapping[str, WorkTotals]


@dataclass(frozen=True, slots=True)
class AnnotatorAgreement:
    """Mean pairwise IoU of different annotators' masks of the same task.

    Attributes:
        by_task: per task with at least two people's masks.
        by_pair: per pair of people, names in order.
    """

    by_task: Mapping[int, float]
    by_pair: Mapping[tuple[str, str], float]
