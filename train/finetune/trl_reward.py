"""The reward of `segr1_app.rewards` as a reward function for trl, with the mask of every completion that it needs.

The mask is the one that the app shows for the same text, made by the same `Sam2Segmenter.segment`: a segmenter that
zooms sees only the part of the picture around a prompt, and finds nothing where a prompt points at nothing. The windows
for the completions of a group are encoded together, each once, and not at all if the segmenter's cache has them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from segr1_app.images.pictures import Picture
from segr1_app.language.codec import Grammar
from segr1_app.language.protocol import Request, Stage, TaskKind
from segr1_app.models.completions import read_completion, segment_completion
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Segmenter
from segr1_app.rewards import Answer, RewardOptions, RewardTerms, score
from train.finetune.trl_rows import ExampleReader

SHOWN_TERMS = ("format", "iou", "s_measure", "match", "rejected_overlap", "abstention", "overlong", "total")


@dataclass(frozen=True, slots=True)
class Answerer:
    """Turns completions into answers: the codec reads them, the segmenter makes their masks.

    Attributes:
        policy: defines requests and how completions are read.
        segmenter: makes the masks.
        grammar: the form that the policy is asked to write.
        max_tokens: limit on the tokens of an answer; None for the policy's own.
    """

    policy: VlmPolicy
    segmenter: Segmenter
    grammar: Grammar = Grammar.FULL
    max_tokens: int | None = None

    @property
    def stage(self) -> Stage:
        """The stage: training or inference."""
        return Stage.of(self.grammar)

    def request(self, picture: Picture, task: TaskKind = TaskKind.FREE) -> Request:
        """The request that reads completions about a picture; the instruction only affects the prompt."""
        return self.policy.request(picture.size, "-", task, self.stage)

    def prepare(self, picture: Picture, completions: Sequence[str], task: TaskKind = TaskKind.FREE) -> None:
        """Encode together the windows for several completions about one picture.

        Raises:
            ModelError: when the segmenter runs out of memory.
        """
        request = self.request(picture, task)
        read = [read_completion(request, completion) for completion in completions]
        self.segmenter.prepare(picture, [prompt for parsed in read for prompt in parsed.objects])

    def answer(self, picture: Picture, completion: str, tokens: int = 0, task: TaskKind = TaskKind.FREE) -> Answer:
        """The answer of one completion, in the picture's own pixels, with the same mask that the app shows.

        Raises:
            ModelError: when the segmenter runs out of memory.
        """
        found = segment_completion(self.request(picture, task), completion, picture, self.segmenter)
        return Answer(
            found.parsed.well_formed,
            found.mask,
            tuple(each.mask for each in found.masks),
            found.objects,
            abstains=found.parsed.abstains and found.parsed.well_formed,
            tokens=tokens,
        )


class SegR1Reward:
    """The reward function for trl: the total reward of each completion, None if it cannot be scored.

    The terms go to trl's metrics as ``terms/SOURCE/TERM``, means over the completions to which they apply.
    """

    __name__ = "seg_r1"

    def __init__(self, examples: ExampleReader, answerer: Answerer, options: RewardOptions) -> None:
        self._examples, self._answerer, self._options = examples, answerer, options

    def __call__(
        self,
        completions: Sequence[list[dict[str, str]]],
        completion_ids: Sequence[Sequence[int]],
        index: Sequence[int],
        source: Sequence[str],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        texts = [messages[-1]["content"] for messages in completions]
        groups: dict[int, list[str]] = defaultdict(list)
        for row, text in zip(index, texts, strict=True):
            groups[row].append(text)
        for row, group in groups.items():
            self._answerer.prepare(self._examples[row].picture, group, self._examples.rows[row].task)
        scored = [self.terms(row, text, len(ids)) for row, text, ids in zip(index, texts, completion_ids, strict=True)]
        values: dict[str, list[float]] = defaultdict(list)
        for name, terms in zip(source, scored, strict=True):
            for term in SHOWN_TERMS if terms else ():
                value = getattr(terms, term)
                if value is not None:
                    values[f"terms/{name}/{term}"].append(value)
        for metric, found in values.items():
            log_metric(metric, fmean(found))
        return [terms.total if terms else None for terms in scored]

    def terms(self, index: int, completion: str, tokens: int) -> RewardTerms | None:
        """The terms of one completion of a row."""
        example = self._examples[index]
        task = self._examples.rows[index].task
        return score(self._answerer.answer(example.picture, completion, tokens, task), example.truth, self._options)
