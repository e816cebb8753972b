"""Policy, codec and segmenter together, with the real embedded models."""

from __future__ import annotations

import itertools
import math
import threading

import numpy as np
import pytest

from segr1_app.domain import ImageSize, Prediction
from segr1_app.geometry import union_masks
from segr1_app.images.pictures import Picture
from segr1_app.language.codec import parse_completion
from segr1_app.metrics import iou
from segr1_app.models.embeddings import Embedding
from segr1_app.models.pipeline import Pipeline, TextDelta
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_SEGMENTER
from tests.scenes import ellipse_scene

INSTRUCTION = "Identify and segment all the primary objects."


def test_a_run_streams_its_text_and_ends_with_the_prediction(pipeline: Pipeline) -> None:
    picture, _ = ellipse_scene(640, 480, (0.4, 0.5), (0.2, 0.3))
    *deltas, prediction = pipeline.stream(picture, INSTRUCTION)
    assert all(isinstance(event, TextDelta) for event in deltas)
    assert isinstance(prediction, Prediction)
    assert prediction.completion == "".join(event.text for event in deltas if isinstance(event, TextDelta))
    assert prediction.well_formed, prediction.problems
    assert prediction.reasoning
    assert prediction.image_size == (640, 480)
    assert prediction.mask.shape == (480, 640)
    assert len(prediction.masks) == len(prediction.objects) >= 1
    assert np.array_equal(prediction.mask, union_masks((found.mask for found in prediction.masks), picture.size))
    assert set(prediction.seconds) == {"policy", "encode", "decode", "total"}
    stages = sum(seconds for stage, seconds in prediction.seconds.items() if stage != "total")
    assert math.isclose(stages, prediction.seconds["total"], rel_tol=1e-6)


def test_prompts_are_the_completions_own_in_original_pixels(pipeline: Pipeline) -> None:
    picture, _ = ellipse_scene(900, 300, (0.7, 0.5), (0.1, 0.3))
    prediction = pipeline.run(picture, INSTRUCTION)
    spoken = parse_completion(prediction.completion, prediction.policy_size)
    scale = (900 / prediction.policy_size.width, 300 / prediction.policy_size.height)
    for written, used in zip(spoken.objects, prediction.objects, strict=True):
        assert written.box is not None
        assert used.box is not None
        assert used.box.xyxy == pytest.approx(
            (written.box.x1 * scale[0], written.box.y1 * scale[1], written.box.x2 * scale[0], written.box.y2 * scale[1])
        )
        assert [point.label for point in used.points] == [point.label for point in written.points]


def test_the_answer_comes_from_the_pixels(pipeline: Pipeline) -> None:
    """Masks fit the picture they were made for; against the truth of another picture the IoU collapses."""
    places = list(itertools.product((0.25, 0.75), (0.25, 0.75)))
    scenes = [
        ellipse_scene(320, 320, place, (0.14 + 0.02 * i, 0.2 - 0.02 * i), seed=i) for i, place in enumerate(places)
    ]
    masks = [pipeline.run(picture, INSTRUCTION).mask for picture, _ in scenes]
    own = np.mean([iou(mask, truth) for mask, (_, truth) in zip(masks, scenes, strict=True)])
    shuffled = np.mean([iou(masks[i], scenes[i - 1][1]) for i in range(len(scenes))])
    assert own > 0.4
    assert shuffled < own / 3


def test_a_union_covers_every_object_and_nothing_else() -> None:
    left, right = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    left[:, :2] = True
    right[1:3, 4:] = True
    assert np.array_equal(union_masks((left, right), ImageSize(6, 4)), left | right)
    assert not union_masks((), ImageSize(6, 4)).any()


def scenes() -> list[Picture]:
    return [
        ellipse_scene(*size, (0.4, 0.5), (0.2, 0.3), seed=size[0])[0] for size in [(320, 160), (160, 320), (90, 90)]
    ]


@pytest.mark.slow
def test_encoding_beside_the_policy_changes_nothing(policy: VlmPolicy) -> None:
    """On threads of its own, whether it is done before the policy or after it."""
    encoders: list[str] = []

    class Watched(Sam2Segmenter):
        def encode(self, picture: Picture) -> Embedding:
            encoders.append(threading.current_thread().name)
            return super().encode(picture)

    segmenter = Watched.load(DEFAULT_SEGMENTER, device="cpu")
    for picture in scenes():
        overlapped = Pipeline(policy, segmenter, overlaps=True).run(picture, INSTRUCTION)
        alone = Pipeline(policy, Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu")).run(picture, INSTRUCTION)
        assert overlapped.completion == alone.completion
        assert np.array_equal(overlapped.mask, alone.mask)
        assert set(overlapped.seconds) == set(alone.seconds)
    assert len(encoders) == 3
    assert all(name.startswith("encode") for name in encoders)


def test_a_run_that_is_left_leaves_no_thread_behind(policy: VlmPolicy, segmenter: Sam2Segmenter) -> None:
    stream = Pipeline(policy, segmenter, overlaps=True).stream(scenes()[0], INSTRUCTION)
    next(stream)
    stream.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("encode", "policy"))]


@pytest.mark.slow
def test_together_is_as_one_by_one(pipeline: Pipeline) -> None:
    asked = [(picture, instruction) for picture in scenes() for instruction in (INSTRUCTION, "Segment the ellipse.")]
    for found, (picture, instruction) in zip(pipeline.run_together(asked), asked, strict=True):
        alone = pipeline.run(picture, instruction)
        assert (found.completion, found.instruction) == (alone.completion, instruction)
        assert np.array_equal(found.mask, alone.mask)
        assert found.seconds["total"] == pytest.approx(
            sum(found.seconds[stage] for stage in ("policy", "encode", "decode"))
        )


def test_a_picture_is_given_no_more_masks_than_memory_holds(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, _ = ellipse_scene(640, 480, (0.4, 0.5), (0.2, 0.3))
    monkeypatch.setattr("segr1_app.geometry.MASK_BYTES", 2 * 640 * 480)
    boxes = "".join(f"<bbox>[{x},10,{x + 20},40]</bbox>" for x in (10, 40, 70))
    said = f"<think> three </think>{boxes}<points>[]</points><labels>[]</labels>"
    embedding = pipeline.segmenter.encode(picture)
    prediction = pipeline._prediction(picture, INSTRUCTION, said, embedding, {})
    assert len(prediction.masks) == len(prediction.objects) == 2
    assert prediction.problems == ("1 objects are left out: a picture of this size can have at most 2 masks",)
