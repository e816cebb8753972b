"""Think harder: sample several answers to one question and choose the one that agrees best with the others.

A sampling policy rarely errs twice in the same way. From the greedy completion and some samples, the medoid is chosen:
the answer whose mask has the highest mean IoU with those of the others. Prompts, reasoning and mask thus come from a
single answer. Answers about a crop around the first medoid vote too, because the policy sees more detail there. They
are not candidates themselves, because their coordinates are those of the crop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from segr1_app.domain import Effort, ImageSize, Mask, Prediction
from segr1_app.geometry import mask_box, resize_nearest, size_within
from segr1_app.images.pictures import Picture, picture_from_array
from segr1_app.language.protocol import TaskKind
from segr1_app.metrics import iou
from segr1_app.models.completions import read_completion, segment_completion
from segr1_app.models.pipeline import Pipeline


class SampleCounts(NamedTuple):
    """The number of completions sampled for the picture, and for the crop in addition to the greedy one."""

    samples: int
    close_samples: int


BUDGETS: Final = {Effort.CAREFUL: SampleCounts(8, 3), Effort.THOROUGH: SampleCounts(24, 8)}
TEMPERATURE: Final = 0.8
MARGIN: Final = 0.4
"""Margin of the crop around the first medoid's mask on each side, as a fraction of the mask's longer side."""
WORTHWHILE: Final = 0.85
"""The fraction of the picture from which a crop would show almost all of it."""
COMPARED_SIDE: Final = 256
"""The longest side, in pixels, at which masks are compared."""
TOGETHER: Final = 8
"""The number of answers whose windows are encoded together, which is faster; Stop takes effect between them."""
NEARLY_THE_SAME: Final = 0.95
"""Masks with at least this IoU are offered to people as one choice."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One answer.

    Attributes:
        completion: what the policy wrote.
        mask: its mask, bool (height, width), of the whole picture in a small size; see `compared_size`.
        mean_iou: its mean IoU with the masks of all answers, its own included, in [0, 1].
    """

    completion: str
    mask: Mask
    mean_iou: float


@dataclass(frozen=True, slots=True, eq=False)
class Consensus:
    """The result of an effort.

    Attributes:
        prediction: the chosen answer; the first one if no other agrees better.
        candidates: every different answer, the one that agrees best first.
        answers: how many were compared, those about the crop included; 1 where there was nothing to compare.
    """

    prediction: Prediction
    candidates: tuple[Candidate, ...]
    answers: int = 1

    def distinct(self, most: int) -> tuple[Candidate, ...]:
        """The candidates without those whose mask is nearly that of one before; at most ``most``."""
        shown: list[Candidate] = []
        for candidate in self.candidates:
            if len(shown) < most and all(iou(candidate.mask, other.mask) < NEARLY_THE_SAME for other in shown):
                shown.append(candidate)
        return tuple(shown)


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
        task: TaskKind = TaskKind.FREE,
        stopped: Event | None = None,
    ) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class _Question:
    """The question that the answers address."""

    pipeline: Pipeline
    policy: SamplingPolicy
    instruction: str
    task: TaskKind
    seed: int
    stopped: Event

    def sampled(self, picture: Picture, n: int, temperature: float = TEMPERATURE) -> list[str]:
        return self.policy.sample(
            picture,
            self.instruction,
            n,
            temperature=temperature,
            seed=self.seed,
            task=self.task,
            stopped=self.stopped,
        )

    def masks(self, picture: Picture, completions: Iterable[str], size: ImageSize) -> dict[str, Mask]:
        """The mask of each different completion, in a given size; those that Stop leaves time for."""
        segmenter = self.pipeline.segmenter
        request = self.pipeline.policy.request(picture.size, self.instruction, self.task)
        different = list(dict.fromkeys(completions))
        found: dict[str, Mask] = {}
        for start in range(0, len(different), TOGETHER):
            some = different[start : start + TOGETHER]
            if self.stopped.is_set():
                break
            segmenter.prepare(picture, [prompt for each in some for prompt in read_completion(request, each).objects])
            for each in some:
                if self.stopped.is_set():
                    break
                found[each] = segment_completion(request, each, picture, segmenter, size=size).mask
        return found


def find_consensus(
    pipeline: Pipeline,
    picture: Picture,
    first: Prediction,
    effort: Effort,
    *,
    seed: int = 0,
    task: TaskKind = TaskKind.FREE,
    stopped: Event | None = None,
) -> Consensus:
    """Find the answer that agrees best with all sampled ones.

    Args:
        pipeline: its policy gave the first answer.
        picture: the picture of the question.
        first: the greedy answer.
        effort: how many answers to sample. `Effort.QUICK`, and a pipeline that cannot sample, keep the first one.
        seed: makes the samples repeatable.
        task: the kind of request.
        stopped: once it is set, sampling and segmenting end and the first answer is kept.

    Raises:
        ModelError: when a model runs out of memory, or a policy server fails.
    """
    size = compared_size(picture.size)
    own = resize_nearest(first.mask, size)
    kept = Consensus(first, (Candidate(first.completion, own, 1.0),))
    stopped = stopped or Event()
    budget = BUDGETS.get(effort)
    policy = pipeline.policy
    if budget is None or not pipeline.samples or not isinstance(policy, SamplingPolicy):
        return kept
    begun = time.perf_counter()
    question = _Question(pipeline, policy, first.instruction, task, seed, stopped)
    sampled = question.sampled(picture, budget.samples)
    if stopped.is_set():
        return kept
    known = question.masks(picture, (each for each in sampled if each != first.completion), size)
    if stopped.is_set():
        return kept
    known[first.completion] = own
    completions = [first.completion, *sampled]
    masks = [known[completion] for completion in completions]
    voters = [*masks, *_closer_masks(question, picture, _medoid(masks), budget.close_samples)]
    if stopped.is_set():
        return kept
    mean_ious = dict(zip(completions, _mean_ious(masks, voters), strict=True))
    candidates = tuple(
        Candidate(each, known[each], float(mean_ious[each]))
        for each in sorted(mean_ious, key=lambda completion: -mean_ious[completion])
    )
    chosen = candidates[0].completion
    prediction = first if chosen == first.completion else predict_candidate(pipeline, picture, first, chosen, task=task)
    spent = time.perf_counter() - begun
    seconds = {**first.seconds, "effort": spent, "total": first.seconds.get("total", 0.0) + spent}
    return Consensus(replace(prediction, seconds=seconds), candidates, len(voters))


def predict_candidate(
    pipeline: Pipeline, picture: Picture, first: Prediction, completion: str, *, task: TaskKind = TaskKind.FREE
) -> Prediction:
    """The prediction of another answer to the question of ``first``, with masks of the picture's size.

    Raises:
        ModelError: when the segmenter runs out of memory.
    """
    return pipeline.predict_completion(
        picture, first.instruction, completion, first.seconds.get("policy", 0.0), task=task
    )


def compared_size(image_wh: ImageSize) -> ImageSize:
    """The size in which the masks of a picture are compared."""
    return size_within(image_wh, COMPARED_SIDE)


def _closer_masks(question: _Question, picture: Picture, seen: Mask, samples: int) -> list[Mask]:
    """Masks of answers about the crop around ``seen``, in its frame; none if the crop would show nearly all of it."""
    crop = _crop_around(seen)
    if crop is None:
        return []
    height, width = seen.shape
    across, down = picture.size.width / width, picture.size.height / height
    part = picture_from_array(
        np.ascontiguousarray(
            picture.pixels[
                round(crop.top * down) : round(crop.bottom * down),
                round(crop.left * across) : round(crop.right * across),
            ]
        )
    )
    completions = question.sampled(part, 1, temperature=0.0)
    if not question.stopped.is_set():
        completions += question.sampled(part, samples)
    size = ImageSize(crop.right - crop.left, crop.bottom - crop.top)
    known: dict[str, Mask] = {}
    for completion, mask in question.masks(part, completions, size).items():
        whole = np.zeros_like(seen)
        whole[crop.top : crop.bottom, crop.left : crop.right] = mask
        known[completion] = whole
    if question.stopped.is_set():
        return []
    return [known[completion] for completion in completions]


class _Crop(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int


def _crop_around(mask: Mask) -> _Crop | None:
    """The part to zoom in on, in the mask's pixels; None for an empty mask or one that fills the picture."""
    box = mask_box(mask)
    if box is None:
        return None
    height, width = mask.shape
    margin = MARGIN * max(box.x2 - box.x1, box.y2 - box.y1)
    left, top = max(0, math.floor(box.x1 - margin)), max(0, math.floor(box.y1 - margin))
    right, bottom = min(width, math.ceil(box.x2 + margin)), min(height, math.ceil(box.y2 + margin))
    shown = (right - left) * (bottom - top)
    return _Crop(left, top, right, bottom) if shown < WORTHWHILE * width * height else None


def _medoid(masks: Sequence[Mask]) -> Mask:
    return masks[int(np.argmax(_mean_ious(masks, masks)))]


def _mean_ious(masks: Sequence[Mask], voters: Sequence[Mask]) -> npt.NDArray[np.float64]:
    """Each mask's mean IoU with all voters, float (len(masks),); all have the same size."""
    pairs: dict[tuple[int, int], float] = {}

    def overlap(a: Mask, b: Mask) -> float:
        key = (min(id(a), id(b)), max(id(a), id(b)))
        if key not in pairs:
            pairs[key] = iou(a, b)
        return pairs[key]

    return np.array([np.mean([overlap(mask, voter) for voter in voters]) for mask in masks])
