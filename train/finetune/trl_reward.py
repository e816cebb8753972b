"""The reward of `segr1_app.rewards` as a function for trl, and what it needs: a mask for every completion.

The mask is the one that the app shows for the same text, made by the same `Sam2Segmenter.segment`: a segmenter that
zooms looks at the part of the picture that a prompt is about, and finds nothing where a prompt points at nothing. What
the completions of a group look at is encoded together and once, and not at all while the segmenter's cache has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from segr1_app.images import Picture
from segr1_app.language.codec import Grammar
from segr1_app.language.protocol import Request, Stage, Task
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
        policy: tells what is asked and how completions are read.
        segmenter: makes the masks.
        grammar: what the policy is asked to write.
        max_tokens: most tokens of an answer that is asked for; None for what the policy takes by itself.
    """

    policy: VlmPolicy
    segmenter: Segmenter
    grammar: Grammar = Grammar.FULL
    max_tokens: int | None = None

    @property
    def stage(self) -> Stage:
        """When the policy is asked."""
        return Stage.of(self.grammar)

    def request(self, picture: Picture, task: Task = Task.FREE) -> Request:
        """How completions about a picture are read; the instruction changes the words and not that."""
        return self.policy.request(picture.size, "-", task, self.stage)

    def prepare(self, picture: Picture, completions: Sequence[str], task: Task = Task.FREE) -> None:
        """Encode together what the masks of several completions about one picture will be made from.

        Raises:
            ModelError: when the segmenter runs out of memory.
        """
        request = self.request(picture, task)
        read = [read_completion(request, completion) for completion in completions]
        self.segmenter.prepare(picture, [prompt for parsed in read for prompt in parsed.objects])

    def answer(self, picture: Picture, completion: str, tokens: int = 0, task: Task = Task.FREE) -> Answer:
        """The answer of one completion, in the picture's own pixels: the mask that the app shows for it.

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
    """The reward function given to trl: the total of each completion, None where nothing is known to score it by.

    The terms go to trl's metrics as ``terms/SOURCE/TERM``, means over the completions they apply to.
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
