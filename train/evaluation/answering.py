"""Get one answer for one picture, to be scored: the policy's, or the segmenter's for prompts from the ground truth.

A malformed completion gives an answer too: the mask of what could be read, which is empty if nothing could be.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from segr1_app.domain import Effort, Mask, ObjectPrompt
from segr1_app.geometry import add_point
from segr1_app.images.pictures import Picture
from segr1_app.language.protocol import TaskKind
from segr1_app.models.completions import segment_prompts
from segr1_app.models.effort import find_consensus
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import Policy
from segr1_app.models.segmenter import Segmenter
from train.data.prompting import corrective_click, oracle_prompt


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatedAnswer:
    """A scored answer.

    Attributes:
        mask: bool (height, width), the union of the objects' masks.
        well_formed: whether the completion follows the grammar; None if no policy was run.
        confidence: the segmenter's own estimate of the IoU; None unless exactly one object was decoded.
        seconds: wall time by stage.
        objects: the prompts, in the picture's pixels.
        completion: the policy's raw text; empty if no policy was run.
    """

    mask: Mask
    well_formed: bool | None
    confidence: float | None
    seconds: Mapping[str, float]
    objects: tuple[ObjectPrompt, ...] = ()
    completion: str = ""


def find_answer(
    picture: Picture,
    truth: Mask,
    *,
    segmenter: Segmenter,
    policy: Policy | None,
    instruction: str,
    clicks: int = 0,
    task: TaskKind = TaskKind.FREE,
    effort: Effort = Effort.QUICK,
) -> EvaluatedAnswer:
    """Get the answer for one picture.

    Args:
        picture: the picture.
        truth: bool (height, width) of the picture; used only for prompts from the ground truth and for clicks.
        segmenter: makes the masks.
        policy: prompts the segmenter; None for the ground truth's box and deepest point.
        instruction: the instruction for the policy.
        clicks: number of corrective clicks after the first answer.
        task: the kind of request.
        effort: how much work the policy's answer is worth.

    Raises:
        ModelError: when a model runs out of memory.
        SegR1Error: when the instruction is empty or too long.
    """
    if policy is None:
        answer = _from_truth(segmenter, picture, truth)
    else:
        pipeline = Pipeline(policy, segmenter)
        first = pipeline.run(picture, instruction, task)
        prediction = find_consensus(pipeline, picture, first, effort, task=task).prediction
        answer = EvaluatedAnswer(
            mask=prediction.mask,
            well_formed=prediction.well_formed,
            confidence=prediction.masks[0].confidence if len(prediction.masks) == 1 else None,
            seconds=prediction.seconds,
            objects=prediction.objects,
            completion=prediction.completion,
        )
    return _corrected(segmenter, picture, answer, truth=truth, clicks=clicks)


def _from_truth(segmenter: Segmenter, picture: Picture, truth: Mask) -> EvaluatedAnswer:
    objects = (oracle_prompt(truth),) if truth.any() else ()
    started = time.perf_counter()
    embedding = segmenter.encode(picture)
    encoded = time.perf_counter()
    masks, union = segment_prompts(objects, picture, segmenter, embedding=embedding)
    decoded = time.perf_counter()
    return EvaluatedAnswer(
        mask=union,
        well_formed=None,
        confidence=masks[0].confidence if masks else None,
        seconds={"encode": encoded - started, "decode": decoded - encoded, "total": decoded - started},
        objects=objects,
    )


def _corrected(
    segmenter: Segmenter, picture: Picture, answer: EvaluatedAnswer, *, truth: Mask, clicks: int
) -> EvaluatedAnswer:
    """The answer after corrective clicks, each given to the object whose box is nearest to it."""
    spent = []
    for _ in range(clicks):
        click = corrective_click(answer.mask, truth)
        if click is None:
            break
        objects = add_point(answer.objects, click)
        started = time.perf_counter()
        masks, mask = segment_prompts(objects, picture, segmenter)
        spent.append(time.perf_counter() - started)
        confidence = masks[0].confidence if len(masks) == 1 else None
        answer = replace(answer, mask=mask, confidence=confidence, objects=objects)
    return replace(answer, seconds={**answer.seconds, "click": statistics.fmean(spent)}) if spent else answer
