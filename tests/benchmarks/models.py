"""The embedded pair compared with the libraries it wraps: the overhead of this project's classes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import NamedTuple

import numpy as np
import torch
from sam2.sam2_image_predictor import SAM2ImagePredictor

from segr1_app.domain import Box, ObjectPrompt, Point, Prediction
from segr1_app.images.pictures import Picture, picture_from_array
from segr1_app.models.pipeline import Pipeline, TextDelta
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter

INSTRUCTION = "Identify and segment all the primary objects."


def scene(width: int, height: int, seed: int) -> Picture:
    """A bright disc on noise; every seed gives another picture, so that no cache is hit."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    pixels[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 4) ** 2] = (230, 200, 40)
    return picture_from_array(pixels)


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


class Compared(NamedTuple):
    """Median seconds of our way and of the bare one, and the median of the ratios of every turn."""

    ours: float
    bare: float
    ratio: float


def alternate(ours: Callable[[int], object], bare: Callable[[int], object], rounds: int) -> Compared:
    """Alternate between both ways and which goes first, so that a slow moment affects both equally.

    The ratio is taken within a turn: over minutes a machine's speed wanders by more than what is to be seen.
    """
    times: list[tuple[float, float]] = []
    for round_ in range(-1, rounds):
        turn = ((ours, bare), (bare, ours))[round_ % 2]
        taken = {way: seconds(partial(way, round_)) for way in turn}
        if round_ >= 0:
            times.append((taken[ours], taken[bare]))
    with_us, alone = zip(*times, strict=True)
    ratios = (mine / other for mine, other in times)
    return Compared(statistics.median(with_us), statistics.median(alone), statistics.median(ratios))


def run_to_mask(pipeline: Pipeline, rounds: int) -> dict[str, float]:
    """Median seconds from Run to the first text and to the mask, one new 640x480 picture each."""
    first: list[float] = []
    total: list[float] = []
    for round_ in range(-1, rounds):
        picture = scene(640, 480, seed=1000 + round_)
        started = time.perf_counter()
        until_text = None
        for event in pipeline.stream(picture, INSTRUCTION):
            if until_text is None and isinstance(event, TextDelta):
                until_text = time.perf_counter() - started
            if isinstance(event, Prediction) and round_ >= 0:
                total.append(time.perf_counter() - started)
        if until_text is not None and round_ >= 0:
            first.append(until_text)
    return {
        "run to mask, 640x480, s": statistics.median(total),
        "run to first text, s": statistics.median(first),
    }


def policy_overhead(policy: VlmPolicy, rounds: int) -> dict[str, float]:
    """`VlmPolicy.stream` over a bare ``model.generate`` that makes the same tokens from the same picture.

    Both generate in a separate thread: OpenMP keeps a team of workers for each thread, and on a busy machine the
    old team of the main thread waits for its turn six times as long as a new one.
    """
    picture = scene(640, 480, seed=1)

    def generate() -> None:
        with torch.inference_mode():
            policy.model.generate(**policy.model_inputs(picture, INSTRUCTION), do_sample=False)

    def bare(_: int) -> None:
        worker = Thread(target=generate)
        worker.start()
        worker.join()

    found = alternate(lambda _: "".join(policy.stream(picture, INSTRUCTION)), bare, 5 * rounds)
    return {"policy, s": found.ours, "bare generate, s": found.bare, "policy / bare generate": found.ratio}


def segmenter_overhead(segmenter: Sam2Segmenter, rounds: int) -> dict[str, float]:
    """Encode and decode over a bare `SAM2ImagePredictor` with the same picture and prompt."""
    prompt: Sequence[ObjectPrompt] = (ObjectPrompt(Box(200, 120, 440, 360), (Point(320, 240, 1),)),)
    pictures = [scene(640, 480, seed=seed) for seed in range(5 * rounds + 1)]
    bare_predictor = SAM2ImagePredictor(segmenter.model)
    bare_predictor._bb_feat_sizes = [(segmenter.model.image_size // stride,) * 2 for stride in (4, 8, 16)]

    def ours(round_: int) -> None:
        segmenter.decode(segmenter.encode(pictures[round_]), prompt)

    def bare(round_: int) -> None:
        with torch.inference_mode():
            bare_predictor.set_image(pictures[round_].pixels)
            bare_predictor.predict(
                np.array([[320, 240]], np.float32),
                np.array([1]),
                np.array([200, 120, 440, 360]),
                multimask_output=False,
            )

    # So short a call varies by a tenth from one to the next: the median of a few would tell nothing about a twentieth.
    found = alternate(ours, bare, 5 * rounds)
    return {"segmenter, s": found.ours, "bare predictor, s": found.bare, "segmenter / bare predictor": found.ratio}
