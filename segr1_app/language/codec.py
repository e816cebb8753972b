"""The answer format that this project trains policies to write; `segr1_app.language.protocol` describes it and the
others.

It is that of Seg-R1 (arXiv 2506.22624, section 3), parsed strictly::

    <think> ... </think> <bbox>[x1,y1,x2,y2]</bbox>, <points>[[x,y],...]</points>, <labels>[1,...]</labels>

with any number of boxes, in pixels of the policy's frame. Text is only matched, never evaluated, in time linear in its
length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice, pairwise
from typing import Final

import numpy as np

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point, SegR1Error
from segr1_app.geometry import assign_points
from segr1_app.language.typed_text import RAW_FACTOR, one_line

MAX_INSTRUCTION = 1000
"""Longest instruction in characters."""
MAX_BOXES, MAX_POINTS, MAX_TAGS, MAX_PROBLEMS = 256, 4096, 1024, 20
"""Limits on boxes, points and tags read from one completion, and on problems listed."""


class Grammar(Enum):
    """The requested form of a completion."""

    FULL = "full"
    """Reasoning, one or more boxes, points and labels."""
    PRE_RL = "pre-rl"
    """Reasoning, points and labels, without boxes: the form of the paper's first training stage."""
    ABSTENTION = "abstention"
    """Reasoning and three empty lists, meaning that there is no such object."""


@dataclass(frozen=True, slots=True)
class ParsedCompletion:
    """The parts of a completion that could be read.

    Attributes:
        reasoning: the text inside ``<think>``, stripped; None when there is none.
        objects: the mask prompts, in the frame of the text's coordinates.
        problems: descriptions of what is wrong; empty when ``well_formed``.
        well_formed: whether the whole text follows the grammar exactly.
        abstains: whether it says that there is no such object, by lists without any value; the well-formed spelling is
            ``[]``.
    """

    reasoning: str | None
    objects: tuple[ObjectPrompt, ...]
    problems: tuple[str, ...]
    well_formed: bool
    abstains: bool = False


@dataclass(frozen=True, slots=True)
class InstructionPreset:
    """A named example instruction."""

    name: str
    text: str


PRESETS: Final = (
    InstructionPreset("Primary objects", "Identify and segment all the primary objects."),
    InstructionPreset("Camouflaged object", "Identify and segment the camouflaged object."),
    InstructionPreset("Referring expression", "Find and segment the left object."),
    InstructionPreset("Reasoning question", "Which animal here could outrun a car? Identify and segment it."),
)

_TAGS = ("think", "bbox", "points", "labels")
_TAG = re.compile(rf"<(/?)({'|'.join(_TAGS)})>")
# Possessive quantifiers (++, *+, ?+) never backtrack, which keeps every match linear in the text. [0-9], because \d
# also matches the digits of other scripts.
_NUMBER = r"[0-9]++(?:\.[0-9]++)?+"
_GAP = r"\s*+"
_COMMA = rf"{_GAP},{_GAP}"
_LOOSE_NUMBER = re.compile(rf"-?{_NUMBER}")
_LOOSE_VALUE = re.compile(r"[^\s,\[\]]++")
_INNERMOST = re.compile(r"\[([^\[\]]*+)\]")
_BOX_LIST = re.compile(rf"{_GAP}\[{_GAP}{_NUMBER}(?:{_COMMA}{_NUMBER}){{3}}{_GAP}\]{_GAP}")
_POINT = rf"\[{_GAP}{_NUMBER}{_COMMA}{_NUMBER}{_GAP}\]"
_POINT_LIST = re.compile(rf"{_GAP}\[{_GAP}(?:{_POINT}(?:{_COMMA}{_POINT})*+)?+{_GAP}\]{_GAP}")
_LABEL_LIST = re.compile(rf"{_GAP}\[{_GAP}(?:{_NUMBER}(?:{_COMMA}{_NUMBER})*+)?+{_GAP}\]{_GAP}")
_EMPTY_LIST = re.compile(rf"{_GAP}\[{_GAP}\]{_GAP}")
_NO_VALUES = re.compile(r"[\s\[\],]*+")


def check_instruction(instruction: str) -> str:
    """The instruction on one line.

    Raises:
        SegR1Error: when it is empty or longer than `MAX_INSTRUCTION` characters.
    """
    words = one_line(instruction) if len(instruction) <= RAW_FACTOR * MAX_INSTRUCTION else instruction
    if len(words) > MAX_INSTRUCTION:
        raise SegR1Error(f"The instruction has {len(words)} characters; the limit is {MAX_INSTRUCTION}.")
    if not words:
        raise SegR1Error("The instruction is empty: say what to segment.")
    return words


