"""Several answers to one question, and the one that agrees best; with the real embedded models."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from segr1_app.domain import Effort, ImageSize
from segr1_app.geometry import resize_nearest
from segr1_app.images.pictures import picture_from_array
from segr1_app.language.codec import PRESETS
from segr1_app.metrics import iou
from segr1_app.models.effort import (
    BUDGETS,
    NEARLY_THE_SAME,
    Candidate,
    Consensus,
    compared_size,
    find_consensus,
    predict_candidate,
)
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from tests.scenes import ellipse_scene

PICTURE, TRUTH = ellipse_scene(320, 240, (0.4, 0.5), (0.2, 0.25))
TASK = PRESETS[0].text


def test_a_quick_answer_is_the_first_one(pipeline: Pipeline) -> None:
    first = pipeline.run(PICTURE, TASK)
    found = find_consensus(pipeline, PICTURE, first, Effort.QUICK)
    assert found.prediction is first
    assert [each.completion for each in found.candidates] == [first.completion]


def test_the_answer_that_agrees_best_is_taken_whole(pipeline: Pipeline) -> None:
    first = pipeline.run(PICTURE, TASK)
    found = find_consensus(pipeline, PICTURE, first, Effort.CAREFUL, seed=3)
    best, *others = found.candidates
    assert 1 <= len(found.candidates) <= BUDGETS[Effort.CAREFUL].samples + 1
    assert all(best.mean_iou >= other.mean_iou for other in others)
    # Prompts, reasoning and mask are one answer's own.
    assert found.prediction.completion == best.completion
    assert iou(resize_nearest(found.prediction.mask, compared_size(PICTURE.size)), best.mask) > 0.98
    again = predict_candidate(pipeline, PICTURE, first, best.completion)
    assert np.array_equal(found.prediction.mask, again.mask)
    assert found.prediction.objects == again.objects
    assert found.prediction.mask.shape == (240, 320)
    assert found.prediction.seconds["total"] >= found.prediction.seconds["effort"] > 0
    assert iou(found.prediction.mask, TRUTH) > 0.5


def test_a_wrong_first_answer_is_outvoted(pipeline: Pipeline) -> None:
    first = pipeline.run(PICTURE, TASK)
    away = ~TRUTH & (np.arange(320) > 300)[None]
    wrong = replace(first, completion="<think> wrong </think>", mask=away)
    found = find_consensus(pipeline, PICTURE, wrong, Effort.CAREFUL, seed=3)
    assert found.prediction.completion != wrong.completion
    assert found.candidates[-1].completion == wrong.completion


def test_the_same_seed_gives_the_same_answer(pipeline: Pipeline) -> None:
    first = pipeline.run(PICTURE, TASK)
    one, two = (find_consensus(pipeline, PICTURE, first, Effort.CAREFUL, seed=5) for _ in range(2))
    assert [each.completion for each in one.candidates] == [each.completion for each in two.candidates]
    assert one.prediction.image_size == ImageSize(320, 240)


@pytest.mark.parametrize("effort", [Effort.CAREFUL, Effort.THOROUGH])
def test_a_policy_that_abstains_every_time_still_answers(pipeline: Pipeline, effort: Effort) -> None:
    empty = replace(pipeline.run(PICTURE, TASK), mask=np.zeros((240, 320), dtype=bool))
    assert find_consensus(pipeline, PICTURE, empty, effort).prediction.mask.shape == (240, 320)


def test_masks_of_large_pictures_are_compared_small(pipeline: Pipeline) -> None:
    large = picture_from_array(np.repeat(np.repeat(PICTURE.pixels, 5, axis=0), 5, axis=1))
    found = find_consensus(pipeline, large, pipeline.run(large, TASK), Effort.CAREFUL, seed=3)
    assert {each.mask.shape for each in found.candidates} == {(192, 256)}
    assert found.prediction.mask.shape == (1200, 1600)


def test_choices_differ_to_the_eye(pipeline: Pipeline) -> None:
    first = pipeline.run(PICTURE, TASK)
    found = find_consensus(pipeline, PICTURE, first, Effort.CAREFUL, seed=3)
    shown = found.distinct(4)
    assert shown[0] is found.candidates[0]
    assert 1 <= len(shown) <= 4
    pairs = [(a, b) for a in shown for b in shown if a is not b]
    assert all(iou(a.mask, b.mask) < NEARLY_THE_SAME for a, b in pairs)
    twice = Consensus(first, tuple(Candidate(text, TRUTH, 0.5) for text in "ab"))
    assert len(twice.distinct(4)) == 1


def test_a_pipeline_that_cannot_sample_keeps_the_first_answer(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pipeline, "samples", False)
    first = pipeline.run(PICTURE, TASK)
    assert find_consensus(pipeline, PICTURE, first, Effort.CAREFUL).prediction is first


def test_stopped_sampling_ends_at_once_and_keeps_the_first_answer(pipeline: Pipeline, policy: VlmPolicy) -> None:
    stopped = threading.Event()
    stopped.set()
    whole = policy.sample(PICTURE, TASK, 2, seed=1)
    cut = policy.sample(PICTURE, TASK, 2, seed=1, stopped=stopped)
    assert all(text.startswith(part) and len(part) < 10 < len(text) for text, part in zip(whole, cut, strict=True))
    first = pipeline.run(PICTURE, TASK)
    assert find_consensus(pipeline, PICTURE, first, Effort.CAREFUL, stopped=stopped).prediction is first


def test_stop_also_ends_the_segmenting_of_what_was_sampled(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pipeline.run(PICTURE, TASK)
    stopped, segmented = threading.Event(), []
    segment = Sam2Segmenter.segment

    def segment_once(*given: Any, **named: Any) -> Any:
        segmented.append(given)
        stopped.set()
        return segment(*given, **named)

    monkeypatch.setattr(Sam2Segmenter, "segment", segment_once)
    assert find_consensus(pipeline, PICTURE, first, Effort.CAREFUL, seed=3, stopped=stopped).prediction is first
    assert len(segmented) == 1
