"""ZeroGPU: a Space that has a GPU only while one function runs, in a process forked for it.

The steps that need the GPU, generating the policy's text and encoding the picture, are one such function. Its results
are pickled, the embedding as CPU tensors: a copy of the segmenter on the CPU decodes prompts and clicks, which costs no
GPU quota. Other machines use none of this and do not need the ``spaces`` package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import cv2
import torch

from segr1_app.domain import ModelError, Prediction, SegR1Error
from segr1_app.images.pictures import Picture
from segr1_app.language.protocol import TaskKind
from segr1_app.models.pipeline import EncodedAnswer, Pipeline
from segr1_app.models.segmenter import Sam2Segmenter

GPU_SECONDS: Final = 60
"""Longest GPU time of one answer; unused time costs nothing."""

Border = Callable[[Picture, str, TaskKind], Iterator[str | EncodedAnswer | SegR1Error]]
"""`Pipeline.stream_answer` in another process."""


@dataclass(frozen=True, slots=True)
class ZeroPipeline(Pipeline):
    """A pipeline that uses a temporarily assigned GPU.

    Attributes:
        policy: defines requests and how answers are read; it is not run in this process.
        segmenter: on the CPU; receives the embeddings made on the GPU.
        border: the function that runs on the GPU.
        refusal: the exception that ``border`` raises when no GPU is available, or when it is withdrawn.
    """

    segmenter: Sam2Segmenter
    border: Border
    refusal: type[Exception]

    @property
    def samples(self) -> bool:
        return False

    def stream_answer(
        self, picture: Picture, instruction: str, task: TaskKind = TaskKind.FREE
    ) -> Iterator[str | EncodedAnswer]:
        try:
            for part in self.border(picture, instruction, task):
                if isinstance(part, SegR1Error):
                    raise part
                if isinstance(part, EncodedAnswer):
                    self.segmenter.remember(picture, part.embedding)
                yield part
        except self.refusal as error:
            raise ModelError(f"ZeroGPU provides no GPU for this: {error}") from error

    def run_together(self, asked: Sequence[tuple[Picture, str]]) -> list[Prediction]:
        return [self.run(picture, instruction) for picture, instruction in asked]


def on_zero_gpu(pipeline: Pipeline, segmenter: Sam2Segmenter, refusal: type[Exception]) -> ZeroPipeline:
    """The same pipeline, run on a temporarily assigned GPU.

    Args:
        pipeline: its models are on the GPU; ZeroGPU moves them there when it provides one.
        segmenter: the same segmenter on the CPU.
        refusal: the exception of the ``spaces`` package when no GPU is available; its message is for the visitor.
    """

    # A separate function for every pipeline: a forked process keeps the models that existed then.
    def stream_answer(
        picture: Picture, instruction: str, task: TaskKind = TaskKind.FREE
    ) -> Iterator[str | EncodedAnswer | SegR1Error]:
        # A forked process has none of its parent's compute threads and would wait for them forever.
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        try:
            for part in pipeline.stream_answer(picture, instruction, task):
                yield EncodedAnswer(part.embedding.on_cpu(), part.seconds) if isinstance(part, EncodedAnswer) else part
        except SegR1Error as error:
            # Of a raised exception, only the class name would be returned.
            yield error

    border: Border = import_module("spaces").GPU(stream_answer, duration=GPU_SECONDS)
    return ZeroPipeline(pipeline.policy, segmenter, border, refusal)
