"""Mask prompts as JSON, as stock multimodal models write them::

    ... reasoning ... ```json [{"bbox_2d": [x1, y1, x2, y2], "point_2d": [x, y], "label": "a frog"}] ```

Thinking models put their reasoning before ``</think>``. Nothing is evaluated, and all is read in time linear in the
text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from typing import Any

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point
from segr1_app.language.codec import (
    MAX_BOXES,
    MAX_POINTS,
    Grammar,
    ParsedCompletion,
    box_inside,
    limit_problems,
    point_outside,
    quote,
)

MAX_LABEL = 200
"""Longest name of an object in characters; the rest is cut off."""
BOX, POINT = "bbox_2d", "point_2d"
_KEYS = {Grammar.FULL: {BOX, POINT}, Grammar.PRE_RL: {POINT}, Grammar.ABSTENTION: set[str]()}
_FENCE = re.compile(r"```(?:json)?+")
_LIST_START = re.compile(r"\[\s*+[{\]]|\{")
# Without braces inside: in a text that is no JSON, whole entries can still be read one by one.
_ENTRY = re.compile(r"\{[^{}]*+\}")


def parse_json_prompts(text: str, frame: ImageSize, grammar: Grammar) -> ParsedCompletion:
    """Read a completion; never raises on any text.

    Of a malformed one everything readable is returned: of a text that is no JSON the entries that are, of a box that
    leaves the frame the part inside; impossible boxes and points outside the frame are left out.

    Args:
        text: what the policy wrote.
        frame: the width and height over which its coordinates run.
        grammar: what it was asked to write.
    """
    reader = _Reader(frame, grammar)
    reader.read(text)
    return ParsedCompletion(
        reader.reasoning, tuple(reader.objects), limit_problems(reader.problems), well_formed=not reader.problems
    )


@dataclass(slots=True)
class _Reader:
    """One reading of a completion; ``problems`` are keys, so that each is listed once."""

    frame: ImageSize
    grammar: Grammar
    reasoning: str | None = None
    objects: list[ObjectPrompt] = field(default_factory=list)
    problems: dict[str, None] = field(default_factory=dict)

    def read(self, text: str) -> None:
        thoughts, tag, answer = text.partition("</think>")
        before, content = self._split(answer if tag else text)
        reasoning = thoughts.replace("<think>", "", 1) if tag else before.replace("<think>", "", 1)
        self.reasoning = reasoning.strip() or None
        if self.reasoning is None:
            self._problem("there is no reasoning before the JSON")
        if content is None:
            self._problem("there is no JSON list of objects")
            return
        entries = self._entries(content)
        if len(entries) > MAX_BOXES:
            self._problem(f"there are more than {MAX_BOXES} objects: the others are left out")
        for entry in entries[:MAX_BOXES]:
            self._read_entry(entry)
        if self.grammar is Grammar.ABSTENTION and entries:
            self._problem("the list should be empty")
        elif self.grammar is not Grammar.ABSTENTION and not self.objects:
            self._problem("there is no mask prompt")

    def _problem(self, what: str) -> None:
        self.problems[what] = None

    def _split(self, answer: str) -> tuple[str, str | None]:
        """What stands before the JSON, and the JSON; None when there is none."""
        fence = _FENCE.search(answer)
        if fence:
            content, closing, after = answer[fence.end() :].partition("```")
            if not closing:
                self._problem("the JSON is never closed by ```")
            elif after.strip():
                self._problem(f"text after the JSON: {quote(after)}")
            return answer[: fence.start()], content
        self._problem("the JSON should stand between ```json and ```")
        start = _LIST_START.search(answer)
        return (answer[: start.start()], answer[start.start() :]) if start else (answer, None)

    def _entries(self, content: str) -> list[Mapping[str, Any]]:
        try:
            found = _decode(content)
        except (ValueError, RecursionError) as error:
            # RecursionError: brackets within brackets within brackets.
            self._problem(f"the JSON cannot be read: {error}")
            found = list(islice(_readable_entries(content), MAX_BOXES + 1))
        if isinstance(found, dict):
            self._problem("the JSON should be a list")
            found = [found]
        if not isinstance(found, list):
            self._problem(f"the JSON should be a list, not {quote(content)}")
            return []
        entries: list[Mapping[str, Any]] = [entry for entry in found if isinstance(entry, dict)]
        if len(entries) < len(found):
            self._problem("the list should hold objects in braces and nothing else")
        return entries

    def _read_entry(self, entry: Mapping[str, Any]) -> None:
        wanted = _KEYS[self.grammar]
        for key in (BOX, POINT):
            if (key in entry) is not (key in wanted):
                self._problem(f"an object lacks its {key}" if key in wanted else f"{key} has no place in this answer")
        box = self._box(entry[BOX]) if BOX in entry else None
        points = self._points(entry[POINT]) if POINT in entry else ()
        label = entry.get("label")
        name = label.strip()[:MAX_LABEL] if isinstance(label, str) else ""
        if box or points:
            self.objects.append(ObjectPrompt(box, points, name or None))

    def _box(self, value: Any) -> Box | None:
        numbers = _numbers(value, 4)
        if numbers is None:
            self._problem(f"{BOX} should read [x1, y1, x2, y2], not {_spelled(value)}")
            return None
        box, problems = box_inside(numbers, self.frame, _spelled(value))
        for problem in problems:
            self._problem(problem)
        return box

    def _points(self, value: Any) -> tuple[Point, ...]:
        """One point, or a list of points, which some models write for an object of several parts."""
        several = isinstance(value, list) and bool(value) and all(isinstance(each, list) for each in value)
        found = []
        for each in value[: MAX_POINTS // MAX_BOXES] if several else [value]:
            numbers = _numbers(each, 2)
            if numbers is None:
                self._problem(f"{POINT} should read [x, y], not {_spelled(each)}")
            elif problem := point_outside(numbers[0], numbers[1], self.frame):
                self._problem(problem)
            else:
                found.append(Point(numbers[0], numbers[1], 1))
        return tuple(found)


def _decode(content: str) -> Any:
    """JSON with every number a float: a whole number may have more digits than Python reads at once.

    Raises:
        ValueError: when it is none.
        RecursionError: when it is nested too deeply.
    """
    return json.loads(content, parse_int=float)


def _readable_entries(content: str) -> Iterator[Any]:
    """What can be read between braces, in a text that cannot be read as a whole."""
    for match in _ENTRY.finditer(content):
        try:
            yield _decode(match[0])
        except (ValueError, RecursionError):
            continue


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """The numbers of a list of ``count`` of them; None for anything else."""
    if not isinstance(value, list) or len(value) != count:
        return None
    if not all(isinstance(each, float) and isfinite(each) for each in value):
        return None
    return tuple(value)


def _spelled(value: Any) -> str:
    """The beginning of a value for a message, one level deep: what is nested may be nested too deeply to be written."""
    if isinstance(value, list):
        return quote(f"[{', '.join('...' if isinstance(each, list | dict) else str(each)[:40] for each in value[:6])}]")
    return quote("{...}" if isinstance(value, dict) else str(value))
