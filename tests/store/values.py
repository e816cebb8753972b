"""Small pictures, predictions and corrections for the tests of the store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segr1_app.domain import Box, ImageSize, Mask, ObjectMask, ObjectPrompt, Point, Prediction
from segr1_app.images.pictures import Picture, picture_from_array
from segr1_app.store import AnnotatedObject, Correction, RejectReason, Verdict

WIDTH, HEIGHT = 40, 30
PROMPT = ObjectPrompt(Box(5, 10, 25, 20), (Point(7.125, 12, 1), Point(1, 1, 0), Point(20, 18, 1)), "cat")


def picture(seed: int = 0) -> Picture:
    return picture_from_array(np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))


def rectangle(x1: int, y1: int, x2: int, y2: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y1:y2, x1:x2] = True
    return mask


def prediction(mask: Mask | None = None, *, instruction: str = "the cat", confidence: float = 0.9) -> Prediction:
    found = rectangle(5, 10, 25, 20) if mask is None else mask
    return Prediction(
        image_size=ImageSize(WIDTH, HEIGHT),
        instruction=instruction,
        completion="<think> a cat </think> <bbox>[5,10,25,20]</bbox>",
        policy_size=ImageSize(56, 28),
        reasoning="a cat",
        objects=(PROMPT,),
        problems=("<points> is missing",),
        well_formed=False,
        masks=(ObjectMask(found, confidence),),
        mask=found,
        seconds={"policy": 0.5},
        policy_id="policy",
        segmenter_id="segmenter",
    )


def corrected(
    *masks: Mask,
    verdict: Verdict = Verdict.FIX,
    prompts: Sequence[ObjectPrompt] | None = None,
    comment: str = "",
    seconds: float = 8.0,
    clicks: int = 3,
) -> Correction:
    objects = tuple(
        AnnotatedObject(prompt, mask) for prompt, mask in zip(prompts or [PROMPT] * len(masks), masks, strict=True)
    )
    return Correction(verdict, objects, comment=comment, seconds=seconds, clicks=clicks)


def rejected(reason: RejectReason = RejectReason.GROUNDING) -> Correction:
    return Correction(Verdict.REJECT, reason=reason)


SKIPPED = Correction(Verdict.SKIP)
