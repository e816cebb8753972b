"""Protocols: how a policy is prompted (text, picture size, coordinates) and how its answer is read.

A published checkpoint understands only the prompts it was trained with, so a protocol is data, one file per family
(`segr1_app.language.protocol_files`). The readers are code: strict tags (`codec`), tags as their authors read them
(`tags`), and JSON (`json_prompts`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isqrt
from typing import Any, Final

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point, SegR1Error
from segr1_app.geometry import assign_points, points_inside, policy_frame
from segr1_app.language.codec import MAX_INSTRUCTION, Grammar, ParsedCompletion, limit_problems, parse_completion
from segr1_app.language.json_prompts import parse_answer_json, parse_json_prompts
from segr1_app.language.tags import TaggedAnswer, TagRules
from segr1_app.language.typed_text import one_line

MAX_SIDE: Final = 1_000_000
"""Longest side of a picture that is given to a policy, in pixels."""


class TaskKind(StrEnum):
    """The kind of request; a protocol has its own prompt for each."""

    FOREGROUND = "foreground"
    """Segment every primary object; the text is the protocol's own."""
    REFERRING = "referring"
    """Segment what a referring expression names."""
    SENTENCE = "sentence"
    """Segment what a full question or statement is about."""
    PHRASE = "phrase"
    """Segment what a short description that requires reasoning is about."""
    FREE = "free"
    """Whatever a person typed, used as it is."""


class Stage(StrEnum):
    """Training or inference: published policies were trained with prompts that differ from those used to run them."""

    INFERENCE = "inference"
    TRAINING = "training"
    PRE_RL = "pre-rl"
    """The first stage of Seg-R1's training, which asks for points only."""

    @classmethod
    def of(cls, grammar: Grammar) -> Stage:
        """The training stage that asks for answers of this grammar."""
        return cls.PRE_RL if grammar is Grammar.PRE_RL else cls.TRAINING


class Reader(StrEnum):
    """The form of an answer."""

    STUDIO = "studio"
    """Tags, read strictly."""
    TAGS = "tags"
    JSON = "json"
    ANSWER_JSON = "answer-json"


class PointRule(StrEnum):
    """How points are assigned to boxes."""

    NEAREST = "nearest box"
    """Each point goes to the smallest box that contains it, else to the nearest."""
    INSIDE = "inside each box"
    """Each box gets the points inside it, edges included; points outside every box are ignored."""
    FIRST_BOX = "first box gets all"
    """Only the first box counts, and it gets every point."""
    OWN = "own"
    """The answer itself assigns points to boxes."""


class Output(StrEnum):
    """Which of the segmenter's masks is used for a prompt."""

    SINGLE = "single mask"
    BEST = "best of three"


class Abstention(StrEnum):
    """How an answer says that there is no such object."""

    NEVER = "never"
    EMPTY = "empty lists"
    TAG = "no_camouflage tag"


class CoordinateFrame(StrEnum):
    """The coordinate range of an answer about a squashed picture whose processor rounds the square's side."""

    HANDED = "handed"
    """Relative to the square given to the processor, such as 768."""
    SEEN = "seen"
    """Relative to the square that the model sees, such as 756."""


@dataclass(frozen=True, slots=True)
class Square:
    """A square into which a picture of any shape is squashed; ``side`` in pixels, before rounding."""

    side: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A frame with the picture's aspect ratio; areas in pixels: small pictures are enlarged, large ones reduced."""

    enlarge_to: int
    at_most: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """The settings of a model's own image processor: the grid in pixels, and the smallest and largest area in
    pixels.
    """

    grid: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Asking:
    """Everything that depends on task and stage.

    Attributes:
        user: the text after the picture; may contain {instruction}, and {width} and {height} of the coordinate range.
        system: the system message; None for none.
        system_without: (words, text): the system message for an instruction that contains none of the words.
        instruction: how the instruction is normalised first: names of `TREATMENTS`.
        default: the instruction to use when none is given; empty when one is required.
        frame: the size and shape in which the picture is shown.
        coordinates: width and height of the answer's coordinate range, or the reading that determines it.
        points: how points are assigned to boxes.
        max_new_tokens: limit of an answer; None for the model's own.
    """

    user: str
    system: str | None
    system_without: tuple[tuple[str, ...], str] | None
    instruction: tuple[str, ...]
    default: str
    frame: Square | Kept
    coordinates: ImageSize | CoordinateFrame
    points: PointRule
    max_new_tokens: int | None