def can_be_reasoning(text: str) -> bool:
    """Whether a text can be written between ``<think>`` and ``</think>``: it is not empty and contains none of the
    tags.
    """
    return bool(text.strip()) and _TAG.search(text) is None


def is_expressible(objects: Sequence[ObjectPrompt], frame: ImageSize) -> bool:
    """Whether a well-formed completion of the full grammar can express these prompts.

    There must be at least one object, each needs a box, boxes and points must lie inside the frame, and their numbers
    must not exceed the limits of a completion.

    Args:
        objects: the mask prompts, in the frame's pixels.
        frame: (width, height) of the frame.
    """
    width, height = frame
    boxes = [prompt.box for prompt in objects if prompt.box is not None]
    points = [point for prompt in objects for point in prompt.points]
    return (
        0 < len(boxes) == len(objects) <= MAX_BOXES
        and len(points) <= MAX_POINTS
        and all(min(box.x1, box.y1) >= 0 and box.x2 <= width and box.y2 <= height for box in boxes)
        and not any(point_outside(point.x, point.y, frame) for point in points)
    )


def answer_start(completion: str) -> int:
    """The index at which the answer begins, after the closing tag of the reasoning; 0 if there is none."""
    head, tag, _ = completion.partition("</think>")
    return len(head) + len(tag) if tag else 0


def format_completion(reasoning: str, objects: Sequence[ObjectPrompt], grammar: Grammar = Grammar.FULL) -> str:
    """The canonical completion: `parse_completion` reads it back unchanged if each point belongs to its own object.

    Raises:
        ValueError: when the reasoning is empty or contains one of the tags, or the objects do not fit the grammar or
            exceed its limits.
    """
    if not can_be_reasoning(reasoning):
        raise ValueError("the reasoning must be text without any of the answer's tags")
    boxes = [prompt.box for prompt in objects if prompt.box is not None]
    points = [point for prompt in objects for point in prompt.points]
    suits = {
        Grammar.FULL: len(boxes) == len(objects) > 0,
        Grammar.PRE_RL: not boxes and len(points) > 0,
        Grammar.ABSTENTION: not objects,
    }
    if not suits[grammar]:
        raise ValueError(f"a completion of the {grammar.value} grammar cannot hold these objects")
    if len(boxes) > MAX_BOXES or len(points) > MAX_POINTS:
        raise ValueError(f"a completion holds {MAX_BOXES} boxes and {MAX_POINTS} points at most")
    written = [f"<bbox>[{','.join(spell(value) for value in box.xyxy)}]</bbox>" for box in boxes]
    if grammar is Grammar.ABSTENTION:
        written = ["<bbox>[]</bbox>"]
    written.append(f"<points>[{','.join(f'[{spell(point.x)},{spell(point.y)}]' for point in points)}]</points>")
    written.append(f"<labels>[{','.join(str(point.label) for point in points)}]</labels>")
    return f"<think> {reasoning.strip()} </think> {', '.join(written)}"


def parse_completion(
    text: str, image_size: ImageSize | tuple[int, int], grammar: Grammar = Grammar.FULL
) -> ParsedCompletion:
    """Read a completion; never raises on any text.

    Everything readable in a malformed one is returned: boxes are clipped to the frame; empty boxes, points outside the
    frame, points without a label and incomplete or non-numeric tuples are ignored. Every point is assigned to the
    smallest box that contains it, else to the nearest.

    Args:
        text: what the policy wrote.
        image_size: (width, height) of the frame of its coordinates.
        grammar: the form it was asked to write.
    """
    reader = _Reader(ImageSize(*image_size), grammar)
    reader.read(text)
    return ParsedCompletion(
        reader.reasoning,
        reader.objects,
        limit_problems(reader.problems),
        well_formed=not reader.problems,
        abstains=reader.abstains,
    )


def limit_problems(problems: Iterable[str]) -> tuple[str, ...]:
    """The first `MAX_PROBLEMS` problems, and the number of the others."""
    every = tuple(problems)
    left_out = len(every) - MAX_PROBLEMS
    return (*every[:MAX_PROBLEMS], f"and {left_out} more problems") if left_out > 0 else every


