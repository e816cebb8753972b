"""The reward of `segr1_app.rewards` as a function that trl calls, and what it needs: a mask for every completion.

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

from segr1_app.domain import ObjectPrompt
from segr1_app.geometry import most_objects, rescale_objects, union_masks
from segr1_app.images import Picture
from segr1_app.language.codec import Grammar, ParsedCompletion
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Segmenter
from segr1_app.rewards import Answer, RewardOptions, RewardTerms, score
from train.finetune.trl_rows import ExampleReader

SHOWN_TERMS = ("format", "iou", "s_measure", "match", "rejected_overlap", "abstention", "overlong", "total")


@dataclass(frozen=True, slots=True)
class Answerer:
    """Turns completions into answers: the codec reads them, the segmenter makes their masks.

    Attributes:
        policy: tells the dialect and the frame in which completions speak.
        segmenter: makes the masks.
        grammar: what the policy is asked to write.
    """

    policy: VlmPolicy
    segmenter: Segmenter
    grammar: Grammar = Grammar.FULL

    def prepare(self, picture: Picture, completions: Sequence[str]) -> None:
        """Encode together what the masks of several completions about one picture will be made from.

        Raises:
            ModelError: when the segmenter runs out of memory.
        """
        self.segmenter.prepare(
            picture, [prompt for completion in completions for prompt in self._read(picture, completion)[1]]
        )

    def answer(self, picture: Picture, completion: str, tokens: int = 0) -> Answer:
        """The answer of one completion, in the picture's own pixels: the mask that the app shows for it.

        Raises:
            ModelError: when the segmenter runs out of memory.
        """
        parsed, objects = self._read(picture, completion)
        masks = self.segmenter.segment(picture, objects)
        abstains = self.policy.dialect.parse(completion, self.policy.frame(picture.size), Grammar.ABSTENTION)
        return Answer(
            parsed.well_formed,
            union_masks((found.mask for found in masks), picture.size),
            tuple(found.mask for found in masks),
            objects,
            abstains=abstains.well_formed,
            tokens=tokens,
        )

    def _read(self, picture: Picture, completion: str) -> tuple[ParsedCompletion, tuple[ObjectPrompt, ...]]:
        """A completion, and its prompts in the picture's pixels: as many as the app decodes."""
        policy_wh = self.policy.frame(picture.size)
        parsed = self.policy.dialect.parse(completion, policy_wh, self.grammar)
        decoded = parsed.objects[: most_objects(picture.size)]
        return parsed, rescale_objects(decoded, from_wh=policy_wh, to_wh=picture.size)


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
            self._answerer.prepare(self._examples[row].picture, group)
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
        return score(self._answerer.answer(example.picture, completion, tokens), example.truth, self._options)
