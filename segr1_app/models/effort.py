"""Think harder: sample several answers to one question and choose the one that agrees best with the others.

A sampling policy rarely errs twice in the same way. From the greedy completion and some samples, the medoid is chosen:
the answer whose mask has the highest mean IoU with those of the others. Prompts, reasoning and mask thus come from a
single answer. Answers about a crop around the first medoid vote too, because the policy sees more detail there. They
are not candidates themselves, because their coordinates are those of the crop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from segr1_app.domain import ImageSize, Mask, Prediction
from segr1_app.geometry import mask_box, resize_nearest
from segr1_app.images import Picture, picture_from_array
from segr1_app.language.protocol import Task
from segr1_app.metrics import iou
from segr1_app.models.completions import Segmented, segment_completion
from segr1_app.models.pipeline import Pipeline


class Effort(StrEnum):
    """How much work to spend on an answer."""

    QUICK = "quick"
    CAREFUL = "careful"
    THOROUGH = "thorough"


class Budget(NamedTuple):
    """The number of completions sampled for the picture, and for the crop in addition to the greedy one."""

    samples: int
    close_samples: int


BUDGETS: Final = {Effort.CAREFUL: Budget(8, 3), Effort.THOROUGH: Budget(24, 8)}
TEMPERATURE: Final = 0.8
MARGIN: Final = 0.4
"""Margin of the crop around the first medoid's mask on each side, as a fraction of the mask's longer side."""
WORTHWHILE: Final = 0.85
"""The fraction of the picture from which a crop would show almost all of it."""
COMPARED_SIDE: Final = 256
"""The longest side, in pixels, at which masks are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One answer.

    Attributes:
        completion: what the policy wrote.
        segmented: its prompts and masks.
        agreement: its mask's mean IoU with those of all answers, including itself, in [0, 1].
    """

    completion: str
    segmented: Segmented
    agreement: float


@dataclass(frozen=True, slots=True, eq=False)
class Consensus:
    """The result of an effort.

    Attributes:
        prediction: the chosen answer; the given one where none agrees better.
        candidates: every distinct answer, in descending order of agreement.
    """

    prediction: Prediction
    candidates: tuple[Candidate, ...]


@runtime_checkable
class SamplingPolicy(Protocol):
    """A policy that can sample completions; see `VlmPolicy.sample`."""

    def sample(
        self,
        picture: Picture,
        instruction: str,
        n: int,
        *,
        temperature: float = 1.0,
        seed: int | None = None,
        task: Task = Task.FREE,
    ) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class _Question:
    """The question that the answers address."""

    pipeline: Pipeline
    instruction: str
    task: Task
    seed: int

    def sampled(self, picture: Picture, n: int, temperature: float = TEMPERATURE) -> list[str]:
        policy = self.pipeline.policy
        assert isinstance(policy, SamplingPolicy)
        return policy.sample(picture, self.instruction, n, temperature=temperature, seed=self.seed, task=self.task)

    def segmented(self, picture: Picture, completions: Sequence[str]) -> dict[str, Segmented]:
        """Each distinct completion, parsed and segmented."""
        request = self.pipeline.policy.request(picture.size, self.instruction, self.task)
        return {
            completion: segment_completion(request, completion, picture, self.pipeline.segmenter)
            for completion in dict.fromkeys(completions)
        }


def find_consensus(
    pipeline: Pipeline, picture: Picture, first: Prediction, effort: Effort, *, seed: int = 0, task: Task = Task.FREE
) -> Consensus:
    """Find the answer that agrees best with all sampled ones.

    Args:
        pipeline: its policy gave the first answer.
        picture: the picture of the question.
        first: the greedy answer.
        effort: how many answers to sample. With `Effort.QUICK`, or a policy that cannot sample, the first one is kept.
        seed: makes the samples repeatable.
        task: the kind of request.

    Raises:
        ModelError: when a model runs out of memory.
    """
    own = Segmented.of(first)
    budget = BUDGETS.get(effort)
    if budget is None or not isinstance(pipeline.policy, SamplingPolicy):
        return Consensus(first, (Candidate(first.completion, own, 1.0),))
    begun = time.perf_counter()
    question = _Question(pipeline, first.instruction, task, seed)
    sampled = question.sampled(picture, budget.samples)
    known = {first.completion: own}
    known |= question.segmented(picture, [each for each in sampled if each not in known])
    completions = [first.completion, *sampled]
    masks = [known[completion].mask for completion in completions]
    voters = [*masks, *_closer_masks(question, picture, _medoid(masks), budget.close_samples)]
    agreements = dict(zip(completions, _agreements(masks, voters), strict=True))
    candidates = tuple(
        Candidate(each, known[each], float(agreements[each]))
        for each in sorted(known, key=lambda own: -agreements[own])
    )
    spent = time.perf_counter() - begun
    return Consensus(_prediction_of(candidates[0], first, spent), candidates)


def _prediction_of(chosen: Candidate, first: Prediction, spent: float) -> Prediction:
    """The chosen answer as a prediction in place of the first one; ``spent`` is the time in seconds it took to find
    it.
    """
    seconds = {**first.seconds, "effort": spent, "total": first.seconds.get("total", 0.0) + spent}
    parsed = chosen.segmented.parsed
    return replace(
        first,
        completion=chosen.completion,
        reasoning=parsed.reasoning,
        objects=parsed.objects,
        problems=parsed.problems,
        well_formed=parsed.well_formed,
        abstains=parsed.abstains,
        masks=chosen.segmented.masks,
        mask=chosen.segmented.mask,
        seconds=seconds,
    )


def _closer_masks(question: _Question, picture: Picture, seen: Mask, samples: int) -> list[Mask]:
    """Masks of answers about the crop around ``seen``, in the picture's frame; none where it would show almost all
    of the picture.
    """
    crop = _crop_around(seen)
    if crop is None:
        return []
    left, top, right, bottom = crop
    part = picture_from_array(np.ascontiguousarray(picture.pixels[top:bottom, left:right]))
    completions = [*question.sampled(part, 1, temperature=0.0), *question.sampled(part, samples)]
    known: dict[str, Mask] = {}
    for completion, found in question.segmented(part, completions).items():
        whole = np.zeros_like(seen)
        whole[top:bottom, left:right] = found.mask
        known[completion] = whole
    return [known[completion] for completion in completions]


def _crop_around(mask: Mask) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the crop; None for an empty mask or one that fills the picture."""
    box = mask_box(mask)
    if box is None:
        return None
    height, width = mask.shape
    margin = MARGIN * max(box.x2 - box.x1, box.y2 - box.y1)
    left, top = max(0, math.floor(box.x1 - margin)), max(0, math.floor(box.y1 - margin))
    right, bottom = min(width, math.ceil(box.x2 + margin)), min(height, math.ceil(box.y2 + margin))
    shown = (right - left) * (bottom - top)
    return (left, top, right, bottom) if shown < WORTHWHILE * width * height else None


def _medoid(masks: Sequence[Mask]) -> Mask:
    return masks[int(np.argmax(_agreements(masks, masks)))]


def _agreements(masks: Sequence[Mask], voters: Sequence[Mask]) -> npt.NDArray[np.float64]:
    """The mean IoU of each mask with all voters, float (len(masks),)."""
    height, width = masks[0].shape
    scale = min(1.0, COMPARED_SIDE / max(height, width))
    size = ImageSize(max(1, round(width * scale)), max(1, round(height * scale)))
    small: dict[int, Mask] = {id(mask): resize_nearest(mask, size) for mask in (*masks, *voters)}
    pairs: dict[tuple[int, int], float] = {}

    def overlap(a: Mask, b: Mask) -> float:
        key = (min(id(a), id(b)), max(id(a), id(b)))
        if key not in pairs:
            pairs[key] = iou(small[id(a)], small[id(b)])
        return pairs[key]

    return np.array([np.mean([overlap(mask, voter) for voter in voters]) for mask in masks])