def box_inside(xyxy: tuple[float, ...], frame: ImageSize, spelled: str) -> tuple[Box | None, tuple[str, ...]]:
    """Clip a box to a frame.

    Args:
        xyxy: four finite numbers.
        frame: (width, height) of the frame.
        spelled: the box as it was written.

    Returns:
        The clipped box, None when it has no area; and a description of what is wrong with the given one.
    """
    x1, y1, x2, y2 = xyxy
    width, height = frame
    inside = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    problems = []
    if inside != (x1, y1, x2, y2):
        problems.append(f"the box {spelled} extends beyond the picture of {width} x {height}: it is clipped")
    if inside[0] < inside[2] and inside[1] < inside[3]:
        return Box(*inside), tuple(problems)
    problems.append(f"the box {spelled} has no area in the picture: it is left out")
    return None, tuple(problems)


def point_outside(x: float, y: float, frame: ImageSize) -> str | None:
    """A description of the problem if a point lies outside a frame of this width and height; None when it lies
    inside.
    """
    width, height = frame
    if 0 <= x <= width and 0 <= y <= height:
        return None
    return f"the point ({spell(x)}, {spell(y)}) is outside {width} x {height}: it is left out"


@dataclass(slots=True)
class _Reader:
    """State of parsing one completion; ``problems`` is a dict, so that each problem is listed once."""

    frame: ImageSize
    grammar: Grammar
    reasoning: str | None = None
    objects: tuple[ObjectPrompt, ...] = ()
    problems: dict[str, None] = field(default_factory=dict)
    abstains: bool = False
    cut_off: bool = False

    def read(self, text: str) -> None:
        sections = self._sections(text)
        self._check_order([name for name, _ in sections])
        first: dict[str, str] = {}
        for name, content in sections:
            first.setdefault(name, content)
        if "think" in first:
            self.reasoning = first["think"].strip() or None
            if self.reasoning is None:
                self._problem("the reasoning is empty")
        boxes = self._boxes([content for name, content in sections if name == "bbox"])
        points = self._points(first.get("points"), first.get("labels"))
        self.objects = assign_points(boxes, points)
        answer = [content for name, content in sections if name != "think"]
        self.abstains = "bbox" in first and not self.cut_off and all(map(has_no_values, answer))
        if not self.objects and not self.problems and self.grammar is not Grammar.ABSTENTION:
            self._problem("there is no mask prompt")

    def _problem(self, what: str) -> None:
        self.problems[what] = None

    def _sections(self, text: str) -> list[tuple[str, str]]:
        """The tagged parts in order, as (tag, content); any text between them other than a comma is a problem."""
        tags = list(islice(_TAG.finditer(text), MAX_TAGS + 1))
        if len(tags) > MAX_TAGS:
            self._problem(f"there are more than {MAX_TAGS} tags: what follows them is left out")
            text = text[: tags.pop().start()]
        sections: list[tuple[str, str]] = []
        open_tag: re.Match[str] | None = None
        self._check_between(text[: tags[0].start()] if tags else text, comma=False)
        for number, tag in enumerate(tags):
            closing, name = bool(tag[1]), tag[2]
            following = tags[number + 1].start() if number + 1 < len(tags) else len(text)
            if not closing:
                if open_tag is not None:
                    self._problem(f"<{open_tag[2]}> is not closed before <{name}>")
                open_tag = tag
                sections.append((name, text[tag.end() : following]))
                if following == len(text):
                    self._problem(f"<{name}> is never closed")
                    self.cut_off = True
            else:
                if open_tag is None or open_tag[2] != name:
                    self._problem(f"</{name}> closes nothing")
                open_tag = None
                self._check_between(text[tag.end() : following], comma=following < len(text))
        return sections

    def _check_between(self, between: str, *, comma: bool) -> None:
        left_over = between.strip()
        if left_over and not (comma and left_over == ","):
            self._problem(f"text outside the tags: {quote(left_over)}")

    def _check_order(self, names: Sequence[str]) -> None:
        wanted = [name for name in _TAGS if not (name == "bbox" and self.grammar is Grammar.PRE_RL)]
        for name in _TAGS:
            count = names.count(name)
            if name not in wanted and count:
                self._problem(f"<{name}> does not belong in a {self.grammar.value} completion")
            elif name in wanted and not count:
                self._problem(f"<{name}> is missing")
            elif count > 1 and (name != "bbox" or self.grammar is Grammar.ABSTENTION):
                self._problem(f"<{name}> appears {count} times")
        if any(_TAGS.index(a) > _TAGS.index(b) for a, b in pairwise(names)):
            self._problem(f"the order should be {', '.join(f'<{name}>' for name in wanted)}")

    def _check_list(self, name: str, content: str, pattern: re.Pattern[str], form: str) -> None:
        if self.grammar is Grammar.ABSTENTION:
            pattern, form = _EMPTY_LIST, "[]"
        if not pattern.fullmatch(content):
            self._problem(f"<{name}> should read {form}, not {quote(content)}")

    def _boxes(self, contents: Sequence[str]) -> list[Box]:
        boxes = []
        if len(contents) > MAX_BOXES:
            self._problem(f"there are more than {MAX_BOXES} boxes: the others are left out")
        for content in contents[:MAX_BOXES]:
            self._check_list("bbox", content, _BOX_LIST, "[x1,y1,x2,y2]")
            for numbers in loose_tuples(content, 4, MAX_BOXES):
                if numbers is None:
                    continue
                box, problems = box_inside(numbers, self.frame, quote(content))
                for problem in problems:
                    self._problem(problem)
                if box is not None:
                    boxes.append(box)
        return boxes[:MAX_BOXES]

    def _points(self, points: str | None, labels: str | None) -> list[Point]:
        if points is not None:
            self._check_list("points", points, _POINT_LIST, "[[x,y],...]")
        if labels is not None:
            self._check_list("labels", labels, _LABEL_LIST, "[1,0,...]")
        places = loose_tuples(points or "", 2, MAX_POINTS + 1)
        given = loose_values(labels or "", MAX_POINTS + 1)
        if max(len(places), len(given)) > MAX_POINTS:
            self._problem(f"there are more than {MAX_POINTS} points: the others are left out")
        elif len(places) != len(given):
            self._problem(f"{len(places)} points have {len(given)} labels: those without a partner are left out")
        found = []
        for place, value in list(zip(places, given, strict=False))[:MAX_POINTS]:
            if place is None or value is None:
                continue
            x, y = place
            if value not in (0, 1):
                self._problem(f"the label {spell(value)} is neither 1 nor 0: its point is left out")
            elif problem := point_outside(x, y, self.frame):
                self._problem(problem)
            else:
                found.append(Point(x, y, int(value)))
        return found


