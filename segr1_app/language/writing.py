"""Write the correct answer in a protocol's form, as a training target."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from segr1_app.domain import ObjectPrompt
from segr1_app.language.codec import Grammar, can_be_reasoning, format_completion, spell
from segr1_app.language.protocol import Abstention, Protocol, Reader
from segr1_app.language.tags import NOTHING_TAG


def write_answer(
    protocol: Protocol, reasoning: str, objects: Sequence[ObjectPrompt], grammar: Grammar = Grammar.FULL
) -> str:
    """Write a completion that the protocol's own reader parses back.

    Args:
        protocol: the protocol whose answer form to use.
        reasoning: text without any of an answer's tags.
        objects: the mask prompts, in the protocol's coordinates; none for `Grammar.ABSTENTION`.
        grammar: the requested form.

    Raises:
        ValueError: when the reasoning or the objects cannot be written in this form.
    """
    if not can_be_reasoning(reasoning):
        raise ValueError("the reasoning must be text without any of the answer's tags")
    if grammar is Grammar.ABSTENTION and protocol.abstention is Abstention.NEVER:
        raise ValueError(f"the protocol {protocol.name} has no way to say that there is no such object")
    if protocol.reader in (Reader.JSON, Reader.ANSWER_JSON):
        return _json(protocol.reader, reasoning, objects, grammar)
    if protocol.reader is Reader.TAGS and "points" not in protocol.rules.parts:
        return _boxes_alone(protocol, reasoning, objects, grammar)
    written = format_completion(reasoning, objects, grammar)
    if protocol.reader is Reader.TAGS and grammar is Grammar.PRE_RL:
        # The first stage of Seg-R1 does not ask for reasoning.
        return written.partition("</think> ")[2]
    return written


def _json(reader: Reader, reasoning: str, objects: Sequence[ObjectPrompt], grammar: Grammar) -> str:
    entries = []
    for prompt in objects:
        entry: dict[str, Any] = {}
        if grammar is Grammar.FULL:
            if prompt.box is None:
                raise ValueError("an object without a box cannot be written")
            entry["bbox_2d"] = [_number(value) for value in prompt.box.xyxy]
        positive = [[_number(point.x), _number(point.y)] for point in prompt.points if point.label]
        if not positive and prompt.box is None:
            raise ValueError("an object without a positive point cannot be written")
        if not positive and prompt.box is not None:
            positive = [[_number((prompt.box.x1 + prompt.box.x2) // 2), _number((prompt.box.y1 + prompt.box.y2) // 2)]]
        entry["point_2d"] = positive[0]
        if prompt.name and reader is Reader.JSON:
            entry["label"] = prompt.name
        entries.append(entry)
    text = json.dumps(entries, ensure_ascii=False)
    if reader is Reader.ANSWER_JSON:
        return f"<think> {reasoning.strip()} </think><answer>{text}</answer>"
    return f"{reasoning.strip()}\n```json\n{text}\n```"


def _boxes_alone(protocol: Protocol, reasoning: str, objects: Sequence[ObjectPrompt], grammar: Grammar) -> str:
    boxes = [prompt.box for prompt in objects if prompt.box is not None]
    if len(boxes) < max(len(objects), grammar is Grammar.FULL):
        raise ValueError("every object needs a box")
    if grammar is Grammar.PRE_RL:
        raise ValueError(f"the protocol {protocol.name} has no stage without boxes")
    lists = [f"[{','.join(spell(value) for value in box.xyxy)}]" for box in boxes]
    several = lists[0] if len(lists) == 1 else f"[{','.join(lists)}]"
    answer = f"<bbox>{several}</bbox>" if lists else f"<{NOTHING_TAG}/>"
    return f"<think>{reasoning.strip()}</think>\n{answer}"


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value
