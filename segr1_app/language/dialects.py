"""The languages that policies write mask prompts in, each with its question and its reader.

Seg-R1's is that of `segr1_app.language.codec`. Stock multimodal models were taught to write JSON lists of boxes and
points, in pixels of the picture as they see it (Qwen2.5-VL, arXiv 2502.13923, section 2) or, since Qwen3-VL, from 0 to
1000 over either side. Whatever a dialect speaks in, `Dialect.parse` answers in pixels of the policy's frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from segr1_app.domain import ImageSize, SettingsError
from segr1_app.geometry import rescale_objects
from segr1_app.language import codec
from segr1_app.language.codec import FORMAT_PROMPTS, Grammar, ParsedCompletion, check_instruction
from segr1_app.language.json_prompts import parse_json_prompts


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a policy is asked for mask prompts, and how its answer is read.

    Attributes:
        name: by which it is chosen.
        system_prompt: what the policy is told first.
        frame_prompt: tells its coordinates; may hold {width} and {height}, of the policy's frame in pixels.
        format_prompts: the form of answer that each grammar is asked for in.
        read: reads an answer in the frame it speaks in; never raises, in time linear in the text.
        span: the width and height over which its coordinates run; None where they are pixels of the policy's frame.
    """

    name: str
    system_prompt: str
    frame_prompt: str
    format_prompts: Mapping[Grammar, str]
    read: Callable[[str, ImageSize, Grammar], ParsedCompletion]
    span: ImageSize | None = None

    def user_text(self, instruction: str, policy_wh: ImageSize, grammar: Grammar = Grammar.FULL) -> str:
        """What a policy is told beside the picture, in three lines: what to segment, its frame, the form of the answer.

        Raises:
            SegR1Error: as `check_instruction`.
        """
        frame = self.frame_prompt.format(width=policy_wh[0], height=policy_wh[1])
        return "\n".join((check_instruction(instruction), frame, self.format_prompts[grammar]))

    def messages(self, instruction: str, policy_wh: ImageSize, grammar: Grammar = Grammar.FULL) -> list[dict[str, Any]]:
        """The conversation that asks a policy, as chat templates take it: system prompt, then picture and `user_text`.

        Raises:
            SegR1Error: as `check_instruction`.
        """
        text = self.user_text(instruction, policy_wh, grammar)
        return [
            {"role": "system", "content": [{"type": "text", "text": self.system_prompt}]},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]},
        ]

    def parse(self, text: str, policy_wh: ImageSize, grammar: Grammar = Grammar.FULL) -> ParsedCompletion:
        """What can be read of a completion, its prompts in pixels of the policy's frame; never raises on any text."""
        if self.span is None:
            return self.read(text, policy_wh, grammar)
        parsed = self.read(text, self.span, grammar)
        return replace(parsed, objects=rescale_objects(parsed.objects, from_wh=self.span, to_wh=policy_wh))


_JSON_FORM = (
    "First say in one or two sentences what is asked for, where it is and how it stands out. Then write one JSON list "
    "between ```json and ```, with one entry for each object: "
)
_JSON_FORMS: Final = {
    Grammar.FULL: _JSON_FORM + '{"bbox_2d": [x1, y1, x2, y2], "point_2d": [x, y], "label": "what it is"}, which are a '
    "tight box around the object, a point on it, and its name.",
    Grammar.PRE_RL: _JSON_FORM + '{"point_2d": [x, y], "label": "what it is"}, which are a point on the object and its '
    "name.",
}

SEGR1: Final = Dialect(
    "segr1", codec.SYSTEM_PROMPT, "The picture is {width} x {height} pixels.", FORMAT_PROMPTS, codec.parse_completion
)
QWEN25_VL: Final = Dialect(
    "qwen2.5-vl",
    "You find objects in pictures for a segmentation model.",
    "The picture is {width} x {height} pixels; give coordinates in its pixels.",
    _JSON_FORMS,
    parse_json_prompts,
)
QWEN3_VL: Final = replace(
    QWEN25_VL,
    name="qwen3-vl",
    frame_prompt="Give coordinates from 0 to 1000, over the picture's width and over its height.",
    span=ImageSize(1000, 1000),
)

DIALECTS: Final = {dialect.name: dialect for dialect in (SEGR1, QWEN25_VL, QWEN3_VL)}
BY_MODEL_TYPE: Final = {
    "qwen2_5_vl": QWEN25_VL,
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"), QWEN3_VL),
}
"""What stock models were taught to speak, by the ``model_type`` of their configuration."""


def find_dialect(name: str) -> Dialect:
    """The dialect of a name.

    Raises:
        SettingsError: when there is none.
    """
    if name not in DIALECTS:
        raise SettingsError(f"--dialect {name} must be one of auto, {', '.join(DIALECTS)}.")
    return DIALECTS[name]


def native_dialect(model_type: str, source: str, told: str | None) -> Dialect:
    """What a policy speaks when nobody says otherwise.

    Args:
        model_type: of its configuration.
        source: the folder or hub id it was loaded from; Seg-R1's own checkpoints are known by its last part.
        told: the dialect that its card names, as everything does that was trained by this project.

    Raises:
        SettingsError: when the card names a dialect that there is not.
    """
    if told is not None:
        return find_dialect(told)
    if source.replace("\\", "/").rstrip("/").rpartition("/")[2].lower().startswith("seg-r1"):
        return SEGR1
    return BY_MODEL_TYPE.get(model_type, SEGR1)
