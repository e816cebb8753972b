"""The one path from a picture and an instruction to a mask: policy, codec, segmenter (Seg-R1, section 3)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from segr1_app.config import Settings
from segr1_app.domain import ImageSize, Mask, ObjectMask, Prediction
from segr1_app.geometry import rescale_objects
from segr1_app.images import Picture
from segr1_app.policy import Policy, VlmPolicy
from segr1_app.segmenter import Sam2Segmenter, Segmenter


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the policy's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A policy and a segmenter that work together."""

    policy: Policy
    segmenter: Segmenter

    def stream(self, picture: Picture, instruction: str) -> Iterator[TextDelta | Prediction]:
        """Run and yield the policy's text as it comes, then, last, the prediction.

        Raises:
            ModelError: when a model runs out of memory.
            SegR1Error: when the instruction is empty or too long.
        """
        started = time.perf_counter()
        pieces = []
        for piece in self.policy.stream(picture, instruction):
            pieces.append(piece)
            yield TextDelta(piece)
        spoken = time.perf_counter()
        completion = "".join(pieces)
        policy_wh = self.policy.frame(picture.size)
        parsed = self.policy.dialect.parse(completion, policy_wh)
        objects = rescale_objects(parsed.objects, from_wh=policy_wh, to_wh=picture.size)
        embedding = self.segmenter.encode(picture)
        encoded = time.perf_counter()
        masks = self.segmenter.decode(embedding, objects)
        decoded = time.perf_counter()
        yield Prediction(
            image_size=picture.size,
            instruction=instruction,
            completion=completion,
            policy_size=policy_wh,
            reasoning=parsed.reasoning,
            objects=objects,
            problems=parsed.problems,
            well_formed=parsed.well_formed,
            masks=masks,
            mask=unite(masks, picture.size),
            seconds={
                "policy": spoken - started,
                "encode": encoded - spoken,
                "decode": decoded - encoded,
                "total": decoded - started,
            },
            policy_id=self.policy.model_id,
            segmenter_id=self.segmenter.model_id,
        )

    def run(self, picture: Picture, instruction: str) -> Prediction:
        """The prediction for ``picture``; see `stream`."""
        for event in self.stream(picture, instruction):
            if isinstance(event, Prediction):
                return event
        raise AssertionError("a stream ends with its prediction")


def unite(masks: tuple[ObjectMask, ...], image_wh: ImageSize) -> Mask:
    """The union of ``masks``, as in Seg-R1: bool (height, width) of ``image_wh``, all False when there is none."""
    union: Mask = np.zeros((image_wh.height, image_wh.width), dtype=np.bool_)
    for found in masks:
        union |= found.mask
    return union


def load_models(settings: Settings) -> tuple[VlmPolicy, Sam2Segmenter]:
    """Load both models as ``settings`` say.

    Raises:
        ModelError: when one of them cannot be loaded.
    """
    policy = VlmPolicy.load(
        settings.policy,
        device=settings.device,
        dtype=settings.dtype,
        attention=settings.attention,
        dialect=settings.dialect,
    )
    return policy, Sam2Segmenter.load(settings.segmenter, device=settings.device)
