"""Mask prompts as JSON, as stock multimodal models and Seg-Zero's family write them::

    ... reasoning ... ```json [{"bbox_2d": [x1, y1, x2, y2], "point_2d": [x, y], "label": "a frog"}] ```
    <think> reasoning </think> <answer>[{"bbox_2d": [x1, y1, x2, y2], "point_2d": [x, y]}]</answer>

Thinking models put their reasoning before ``</think>``. Nothing is evaluated, and parsing takes time linear in the
text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point
from segr1_app.geometry import assign_points
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
from segr1_app.language.json_shapes import (
    BOX,
    CORNERS,
    EVERY_CORNER,
    EVERY_NAME,
    MAX_NESTING,
    NAMES,
    POINT,
    all_numbers,
    are_shares,
    box_lists,
    holds_nothing,
    numbers_of,
    peel,
    plain_key,
    unquoted,
    unwrap,
)
from segr1_app.language.loose_json import decode_json

MAX_LABEL = 200
"""Longest object name in characters; the rest is cut off."""
MAX_JSON = 100_000
"""Maximum number of characters of JSON that are read; 256 objects take some 30,000."""
_KEYS = {Grammar.FULL: {BOX, POINT}, Grammar.PRE_RL: {POINT}, Grammar.ABSTENTION: set[str]()}
_ABSENT: Final = object()
_LANGUAGE = re.compile(r"[A-Za-z0-9_+-]*+")
_LIST_START = re.compile(r"[\[［]\s*+[]{\[］｛［]|[{｛]")
_BLOCK = re.compile(r"\s*+(?:json[a-z0-9]*+)?+\s*+[\[{［｛]", re.IGNORECASE)
# Entries have no nested braces, so in text that is not valid JSON, whole entries can still be read one by one.
_ENTRY = re.compile(r"[{｛][^{}｛｝]*+[}｝]")
# In an entry that cannot be read, for example because of quotation marks within a name, its lists of numbers still can.
_MEMBER = re.compile(r"(?<![A-Za-z0-9_])([A-Za-z0-9_]++)[\\\"'”’`]*+\s*+[:：]\s*+([\[［][^][{}［］｛｝]*+[]］])")


def parse_json_prompts(text: str, frame: ImageSize, grammar: Grammar = Grammar.FULL) -> ParsedCompletion:
    """Read a completion with JSON between ```` ```json ```` and ```` ``` ````; never raises on any text.

    Everything readable in a malformed one is returned: the valid entries of a text that is not valid JSON; boxes are
    clipped to the frame; empty boxes and points outside the frame are ignored.

    Args:
        text: what the policy wrote.
        frame: (width, height) of its coordinate range.
        grammar: the form it was asked to write.
    """
    return _parsed(_Reader(frame, grammar), text)


def parse_answer_json(text: str, frame: ImageSize, grammar: Grammar = Grammar.FULL) -> ParsedCompletion:
    """Read a completion with JSON inside ``<answer>``, after ``<think>``; otherwise like `parse_json_prompts`."""
    return _parsed(_AnswerReader(frame, grammar), text)


def _parsed(reader: _Reader, text: str) -> ParsedCompletion:
    reader.read(text)
    return ParsedCompletion(
        reader.reasoning,
        tuple(reader.objects),
        limit_problems(reader.problems),
        well_formed=not reader.problems,
        abstains=reader.abstains,
    )


@dataclass(slots=True)
class _Reader:
    """State of parsing one completion; ``problems`` is a dict, so that each problem is listed once.

    ``shares`` says that all coordinates run from 0 to 1, whatever the frame; ``abstains`` that the list is empty.
    """

    frame: ImageSize
    grammar: Grammar
    reasoning: str | None = None
    objects: list[ObjectPrompt] = field(default_factory=list)
    problems: dict[str, None] = field(default_factory=dict)
    shares: bool = False
    abstains: bool = False

    def read(self, text: str) -> None:
        content = self._content(text)
        if content is None:
            self._problem("there is no JSON list of objects")
            return
        entries = self._entries(content)
        if len(entries) > MAX_BOXES:
            self._problem(f"there are more than {MAX_BOXES} objects: the others are left out")
        entries = [self._unquoted_entry(entry) for entry in entries[:MAX_BOXES]]
        self.shares = are_shares(list(islice(all_numbers(entries), MAX_POINTS)))
        for entry in entries:
            self._read_entry(entry)
        if len(self.objects) > MAX_BOXES:
            self._problem(f"there are more than {MAX_BOXES} objects: the others are left out")
            del self.objects[MAX_BOXES:]
        if self.grammar is Grammar.ABSTENTION and entries:
            self._problem("the list should be empty")
        elif self.grammar is not Grammar.ABSTENTION and not self.objects:
            self._problem("there is no mask prompt")

    def _problem(self, what: str) -> None:
        self.problems[what] = None

    def _content(self, text: str) -> str | None:
        """The JSON of a completion, None when there is none; the text before it is the reasoning."""
        thoughts, tag, answer = text.partition("</think>")
        before, content = self._fenced(answer if tag else text)
        reasoning = thoughts.replace("<think>", "", 1) if tag else before.replace("<think>", "", 1)
        self.reasoning = reasoning.strip() or None
        if self.reasoning is None:
            self._problem("there is no reasoning before the JSON")
        return content

    def _fenced(self, answer: str) -> tuple[str, str | None]:
        """The text before the JSON, and the JSON; None when there is none."""
        parts = answer.split("```")
        if len(parts) == 1:
            self._problem("the JSON should be enclosed in ```json and ```")
            start = _LIST_START.search(answer)
            return (answer[: start.start()], answer[start.start() :]) if start else (answer, None)
        # Every second part is between fences; of several, the last one that could be JSON is the answer.
        blocks = range(1, len(parts), 2)
        likely = [i for i in blocks if _BLOCK.match(parts[i])] or [i for i in blocks if _LIST_START.search(parts[i])]
        chosen = likely[-1] if likely else 1
        if len(likely) > 1:
            self._problem(f"there are {len(likely)} blocks of JSON: the last one is read")
        if chosen == len(parts) - 1:
            self._problem("the JSON is never closed by ```")
        elif any(part.strip() for part in parts[chosen + 1 :]):
            self._problem(f"text after the JSON: {quote(''.join(parts[chosen + 1 :])[:200])}")
        content = parts[chosen].lstrip()
        language = _LANGUAGE.match(content)
        named = language[0] if language else ""
        if named.lower() not in ("", "json"):
            self._problem(f"the block should be one of json, not of {quote(named)}")
        return "```".join(parts[:chosen]), content[len(named) :]

    def _entries(self, content: str) -> list[Mapping[str, Any]]:
        if len(content) > MAX_JSON:
            self._problem(f"the JSON is longer than {MAX_JSON} characters: what follows them is left out")
            content = content[:MAX_JSON]
        try:
            found = decode_json(content)
        except ValueError as error:
            self._problem(f"the JSON cannot be read: {error}")
            value: Any = list(islice(_readable_entries(content), MAX_BOXES + 1))
        else:
            for oddity in found.oddities:
                self._problem(f"the JSON is not well formed: {oddity}")
            value = self._unwrapped(self._unquoted(found.value))
            if holds_nothing(value):
                self.abstains = True
                if value:
                    self._problem("a list without objects should read []")
                return []
        if not isinstance(value, list):
            self._problem(f"the JSON should be a list, not {quote(content)}")
            return []
        value = [each if isinstance(each, dict) else self._numbers(each) for each in value[: MAX_BOXES + 1]]
        if len(value) == 4 and all(isinstance(each, float) for each in value):
            value = [value]
        entries: list[Mapping[str, Any]] = []
        for each in value:
            if isinstance(each, dict):
                entries.append(each)
                continue
            self._problem("the list should contain only objects in braces")
            if isinstance(each, list):
                inner = [part for part in each if isinstance(part, dict)]
                entries += inner or ([{BOX: each}] if numbers_of(each, 4) else [])
        return entries

    def _unquoted(self, value: Any) -> Any:
        """What a string holds that is JSON itself; any other value as it is."""
        if not isinstance(value, str):
            return value
        try:
            inner = decode_json(value).value
        except ValueError:
            return value
        self._problem("the JSON is inside a string")
        return inner

    def _numbers(self, value: Any) -> Any:
        """Coordinates, whether in quotes or not."""
        found = unquoted(value)
        if found != value:
            self._problem("coordinates should not be in quotes")
        return found

    def _unquoted_entry(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            name: self._numbers(value) if plain_key(name) in EVERY_NAME or name in EVERY_CORNER else value
            for name, value in entry.items()
        }

    def _unwrapped(self, value: Any) -> Any:
        """The list of objects in whatever is wrapped around it."""
        for _ in range(MAX_NESTING):
            inner = unwrap(value)
            if inner is None:
                break
            self._problem("the JSON should be a list of objects with nothing around it")
            value = inner
        if isinstance(value, dict):
            self._problem("the JSON should be a list")
            return [value]
        return value

    def _read_entry(self, entry: Mapping[str, Any]) -> None:
        values = {key: self._member(entry, key) for key in NAMES}
        boxes = [] if values[BOX] is _ABSENT else self._boxes(values[BOX])
        points = () if values[POINT] is _ABSENT else self._points(values[POINT])
        label = entry.get("label")
        if not isinstance(label, str | None):
            self._problem(f"the label should be text, not {_spelled(label)}")
        name = (label.strip()[:MAX_LABEL] if isinstance(label, str) else "") or None
        if len(boxes) > 1:
            self.objects += [ObjectPrompt(each.box, each.points, name) for each in assign_points(boxes, points)]
        elif boxes or points:
            self.objects.append(ObjectPrompt(boxes[0] if boxes else None, points, name))

    def _member(self, entry: Mapping[str, Any], key: str) -> Any:
        """The box or the point of an entry, under whatever name; `_ABSENT` if there is none."""
        given = [name for name in entry if plain_key(name) in NAMES[key]]
        # Beside a width and a height, x and y are the corner of a box and not a point.
        sized = key == POINT and any(name in entry for name in ("width", "height", "w", "h"))
        if not given and not sized and any(all(name in entry for name in names) for names in CORNERS[key]):
            # The coordinates lie in the entry itself.
            return entry
        if key not in _KEYS[self.grammar]:
            if given:
                self._problem(f"{key} does not belong in this answer")
        elif given[-1:] != [key]:
            instead = f": its {quote(given[-1])} is used" if given else ""
            self._problem(f"an object lacks its {key}{instead}")
        if len(given) > 1:
            self._problem(f"an object has its {key} twice, also as {quote(given[0])}: the last one counts")
        return entry[given[-1]] if given else _ABSENT

    def _boxes(self, value: Any) -> list[Box]:
        """One box, or several boxes, which some models write in one entry."""
        found = []
        peeled = peel(value)
        if isinstance(value, dict) and peeled is not value:
            self._problem(f"{BOX} should read [x1, y1, x2, y2], not {_spelled(value)}")
        value = peeled
        several = box_lists(value)
        if several is not None:
            self._problem(f"{BOX} should read [x1, y1, x2, y2], not {_spelled(value)}")
        for each in [value] if several is None else several[:MAX_BOXES]:
            numbers = self._coordinates(each, BOX)
            if numbers is None:
                self._problem(f"{BOX} should read [x1, y1, x2, y2], not {_spelled(each)}")
                continue
            x1, y1, x2, y2 = numbers
            if x1 > x2 or y1 > y2:
                self._problem(f"the box {_spelled(each)} has its corners in the wrong order: they are swapped")
                numbers = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
            box, problems = box_inside(numbers, self.frame, _spelled(each))
            for problem in problems:
                self._problem(problem)
            found += [box] if box else []
        return found

    def _points(self, value: Any) -> tuple[Point, ...]:
        """One point, or a list of points, which some models write for an object of several parts."""
        found = []
        peeled = peel(value)
        if peeled is not value:
            self._problem(f"{POINT} should read [x, y], not {_spelled(value)}")
        value = peeled
        several = isinstance(value, list) and bool(value) and all(isinstance(each, list | dict) for each in value)
        for each in value[: MAX_POINTS // MAX_BOXES] if several else [value]:
            numbers = self._coordinates(each, POINT)
            if numbers is None:
                self._problem(f"{POINT} should read [x, y], not {_spelled(each)}")
            elif problem := point_outside(numbers[0], numbers[1], self.frame):
                self._problem(problem)
            else:
                found.append(Point(numbers[0], numbers[1], 1))
        return tuple(found)

    def _coordinates(self, value: Any, key: str) -> tuple[float, ...] | None:
        """The numbers of a box or a point, in the frame; None where they make no sense."""
        possible = CORNERS[key]
        if isinstance(value, dict):
            self._problem(f"{key} should be a list, not {_spelled(value)}")
            given = value
            names = next((names for names in possible if all(name in given for name in names)), possible[0])
            value = [given.get(name) for name in names]
        numbers = numbers_of(value, len(possible[0]))
        # Nobody means a box within the first pixel: it is one in shares, whatever the others are.
        if numbers is None or not (self.shares or are_shares(value)):
            return numbers
        self._problem("coordinates run from 0 to 1: they are read as fractions of width and height")
        return tuple(number * self.frame[i % 2] for i, number in enumerate(numbers))


class _AnswerReader(_Reader):
    """Reads the first ``<answer>`` after the reasoning, as Seg-Zero's authors do."""

    def _content(self, text: str) -> str | None:
        thoughts, tag, behind = text.partition("</think>")
        if tag and "<think>" in thoughts:
            self.reasoning = thoughts.partition("<think>")[2].strip() or None
        if self.reasoning is None:
            self._problem("there is no reasoning between <think> and </think>")
        before, opening, answer = (behind if tag else text).partition("<answer>")
        if not opening:
            self._problem("the JSON should be between <answer> and </answer>")
            start = _LIST_START.search(before)
            return before[start.start() :] if start else None
        content, closing, after = answer.partition("</answer>")
        if not closing:
            self._problem("<answer> is never closed")
        if "<answer>" in after:
            self._problem("there are several <answer> tags: the first one is read")
        if "```" in content:
            self._problem("<answer> should contain nothing but the JSON")
            return self._fenced(content)[1]
        return content


def _readable_entries(content: str) -> Iterator[Any]:
    """The readable entries between braces in text that is not valid JSON."""
    for match in islice(_ENTRY.finditer(content), 4 * MAX_BOXES):
        try:
            yield decode_json(match[0]).value
        except ValueError:
            if members := dict(_readable_members(match[0])):
                yield members


def _readable_members(entry: str) -> Iterator[tuple[str, Any]]:
    """The coordinates that can be read, in an entry that is not valid JSON."""
    for match in islice(_MEMBER.finditer(entry), MAX_NESTING):
        if plain_key(match[1]) in EVERY_NAME:
            try:
                yield match[1], decode_json(match[2]).value
            except ValueError:
                continue


def _spelled(value: Any) -> str:
    """The beginning of a value, for a message; one level deep, because deeper nesting may exceed the recursion
    limit.
    """
    if isinstance(value, list):
        return quote(f"[{', '.join('...' if isinstance(each, list | dict) else _short(each) for each in value[:6])}]")
    return quote("{...}" if isinstance(value, dict) else _short(value))


def _short(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value[:40]}"'
    if isinstance(value, float):
        return f"{value:.12g}"
    return {True: "true", False: "false", None: "null"}.get(value, "...")
