"""The reward of Seg-R1 (arXiv 2506.22624, section 3.2) and optional terms.

``format + 0.7 IoU + 0.3 S-measure`` by default. These are pure functions of values: the page shows rewards live,
training optimises them, evaluation prints them; all call `score`. Masks are bool (height, width) of the original
picture, prompts are in its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segr1_app import metrics
from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt, Point, Prediction, SettingsError
from segr1_app.geometry import box_iou
from segr1_app.matching import match

IOU_WEIGHT, S_MEASURE_WEIGHT = 0.7, 0.3
"""Weights of the two terms of the mask reward, as in Seg-R1."""
REJECTED_IOU_FROM = 0.5
"""An answer whose IoU with a rejected mask exceeds this counts as the same mistake."""
MAX_PROMPT_MATCH = 0.2
"""Largest allowed weight of matching the annotator's prompts: other prompts may lead to the same mask."""
POINT_REACH = 0.1
"""Distance, as a fraction of the picture's diagonal, from which two points do not match at all."""


@dataclass(frozen=True, slots=True)
class RewardOptions:
    """Optional terms in addition to the reward of Seg-R1; everything is off by default.

    Attributes:
        prompt_match: weight, up to 0.2, of the match of boxes and points with the annotator's: a continuous form of the
            box and point rewards of Seg-Zero (arXiv 2503.06520).
        match_objects: where the ground truth separates its objects, the IoU is computed per object under the best
            assignment, as in VisionReasoner (arXiv 2505.12081).
        abstention: weight of correctly saying "there is no such object", as in GenSeg-R1-G (arXiv 2602.09701); without
            it, rows without an object cannot be scored.
        rejection: weight λ of the penalty ``-λ max(0, IoU - 0.5)`` on overlap with a rejected mask, an addition of this
            project; without it, rows with only a rejected mask cannot be scored.
        whole_answers: whether an answer without boxes or points gets a mask reward of 0, as in Seg-R1's training.
        soft_length: (most, margin) in tokens: the soft overlong punishment of DAPO (arXiv 2503.14476, equation 13).

    Raises:
        SettingsError: for a weight that is negative or too large, or a margin that exceeds the length.
    """

    prompt_match: float = 0.0
    match_objects: bool = False
    abstention: float = 0.0
    rejection: float = 0.0
    whole_answers: bool = False
    soft_length: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.prompt_match <= MAX_PROMPT_MATCH:
            raise SettingsError(f"reward.prompt_match is {self.prompt_match}: 0 to {MAX_PROMPT_MATCH} is allowed.")
        for name, weight in (("abstention", self.abstention), ("rejection", self.rejection)):
            if not 0 <= weight < math.inf:
                raise SettingsError(f"reward.{name} is {weight}: a finite number of at least 0 is needed.")
        if self.soft_length is not None and not 0 < self.soft_length[1] <= self.soft_length[0]:
            raise SettingsError(
                f"reward.soft_length is {list(self.soft_length)}: the most tokens and a margin of 1 to as many."
            )


