"""Read tagged answers as the authors of published checkpoints do: in any order, with any text in between.

This project's own codec (`segr1_app.language.codec`) is strict. Here an answer is well formed if nothing in it is lost:
every part is present, not repeated where only the first is read, and every number can be used. Nothing is evaluated,
and parsing takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from segr1_app.domain import Box, ImageSize, Point
from segr1_app.language.codec import (
    MAX_BOXES,
    MAX_POINTS,
    MAX_TAGS,
    box_inside,
    has_no_values,
    is_empty_list,
    loose_tuples,
    loose_values,
    point_outside,
    quote,
    spell,
)

NOTHING_TAG: Final = "no_camouflage"
"""CFCamo's tag for "there is no such object"."""
PARTS: Final = ("think", "bbox", "points", "labels")

# Possessive quantifiers never backtrack, so each match takes linear time.
_TAG = re.compile(rf"<(/?)({'|'.join((*PARTS, NOTHING_TAG))})\s*+/?+\s*+>")
_WHOLE_BOX = re.compile(r"\s*+\[\s*+[0-9]++(?:\s*+,\s*+[0-9]++){3}\s*+\]\s*+")


@dataclass(frozen=True, slots=True)
class TagRules:
    """How a checkpoint's authors read a tagged answer.

    Attributes:
        parts: the tags of `PARTS` that an answer has; others do not belong in it.
        whole_numbers: whether only whole numbers are read: values with a sign or a fraction are ignored.
        drop_unpaired: whether all points and labels are dropped when their counts differ, instead of only those without
            a partner.
        empty_abstains: whether empty lists mean that there is no such object.
        tag_abstains: whether `NOTHING_TAG` means so.
    """

    parts: tuple[str, ...] = PARTS
    whole_numbers: bool = True
    drop_unpaired: bool = True
    empty_abstains: bool = False
    tag_abstains: bool = False


