"""The one path from a picture and an instruction to a mask: policy, codec, segmenter (Seg-R1, section 3)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from segr1_app.domain import NotUnderstoodError, Prediction
from segr1_app.images.pictures import Picture
from segr1_app.language.protocol import TaskKind
from segr1_app.models.completions import segment_completion
from segr1_app.models.embeddings import Embedding
from segr1_app.models.loading import model_name
from segr1_app.models.policy import Policy, VlmPolicy
from segr1_app.models.policy_files import read_card
from segr1_app.models.policy_server import ServerPolicy
from segr1_app.models.segmenter import Sam2Segmenter, Segmenter
from segr1_app.models.selection import choose_models
from segr1_app.settings.config import AUTO, DEFAULT_POLICY, POLICY_KEY, Settings


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next chunk of the policy's text."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class EncodedAnswer:
    """Everything needed to decode masks once the policy's text is complete.

    Attributes:
        embedding: the picture's embedding.
        seconds: time of the stages so far.
    """

    embedding: Embedding
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A policy and a segmenter that work together.

    Attributes:
        policy, segmenter: the models.
        overlaps: whether the picture is encoded while the policy generates. Generating token by token leaves most of a
            GPU idle, but uses all of a CPU.
    """

    policy: Policy
    segmenter: Segmenter
    overlaps: bool = field(default=False, kw_only=True)

    def check_understood(self, instruction: str) -> None:
        """Check that the policy was taught the words of an instruction; otherwise it would answer another question.

        Only the embedded policy was taught a fixed set of words.

        Raises:
            NotUnderstoodError: when it was not; the message names the words and says what it understands.
        """
        # A policy that was trained further keeps the embedded one's card, but may know more words.
        card = read_card(DEFAULT_POLICY) if self.policy.model_id == model_name(DEFAULT_POLICY) else None
        unknown = card.unknown_words(instruction) if card else ()
        if card and unknown:
            named = ", ".join(f"'{word}'" for word in unknown[:5])
            more = " and more" if len(unknown) > 5 else ""
            raise NotUnderstoodError(f"This policy was never taught {named}{more}.", card.understands)

    def stream(
        self, picture: Picture, instruction: str, task: TaskKind = TaskKind.FREE
    ) -> Iterator[TextDelta | Prediction]:
        """Run, yielding the policy's text as it is generated and finally the prediction.

        Raises:
            ModelError: when a model runs out of memory.
            SegR1Error: when the instruction is empty or too long.
        """
        pieces: list[str] = []
        for part in self.stream_answer(picture, instruction, task):
            if isinstance(part, EncodedAnswer):
                completion = "".join(pieces)
                yield self._prediction(picture, instruction, completion, part.embedding, part.seconds, task=task)
            else:
                pieces.append(part)
                yield TextDelta(part)

    def stream_answer(
        self, picture: Picture, instruction: str, task: TaskKind = TaskKind.FREE
    ) -> Iterator[str | EncodedAnswer]:
        """The part that needs a GPU: yields the policy's text as it is generated and finally the picture's embedding.

        Raises:
            ModelError, SegR1Error: as `stream`.
        """
        started = time.perf_counter()
        with self._encoding([picture]) as encoded:
            yield from self.policy.stream(picture, instruction, task)
            spoken = time.perf_counter()
            (embedding,) = encoded()
        yield EncodedAnswer(embedding, {"policy": spoken - started, "encode": time.perf_counter() - spoken})

    def run(self, picture: Picture, instruction: str, task: TaskKind = TaskKind.FREE) -> Prediction:
        """The prediction for ``picture``; see `stream`."""
        for event in self.stream(picture, instruction, task):
            if isinstance(event, Prediction):
                return event
        raise AssertionError("a stream ends with its prediction")

    def run_together(self, asked: Sequence[tuple[Picture, str]]) -> list[Prediction]:
        """Predictions for several pictures with their instructions; the policy generates all completions as one batch.
        The total time is divided equally among them.

        Raises:
            ModelError, SegR1Error: as `stream`.
        """
        started = time.perf_counter()
        with self._encoding([picture for picture, _ in asked]) as encoded:
            completions = self.policy.complete(asked)
            spoken = time.perf_counter()
            embeddings = encoded()
        seconds = {"policy": (spoken - started) / len(asked), "encode": (time.perf_counter() - spoken) / len(asked)}
        return [
            self._prediction(picture, instruction, completion, embedding, seconds)
            for (picture, instruction), completion, embedding in zip(asked, completions, embeddings, strict=True)
        ]

    @property
    def samples(self) -> bool:
        """Whether the policy can also be asked for samples in this process."""
        return True

    def predict_completion(
        self, picture: Picture, instruction: str, completion: str, seconds: float, *, task: TaskKind = TaskKind.FREE
    ) -> Prediction:
        """The prediction of a completion that the policy made elsewhere, which took ``seconds``.

        Raises:
            ModelError: when the segmenter runs out of memory.
        """
        started = time.perf_counter()
        embedding = self.segmenter.encode(picture)
        times = {"policy": seconds, "encode": time.perf_counter() - started}
        return self._prediction(picture, instruction, completion, embedding, times, task=task)

    @contextmanager
    def _encoding(self, pictures: Sequence[Picture]) -> Iterator[Callable[[], list[Embedding]]]:
        """A function that returns the pictures' embeddings, computed in parallel where that is faster, else on
        demand.
        """

        def encode() -> list[Embedding]:
            return [self.segmenter.encode(picture) for picture in pictures]

        if not self.overlaps:
            yield encode
            return
        with ThreadPoolExecutor(1, "encode") as beside:
            yield beside.submit(encode).result

    def _prediction(
        self,
        picture: Picture,
        instruction: str,
        completion: str,
        embedding: Embedding,
        seconds: Mapping[str, float],
        *,
        task: TaskKind = TaskKind.FREE,
    ) -> Prediction:
        """The prediction for a completion; ``seconds`` are the times of the previous stages."""
        begun = time.perf_counter()
        request = self.policy.request(picture.size, instruction, task)
        found = segment_completion(request, completion, picture, self.segmenter, embedding=embedding)
        parsed = found.parsed
        stages = {**seconds, "decode": time.perf_counter() - begun}
        return Prediction(
            image_size=picture.size,
            instruction=instruction,
            completion=completion,
            policy_size=request.coordinates,
            reasoning=parsed.reasoning,
            objects=parsed.objects,
            problems=parsed.problems,
            well_formed=parsed.well_formed,
            masks=found.masks,
            mask=found.mask,
            abstains=parsed.abstains,
            asked=request.asked,
            seconds={**stages, "total": sum(stages.values())},
            policy_id=self.policy.model_id,
            segmenter_id=self.segmenter.model_id,
        )