@dataclass(frozen=True, slots=True)
class Protocol:
    """How policies of one family are asked for mask prompts, and how their answers are read.

    Attributes:
        name: the name by which it is chosen; for a custom file, its path.
        source: where its prompts were published.
        checkpoints: substrings of its checkpoints' names, in lower case.
        model_types: ``model_type`` values of stock models that use it.
        reader: the reader of its answers.
        rules: settings of a reader of tags.
        grid: side of a patch after merging in pixels, for models that do not state it.
        output: which of the segmenter's masks is used.
        abstention: how an answer says that there is no such object.
        askings: the prompts by stage and task.
    """

    name: str
    source: str
    checkpoints: tuple[str, ...]
    model_types: tuple[str, ...]
    reader: Reader
    rules: TagRules
    grid: int
    output: Output
    abstention: Abstention
    askings: Mapping[tuple[Stage, TaskKind], Asking]

    def request(
        self,
        image_wh: ImageSize | tuple[int, int],
        instruction: str = "",
        task: TaskKind = TaskKind.FREE,
        stage: Stage = Stage.INFERENCE,
        *,
        bounds: Bounds | None = None,
        reading: CoordinateFrame | None = None,
        frame: ImageSize | None = None,
    ) -> Request:
        """Make the request to a policy about a picture; it also knows how to read the answer.

        Args:
            image_wh: the picture's size.
            instruction: the bare expression, question or request; the protocol adds its own text.
            task, stage: the kind of request, and training or inference.
            bounds: those of the model's own image processor; None where no model is loaded.
            frame: the size to which the picture was already resized; None to compute it.
            reading: which of the two coordinate ranges for squashed pictures the policy uses; None for the protocol's.

        Raises:
            SegR1Error: when the instruction is required but empty, or too long, or the picture has no usable size.
        """
        size = ImageSize(*image_wh)
        if not all(1 <= side <= MAX_SIDE for side in size):
            raise SegR1Error(f"A picture has 1 to {MAX_SIDE} pixels a side, not {size.width} x {size.height}.")
        asking = self.askings[stage, task]
        frame = frame or _frame(asking.frame, size, bounds or Bounds(self.grid, 1, 2**62))
        coordinates = asking.coordinates
        if isinstance(coordinates, CoordinateFrame):
            handed = (reading or coordinates) is CoordinateFrame.HANDED and isinstance(asking.frame, Square)
            side = asking.frame.side if isinstance(asking.frame, Square) else 0
            coordinates = ImageSize(side, side) if handed else frame
        words = _instruction(instruction, asking)
        fills = {"instruction": words, "width": str(coordinates.width), "height": str(coordinates.height)}
        system = asking.system
        if asking.system_without is not None:
            wanted, otherwise = asking.system_without
            if not any(word in words.lower() for word in wanted):
                system = otherwise
        text = _BLANK.sub(lambda blank: fills[blank[1]], asking.user)
        return Request(self, task, stage, size, frame, coordinates, system, text, asking.points, asking.max_new_tokens)

    def parse(
        self, text: str, span: ImageSize, grammar: Grammar = Grammar.FULL, points: PointRule | None = None
    ) -> ParsedCompletion:
        """Read what is readable in a completion, with prompts in the range ``span``; never raises on any text.

        Args:
            text: what the policy wrote.
            span: width and height of its coordinate range.
            grammar: the expected form of the answer.
            points: how points are assigned to boxes; None for the rule of free requests.
        """
        if self.reader in _READERS:
            return _READERS[self.reader](text, span, grammar)
        rules = self.rules
        if grammar is Grammar.PRE_RL:
            rules = replace(rules, parts=tuple(part for part in rules.parts if part in ("points", "labels")))
        answer = TaggedAnswer(span, rules)
        answer.read(text)
        if answer.abstains is not (grammar is Grammar.ABSTENTION):
            wanted = "the answer should say that there is no such object"
            answer.problems["there is no mask prompt" if answer.abstains else wanted] = None
        rule = points or self.askings[Stage.INFERENCE, TaskKind.FREE].points
        return ParsedCompletion(
            answer.reasoning,
            _ASSIGNED[rule](answer.boxes, answer.points),
            limit_problems(answer.problems),
            well_formed=not answer.problems,
            abstains=answer.abstains,
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a policy, and how its answer is read.

    Attributes:
        protocol: the protocol that made it.
        task, stage: the kind of request, and training or inference.
        image_wh: the picture's original size.
        frame: the width and height in pixels at which the model sees it.
        coordinates: width and height of the answer's coordinate range.
        system: the system message; None for none.
        text: the text after the picture.
        points: how points are assigned to boxes.
        max_new_tokens: limit of the answer; None for the model's own.
    """

    protocol: Protocol
    task: TaskKind
    stage: Stage
    image_wh: ImageSize
    frame: ImageSize
    coordinates: ImageSize
    system: str | None
    text: str
    points: PointRule
    max_new_tokens: int | None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation in the form that chat templates take: a system message if there is one, then the picture
        and the text.
        """
        system = [{"role": "system", "content": [{"type": "text", "text": self.system}]}]
        user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": self.text}]}
        return [*(system if self.system is not None else []), user]

    @property
    def asked(self) -> tuple[tuple[str, str], ...]:
        """The text of the conversation, as (role, text)."""
        return (*((("system", self.system),) if self.system is not None else ()), ("user", self.text))

    @property
    def grammar(self) -> Grammar:
        """The requested form of the answer."""
        return Grammar.PRE_RL if self.stage is Stage.PRE_RL else Grammar.FULL

    def read(self, completion: str) -> ParsedCompletion:
        """Read what is readable in a completion, with prompts in pixels of the picture; never raises on any text.

        Where the protocol can abstain, an abstention can be well formed.
        """
        parsed = self.protocol.parse(completion, self.coordinates, self.grammar, self.points)
        can_abstain = self.grammar is Grammar.FULL and self.protocol.abstention is not Abstention.NEVER
        if can_abstain and parsed.abstains:
            return self.protocol.parse(completion, self.coordinates, Grammar.ABSTENTION)
        scale = self.image_wh.width / self.coordinates.width, self.image_wh.height / self.coordinates.height
        objects = [_in_picture(found, *scale, self.image_wh) for found in parsed.objects]
        return replace(parsed, objects=tuple(found for found in objects if found.box or found.points), abstains=False)


TREATMENTS: Final[Mapping[str, Callable[[str], str]]] = {
    "one line": one_line,
    "lower case": str.lower,
    "bare ends": lambda instruction: instruction.strip('."?!'),
}
"""Ways of normalising an instruction before it is inserted into a prompt; they are applied in the order given."""

_BLANK = re.compile(r"\{(instruction|width|height)\}")
_READERS: Final = {
    Reader.STUDIO: parse_completion,
    Reader.JSON: parse_json_prompts,
    Reader.ANSWER_JSON: parse_answer_json,
}


def _first_box(boxes: Sequence[Box], points: Sequence[Point]) -> tuple[ObjectPrompt, ...]:
    return assign_points(boxes[:1], points)


_ASSIGNED: Final = {
    PointRule.NEAREST: assign_points,
    PointRule.INSIDE: points_inside,
    PointRule.FIRST_BOX: _first_box,
    PointRule.OWN: assign_points,
}


def _instruction(given: str, asking: Asking) -> str:
    """The instruction as it is inserted into the prompt.

    Raises:
        SegR1Error: when it is required but empty, or longer than `MAX_INSTRUCTION` characters.
    """
    words = given if given.strip() else asking.default
    for treatment in asking.instruction:
        words = TREATMENTS[treatment](words)
    if "{instruction}" in asking.user and not words.strip():
        raise SegR1Error("The instruction is empty: say what to segment.")
    if len(words) > MAX_INSTRUCTION:
        raise SegR1Error(f"The instruction has {len(words)} characters; the limit is {MAX_INSTRUCTION}.")
    return words


def _frame(kind: Square | Kept, image_wh: ImageSize, bounds: Bounds) -> ImageSize:
    """The size at which a model sees a picture: its sides are multiples of the grid, its area lies within the
    bounds.
    """
    grid = bounds.grid
    if isinstance(kind, Square):
        # Rounded as Qwen's processors do, and at most what this processor accepts.
        most = max(isqrt(bounds.most) // grid, 1)
        side = min(max(round(kind.side / grid), 1), most) * grid
        return ImageSize(side, side)
    most = min(kind.at_most, bounds.most)
    return policy_frame(image_wh, grid=grid, min_pixels=max(kind.enlarge_to, bounds.least), max_pixels=most)


def _in_picture(prompt: ObjectPrompt, sx: float, sy: float, size: ImageSize) -> ObjectPrompt:
    """A prompt in pixels of a picture, clipped to it after rounding; a box that rounding leaves without area is
    dropped.
    """
    box = None
    if prompt.box is not None:
        x1, x2 = (min(x * sx, float(size.width)) for x in (prompt.box.x1, prompt.box.x2))
        y1, y2 = (min(y * sy, float(size.height)) for y in (prompt.box.y1, prompt.box.y2))
        box = Box(x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None
    points = (
        Point(min(p.x * sx, float(size.width)), min(p.y * sy, float(size.height)), p.label) for p in prompt.points
    )
    return ObjectPrompt(box, tuple(points), prompt.name)