SEG_R1 = RewardOptions()
"""The reward of the paper."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The result of a completion.

    Attributes:
        well_formed: whether it follows the requested grammar.
        mask: bool (height, width), the union of ``masks``.
        masks: one per object; needed only where objects are matched.
        objects: the mask prompts, in original pixels; needed only where prompts are matched.
        abstains: whether it is a well-formed statement that there is no such object.
        tokens: its length in tokens; needed only for a soft length.
    """

    well_formed: bool
    mask: Mask
    masks: tuple[Mask, ...] = ()
    objects: tuple[ObjectPrompt, ...] = ()
    abstains: bool = False
    tokens: int = 0

    @classmethod
    def of(cls, prediction: Prediction) -> Answer:
        """Make an answer from the pipeline's prediction."""
        return cls(
            prediction.well_formed,
            prediction.mask,
            tuple(found.mask for found in prediction.masks),
            prediction.objects,
            prediction.abstains and prediction.well_formed,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known about the correct answer. The first of ``absent``, ``mask`` and ``rejected`` that is set decides.

    Attributes:
        mask: the correct mask, bool (height, width).
        rejected: a mask known to be wrong, when the correct one is unknown.
        absent: whether there is no such object in the picture.
        objects: the correct masks of the individual objects, whose union is ``mask``; empty when they are not
            separated.
        prompts: an annotator's prompts for the mask, in original pixels; empty when there are none.
    """

    mask: Mask | None = None
    rejected: Mask | None = None
    absent: bool = False
    objects: tuple[Mask, ...] = ()
    prompts: tuple[ObjectPrompt, ...] = ()


@dataclass(frozen=True, slots=True)
class RewardTerms:
    """The parts of a reward, unweighted, and their weighted sum.

    Attributes:
        format: 1 or 0.
        total: the reward passed to the optimiser.
        iou: with the true mask, in [0, 1]; None where there is none.
        s_measure: in [0, 1], and 0 where the IoU is 0; None where there is no true mask.
        match: with the annotator's prompts, in [0, 1]; None where it was not requested or there are none.
        rejected_overlap: ``max(0, IoU - 0.5)`` with the rejected mask; None where there is none.
        abstention: 1 or 0; None where there is an object.
        overlong: in [-1, 0]; None where no soft length was set.
    """

    format: float
    total: float
    iou: float | None = None
    s_measure: float | None = None
    match: float | None = None
    rejected_overlap: float | None = None
    abstention: float | None = None
    overlong: float | None = None


def score(answer: Answer, truth: Truth, options: RewardOptions = SEG_R1) -> RewardTerms | None:
    """The reward of an answer; None when it cannot be scored.

    None applies to the whole row: an optimiser that summed the remaining terms would treat a missing one as 0.

    Raises:
        TypeError, ValueError: when masks are not bool or not of one shape.
    """
    # Where there is an object, an abstention is not a valid answer.
    format_term = float(answer.well_formed and not answer.abstains)
    terms: dict[str, float] = {}
    if truth.absent:
        if not options.abstention:
            return None
        # An abstention breaks the grammar that asks for objects, but counts as well formed.
        format_term = float(answer.well_formed or answer.abstains)
        terms["abstention"] = float(answer.abstains)
        total = options.abstention * terms["abstention"]
    elif truth.mask is not None:
        objectwise = options.match_objects and truth.objects
        overlap = metrics.iou(answer.mask, truth.mask)
        terms["iou"] = match_objects(answer.masks, truth.objects) if objectwise else overlap
        # A mask that misses the object has the S-measure of an empty one, which is far from 0.
        terms["s_measure"] = metrics.s_measure(answer.mask, truth.mask) if overlap > 0 else 0.0
        total = IOU_WEIGHT * terms["iou"] + S_MEASURE_WEIGHT * terms["s_measure"]
        if options.whole_answers and not (_boxes(answer.objects) and _points(answer.objects)):
            total = 0.0
    elif truth.rejected is not None:
        if not options.rejection:
            return None
        terms["rejected_overlap"] = max(0.0, metrics.iou(answer.mask, truth.rejected) - REJECTED_IOU_FROM)
        total = -options.rejection * terms["rejected_overlap"]
    else:
        return None
    if options.prompt_match and truth.prompts and not truth.absent:
        height, width = answer.mask.shape
        terms["match"] = match_prompts(answer.objects, truth.prompts, ImageSize(width, height))
        total += options.prompt_match * terms["match"]
    if options.soft_length:
        terms["overlong"] = overlong(answer.tokens, *options.soft_length)
        total += terms["overlong"]
    return RewardTerms(format_term, format_term + total, **terms)


def match_objects(found: Sequence[Mask], wanted: Sequence[Mask]) -> float:
    """Mean IoU of objects under the best one-to-one assignment, divided by the larger of the two counts
    (VisionReasoner).
    """
    return _assigned(np.array([[metrics.iou(a, b) for b in wanted] for a in found]), len(found), len(wanted))


def match_prompts(found: Sequence[ObjectPrompt], wanted: Sequence[ObjectPrompt], image_wh: ImageSize) -> float:
    """How close prompts are to an annotator's, in [0, 1]: the mean of the scores of boxes and of points.

    Boxes score their IoU; points with equal labels score by distance, from 1 at distance zero down to 0 at
    `POINT_REACH` of the diagonal; each under the best one-to-one assignment, divided by the larger of the two counts.
    Kinds of prompts that the annotator did not use, boxes or points, are not scored.
    """
    boxes, true_boxes = _boxes(found), _boxes(wanted)
    points, true_points = _points(found), _points(wanted)
    reach = POINT_REACH * math.hypot(*image_wh)
    parts = []
    if true_boxes:
        overlaps = np.array([[box_iou(a, b) for b in true_boxes] for a in boxes])
        parts.append(_assigned(overlaps, len(boxes), len(true_boxes)))
    if true_points:
        nearness = np.array([[_nearness(a, b, reach) for b in true_points] for a in points])
        parts.append(_assigned(nearness, len(points), len(true_points)))
    return sum(parts) / len(parts) if parts else 0.0


def overlong(tokens: int, most: int, margin: int) -> float:
    """DAPO's soft overlong punishment: 0 up to ``most - margin`` tokens, then decreasing linearly to -1 at ``most``."""
    return -min(1.0, max(0.0, (tokens - (most - margin)) / margin))


def _assigned(gains: npt.NDArray[np.float64], rows: int, columns: int) -> float:
    """The greatest sum of one-to-one gains, float (rows, columns), divided by the larger side; 1 when both are
    empty.
    """
    if not rows or not columns:
        return float(rows == columns)
    return float(gains[match(gains, maximize=True)].sum()) / max(rows, columns)


def _boxes(objects: Sequence[ObjectPrompt]) -> list[Box]:
    return [prompt.box for prompt in objects if prompt.box is not None]


def _points(objects: Sequence[ObjectPrompt]) -> list[Point]:
    return [point for prompt in objects for point in prompt.points]


def _nearness(a: Point, b: Point, reach: float) -> float:
    return max(0.0, 1 - math.hypot(a.x - b.x, a.y - b.y) / reach) if a.label == b.label else 0.0