@dataclass(slots=True)
class TaggedAnswer:
    """State of parsing one answer; ``problems`` is a dict, so that each is reported once.

    Attributes:
        reasoning: the text inside ``<think>``, stripped; None when there is none.
        boxes, points: in the answer's coordinates; it does not say which point belongs to which box.
        abstains: whether it says that there is no such object, well formed or not.
        cut_off: whether a tag is never closed, as in an answer that was cut off.
    """

    frame: ImageSize
    rules: TagRules
    reasoning: str | None = None
    boxes: list[Box] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    problems: dict[str, None] = field(default_factory=dict)
    abstains: bool = False
    cut_off: bool = False

    def read(self, text: str) -> None:
        """Read a completion; never raises on any text."""
        found = self._sections(text)
        thoughts = found["think"][:1]
        self.reasoning = thoughts[0].strip() or None if thoughts else None
        if thoughts and self.reasoning is None:
            self._problem("the reasoning is empty")
        self.abstains = self._says_nothing(found)
        self._check_parts(found)
        if self.abstains:
            return
        self._read_boxes(found["bbox"])
        if "points" in self.rules.parts:
            self._read_points(found["points"][:1], found["labels"][:1])
        if not self.boxes and not self.points and not self.problems:
            self._problem("there is no mask prompt")

    def _problem(self, what: str) -> None:
        self.problems[what] = None

    def _sections(self, text: str) -> dict[str, list[str]]:
        """The content of each tag, in order; a section ends with its closing tag, else before the next tag."""
        tags = list(islice(_TAG.finditer(text), MAX_TAGS + 1))
        if len(tags) > MAX_TAGS:
            self._problem(f"there are more than {MAX_TAGS} tags: what follows them is left out")
            text = text[: tags.pop().start()]
        found: dict[str, list[str]] = {name: [] for name in (*PARTS, NOTHING_TAG)}
        number = 0
        while number < len(tags):
            tag = tags[number]
            closing, name = bool(tag[1]), tag[2]
            number += 1
            if name == NOTHING_TAG:
                found[name] += [] if closing else [""]
                continue
            if closing:
                self._problem(f"</{name}> closes nothing")
                continue
            end = number
            if name == "think":
                # Tags inside the reasoning are not part of the answer; a reasoning that is never closed ends before the
                # next tag.
                closers = (i for i in range(number, len(tags)) if tags[i][1] and tags[i][2] == name)
                end = next(closers, number)
            following = tags[end] if end < len(tags) else None
            found[name].append(text[tag.end() : following.start() if following else len(text)])
            if following is None or not (following[1] and following[2] == name):
                self._problem(f"<{name}> is never closed")
                self.cut_off = True
                continue
            if end > number:
                self._problem("the reasoning contains tags of the answer: they are ignored")
            number = end + 1
        return found

    def _says_nothing(self, found: dict[str, list[str]]) -> bool:
        if self.cut_off:
            return False
        if self.rules.tag_abstains:
            if found[NOTHING_TAG] and found["bbox"]:
                self._problem(f"the answer says <{NOTHING_TAG}/> and gives a box: it contradicts itself")
                return False
            return bool(found[NOTHING_TAG])
        if not self.rules.empty_abstains:
            return False
        answer = [content for name in self.rules.parts if name != "think" for content in found[name]]
        return bool(found["bbox"]) and all(map(has_no_values, answer))

    def _check_parts(self, found: dict[str, list[str]]) -> None:
        for name in PARTS:
            count = len(found[name])
            wanted = name in self.rules.parts and not (self.abstains and self.rules.tag_abstains and name != "think")
            if count and name not in self.rules.parts:
                self._problem(f"<{name}> does not belong in this answer: it is ignored")
            elif wanted and not count:
                self._problem(f"<{name}> is missing")
            elif count > 1 and name != "bbox":
                self._problem(f"<{name}> appears {count} times: the first is read")
            if wanted and (name in ("points", "labels") or (name == "bbox" and self.abstains)):
                for content in found[name]:
                    if has_no_values(content) and not is_empty_list(content):
                        self._problem(f"<{name}> should read [] if it is empty, not {quote(content)}")
        if found[NOTHING_TAG] and not self.rules.tag_abstains:
            self._problem(f"<{NOTHING_TAG}/> does not belong in this answer: it is ignored")

    def _read_boxes(self, contents: Sequence[str]) -> None:
        boxes: list[Box] = []
        for content in contents[:MAX_BOXES]:
            if self._refused("bbox", content):
                continue
            # In answers without points, such as CFCamo's, several boxes may share a tag.
            if "points" in self.rules.parts and not _WHOLE_BOX.fullmatch(content):
                self._problem(f"<bbox> should read [x1,y1,x2,y2], not {quote(content)}")
            for numbers in loose_tuples(content, 4, MAX_BOXES + 1):
                if numbers is None:
                    self._problem(f"<bbox> should read [x1,y1,x2,y2], not {quote(content)}")
                    continue
                box, problems = box_inside(numbers, self.frame, quote(content))
                for problem in problems:
                    self._problem(problem)
                boxes += [box] if box else []
        if len(boxes) > MAX_BOXES or len(contents) > MAX_BOXES:
            self._problem(f"there are more than {MAX_BOXES} boxes: the others are left out")
        self.boxes = boxes[:MAX_BOXES]

    def _read_points(self, points: Sequence[str], labels: Sequence[str]) -> None:
        places = loose_tuples(points[0], 2, MAX_POINTS + 1) if points and not self._refused("points", points[0]) else []
        given = loose_values(labels[0], MAX_POINTS + 1) if labels and not self._refused("labels", labels[0]) else []
        if max(len(places), len(given)) > MAX_POINTS:
            self._problem(f"there are more than {MAX_POINTS} points: the others are left out")
            places, given = places[:MAX_POINTS], given[:MAX_POINTS]
        if len(places) != len(given):
            dropped = "all are left out" if self.rules.drop_unpaired else "those without a partner are left out"
            self._problem(f"{len(places)} points have {len(given)} labels: {dropped}")
            if self.rules.drop_unpaired:
                return
        for place, label in zip(places, given, strict=False):
            if place is None or label is None:
                self._problem("a point or label is not readable as numbers: it is left out")
            elif label not in (0, 1):
                self._problem(f"the label {spell(label)} is neither 1 nor 0: its point is left out")
            elif problem := point_outside(place[0], place[1], self.frame):
                self._problem(problem)
            else:
                self.points.append(Point(place[0], place[1], int(label)))

    def _refused(self, name: str, content: str) -> bool:
        """Whether a part contains numbers that must be rejected because only whole numbers are read."""
        if self.rules.whole_numbers and ("." in content or "-" in content):
            self._problem(f"<{name}> contains numbers that are not whole, in {quote(content)}: it is left out")
            return True
        return False


def with_think_tags(thought: str, answered: str, thinking: bool) -> tuple[str, bool]:
    """A piece as the model wrote it, before the server took its reasoning out of ``<think>`` and ``</think>``.

    Args:
        thought, answered: the piece's reasoning and the rest of its text.
        thinking: whether the pieces before it opened ``<think>`` without closing it.

    Returns:
        The piece, and whether ``<think>`` is open after it.
    """
    if thought and not thinking:
        thought, thinking = f"<think>{thought}", True
    if answered and thinking:
        answered, thinking = f"</think>{answered}", False
    return thought + answered, thinking
