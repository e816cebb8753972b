"""Target answers in trl's format for supervised training, with labels that select the tokens to learn.

The whole completion is learnt for derived and written traces. For a correction only the answer is learnt: the annotator
vouches for points and boxes, but nobody for the policy's reasoning. Where there is no such object, the reasoning says
just that and is learnt, too. With ``whole_conversation``, so is the request before a completion of which all is learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from segr1_app.domain import ImageSize, ObjectPrompt
from segr1_app.geometry import rescale_objects
from segr1_app.language.codec import Grammar, answer_start, can_be_reasoning
from segr1_app.language.protocol import Protocol, Stage
from segr1_app.language.protocol_files import DEFAULT, find_protocol
from segr1_app.language.writing import write_answer
from segr1_app.models.frames import resize_to_frame
from segr1_app.models.policy import VlmPolicy
from train.data.rows import Example
from train.data.traces import Trace, write_trace
from train.finetune.trl_rows import ExampleReader, PromptMaker
from train.scratch.policy_batch import in_whole_pixels
from train.scratch.policy_pictures import IGNORED, mask_in_frame

NOTHING = "the picture is background."
"""The reasoning before an answer without objects, in words that the embedded policy has, too, and often writes."""
UNSPOKEN = "i look for what is asked."
"""The reasoning if there is none and no mask from which to derive it; it is never learnt."""


class TraceMaker:
    """Turns row indices into prompts, pictures and completions on demand.

    Args:
        examples: the rows.
        policy: the policy whose frame the completions use.
        grammar: the form it is asked to write.
        seed: random seed of wording and points in derived traces, which also vary between draws of a row.
        text_first: whether the request's text stands before its picture.
    """

    def __init__(
        self, examples: ExampleReader, policy: VlmPolicy, grammar: Grammar, seed: int, *, text_first: bool = False
    ) -> None:
        self._examples, self._policy, self._grammar, self._seed = examples, policy, grammar, seed
        self._text_first = text_first
        self._prompts = PromptMaker(examples, policy, grammar)

    def __call__(self, batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        """Columns "prompt", "image", "completion" and "learnt_from", of the batch's "index" and "draw".

        "learnt_from" is the index of the completion's character from which on tokens are learnt.
        """
        columns = self._prompts(batch)
        texts, learnt_from = [], []
        for index, draw in zip(batch["index"], batch["draw"], strict=True):
            example, row = self._examples[index], self._examples.rows[index]
            stage = Stage.of(self._grammar)
            span = self._policy.request(example.picture.size, row.instruction, row.task, stage).coordinates
            rng = np.random.default_rng((self._seed, draw))
            text = write_completion(example, span, self._grammar, rng, self._policy.protocol)
            texts.append(text)
            # That there is no such object is what the annotator said; the policy's own reasoning would be about one.
            partly = row.is_feedback and not example.truth.absent
            learnt_from.append(answer_start(text) if partly else 0)
        return {
            "prompt": [_text_first(prompt) if self._text_first else prompt for prompt in columns["prompt"]],
            "image": columns["image"],
            "completion": [[{"role": "assistant", "content": text}] for text in texts],
            "learnt_from": learnt_from,
        }


def _text_first(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose texts stand before the pictures."""
    return [
        {**message, "content": sorted(message["content"], key=lambda part: part["type"] == "image")}
        for message in messages
    ]


def write_completion(
    example: Example,
    policy_wh: ImageSize,
    grammar: Grammar,
    rng: np.random.Generator,
    protocol: Protocol | None = None,
) -> str:
    """Write the correct completion, with integers in the policy's coordinates.

    Existing prompts and reasoning are used; the rest is derived from the ground-truth mask.

    Args:
        example: an example with known mask, prompts or absence.
        policy_wh: width and height of the coordinate range.
        grammar: full, or without boxes.
        rng: draws wording and points of derived parts.
        protocol: the protocol whose form to use; None for this project's own.

    Raises:
        ValueError: when nothing is known about the correct answer.
    """
    truth, protocol = example.truth, protocol or find_protocol(DEFAULT)
    if truth.absent:
        return write_answer(protocol, NOTHING, (), Grammar.ABSTENTION)
    derived: Trace | None = None
    if truth.mask is not None and truth.mask.any():
        derived = write_trace(
            resize_to_frame(example.picture.pixels, policy_wh), mask_in_frame(truth.mask, policy_wh), rng
        )
    written = rescale_objects(truth.prompts, from_wh=example.picture.size, to_wh=policy_wh)
    objects = written if _suits(written, grammar) else derived.objects if derived else ()
    if not objects:
        raise ValueError("nothing is known about the correct answer")
    objects = tuple(in_whole_pixels(prompt, policy_wh) for prompt in objects)
    if grammar is Grammar.PRE_RL:
        objects = (ObjectPrompt(None, tuple(point for prompt in objects for point in prompt.points)),)
    thought = example.reasoning if can_be_reasoning(example.reasoning) else derived.reasoning if derived else UNSPOKEN
    return write_answer(protocol, thought, objects, grammar)


def _suits(objects: tuple[ObjectPrompt, ...], grammar: Grammar) -> bool:
    """Whether prompts can be written unchanged: all with boxes, or, in the grammar without boxes, with points."""
    if grammar is Grammar.PRE_RL:
        return any(prompt.points for prompt in objects)
    return bool(objects) and all(prompt.box is not None for prompt in objects)


@dataclass
class AnswerCollator(DataCollatorForVisionLanguageModeling):
    """trl's collator, with labels from each completion's "learnt_from" on.

    With ``whole_conversation`` what stands before a completion that is learnt from its beginning is learnt, too.
    """

    completion_only_loss: bool = True
    whole_conversation: bool = False

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Tensors of a batch; "labels", int64 (B, L), are `IGNORED` for tokens that are not learnt."""
        texts = [example["completion"][-1]["content"] for example in examples]
        starts = [example["learnt_from"] for example in examples]
        batch: dict[str, Any] = super().torch_call(examples)
        for labels, text, start in zip(batch["labels"], texts, starts, strict=True):
            self._forget_before(labels, text, start)
        if self.whole_conversation:
            image = self.processor.image_token_id  # type: ignore[attr-defined]
            whole = batch["attention_mask"].bool() & (batch["input_ids"] != image)
            whole[[start > 0 for start in starts]] = False
            batch["labels"][whole] = batch["input_ids"][whole]
        return batch

    def _forget_before(self, labels: Tensor, text: str, start: int) -> None:
        """Ignore a completion's tokens that end before character ``start``; a token across it is learnt."""
        offsets = self.processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)[
            "offset_mapping"
        ]
        count = sum(end <= start for _, end in offsets) if start else 0
        completion = (labels != IGNORED).nonzero().flatten()
        labels[completion[:count]] = IGNORED