AnyPolicy: TypeAlias = VlmPolicy | ServerPolicy
"""A policy on this machine or on a server."""


def load_models(settings: Settings) -> tuple[AnyPolicy, Sam2Segmenter]:
    """Load both models as configured, choosing those left open. A policy on a server is only addressed, not loaded.

    Raises:
        ModelError: when one of them cannot be loaded.
    """
    settings = choose_models(settings).settings
    return load_policy(settings), Sam2Segmenter.load(settings.segmenter, device=settings.device)


def load_policy(settings: Settings) -> AnyPolicy:
    """Load the policy that the settings name, or address it on its server.

    Raises:
        ModelError, SettingsError: when it cannot be loaded.
    """
    if settings.policy_server is not None:
        key = os.environ.get(POLICY_KEY)
        return ServerPolicy.find(settings.policy_server, settings.policy, protocol=settings.protocol, key=key)
    return VlmPolicy.load(
        settings.policy,
        device=settings.device,
        dtype=settings.dtype,
        attention=settings.attention,
        protocol=settings.protocol,
    )


def load_pipeline(
    policy: str | os.PathLike[str] = AUTO,
    segmenter: str | os.PathLike[str] = AUTO,
    *,
    models: str = AUTO,
    device: str = AUTO,
    dtype: str = AUTO,
    attention: str = AUTO,
    protocol: str = AUTO,
) -> Pipeline:
    """Load a policy and a segmenter. Without arguments: the full pair if it can run right away, else the embedded one.

    The arguments mean the same as the command-line options of the same names; environment variables are not read.

    Args:
        policy: a model folder or a hub id; "auto" for that of ``models``.
        segmenter: a model folder or a hub id; "auto" for that of ``models``.
        models: "auto", "embedded" or "full": the pair to use where the above are "auto".
        device: a torch device such as "cpu" or "cuda:1"; "auto" for the first GPU, else the CPU.
        dtype: the policy's number format: "auto", "float32", "bfloat16" or "float16".
        attention: the policy's attention kernel: "auto", "sdpa", "flash_attention_2" or "eager".
        protocol: how the policy is prompted and its answers are parsed: a name or a YAML file; "auto" for what it was
            trained with.

    Raises:
        SettingsError: when an argument is none of the values above.
        ModelError: when a model cannot be loaded.
    """
    settings = Settings(
        models=models,
        policy=os.fspath(policy),
        segmenter=os.fspath(segmenter),
        device=device,
        dtype=dtype,
        attention=attention,
        protocol=protocol,
    )
    settings.check()
    return working_together(*load_models(settings))


def working_together(policy: AnyPolicy, segmenter: Sam2Segmenter) -> Pipeline:
    """The pipeline of two loaded models; on a GPU they run in parallel."""
    return Pipeline(policy, segmenter, overlaps=segmenter.device.type == "cuda")