def has_no_values(text: str) -> bool:
    """Whether a list holds nothing, however it is spelled: ``[]``, ``[[]]``, ``[[], []]`` or no brackets at all."""
    return _NO_VALUES.fullmatch(text) is not None


def is_empty_list(text: str) -> bool:
    """Whether a text is ``[]``, the one well-formed spelling of a list that holds nothing."""
    return _EMPTY_LIST.fullmatch(text) is not None


def loose_values(text: str, limit: int) -> list[float | None]:
    """The first ``limit`` values between commas and brackets; None for a value that is not a number."""
    spelled = (match[0] for match in islice(_LOOSE_VALUE.finditer(text), limit))
    return [float(value) if _LOOSE_NUMBER.fullmatch(value) else None for value in spelled]


def loose_tuples(text: str, length: int, limit: int) -> list[tuple[float, ...] | None]:
    """The first ``limit`` tuples of ``length`` numbers; None for a tuple of another length or with a non-number.

    Each tuple has its own brackets; where they are missing, it ends after its last number. The numbers of one tuple
    are never read as part of another. Brackets without any value are no tuples.
    """
    if has_no_values(text):
        return []
    groups = [match[1] for match in islice(_INNERMOST.finditer(text), limit)] or [text]
    found: list[tuple[float, ...] | None] = []
    for group in groups:
        values = loose_values(group, length * limit)
        whole = len(values) % length == 0 and (values or len(groups) == 1)
        found += [_numbers(values[at : at + length]) for at in range(0, len(values), length)] if whole else [None]
        if len(found) >= limit:
            break
    return found[:limit]


def _numbers(values: Sequence[float | None]) -> tuple[float, ...] | None:
    """The values if all are numbers, else None."""
    numbers = tuple(value for value in values if value is not None)
    return numbers if len(numbers) == len(values) else None


def spell(value: float) -> str:
    """The shortest spelling without an exponent that reads back as the same float; a negative zero loses its sign."""
    return np.format_float_positional(value + 0.0, trim="-")


def quote(text: str, limit: int = 40) -> str:
    """The beginning of a text, quoted for a message."""
    shown = text.strip()
    return f"'{shown}'" if len(shown) <= limit else f"'{shown[:limit]}...'"
