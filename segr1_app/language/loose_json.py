"""JSON as multimodal models really write it: single quotes, missing and trailing commas, full-width and invisible
characters, comments, raw line feeds.

Nothing is evaluated. Text is read in one pass, up to `MAX_TOKENS` tokens and `MAX_DEPTH` nested brackets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

MAX_TOKENS: Final = 20_000
"""Maximum number of tokens in text that is not strict JSON; 256 objects with boxes, points and names have some
10,000.
"""
MAX_DEPTH: Final = 32
"""Deepest nesting of brackets in such text."""

_WIDE: Final = str.maketrans("［］｛｝，、：（）()０１２３４５６７８９．－", "[]{},,:[][]0123456789.-")
"""Full-width punctuation and digits, and Python's brackets of tuples, and what they stand for."""
_WORDS: Final = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_TOKEN = re.compile(
    r"""(?:[\s\u200b\u2060\ufeff]++|//[^\n]*+|\#[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+(?:
        (?P<mark>[][{},:［］｛｝，、：（）()])
      | (?P<double>"(?:[^"\\]|\\.)*+")
      | (?P<single>'(?:[^'\\]|\\.)*+'|‘[^’]*+’|[“”][^”]*+”|「[^」]*+」|＂[^＂]*+＂)
      | (?P<number>[-+－]?+(?:[0-9０-９]++(?:[.．][0-9０-９]*+)?+|\.[0-9]++)(?:[eE][-+]?+[0-9]++)?+)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Whole(float):
    """A number written without a fraction, of any length."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A value, and descriptions of how its text deviates from JSON; numbers are floats, whole ones `Whole`."""

    value: Any
    oddities: tuple[str, ...] = ()


def decode_json(text: str) -> Decoded:
    """Read text as JSON: strictly if it is valid, else leniently where its meaning is clear.

    Raises:
        ValueError: when it can be read neither way; the message says why.
    """
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                repeated.append(name)
            found[name] = value
        return found

    try:
        # Whole numbers are parsed as floats, because they may have more digits than Python converts to an int.
        value = json.loads(text, parse_int=Whole, parse_float=float, object_pairs_hook=collect)
    except (ValueError, RecursionError) as error:
        reader = _Reader(_tokens(text))
        try:
            value = reader.read_all()
        except _UnreadableError as trouble:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise ValueError(str(trouble) or reason) from error
        return Decoded(value, tuple(reader.oddities))
    return Decoded(value, (_twice(repeated[0]),) if repeated else ())


def _twice(name: str) -> str:
    return f"a key appears twice in one object, such as '{name[:40]}': the last one counts"


class _UnreadableError(Exception):
    """The meaning of the text is not clear."""


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of each token; the text of a string excludes its quotes."""
    place = count = 0
    end = len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        count += 1
        if match is None or count > MAX_TOKENS:
            raise _UnreadableError("it is not valid JSON and too long to be repaired" if match else "")
        place = match.end()
        kind = str(match.lastgroup)
        yield kind, match[kind].translate(_WIDE) if kind in ("mark", "number") else match[kind]


@dataclass(slots=True)
class _Reader:
    """Builds values from tokens; ``oddities`` is a dict, so that each is reported once."""

    tokens: Iterator[tuple[str, str]]
    oddities: dict[str, None] = field(default_factory=dict)
    depth: int = 0

    def read_all(self) -> Any:
        value = self._value(*self._next())
        if next(self.tokens, None) is not None:
            raise _UnreadableError
        if not self.oddities:
            self.oddities["it is not valid JSON"] = None
        return value

    def _next(self) -> tuple[str, str]:
        token = next(self.tokens, None)
        if token is None:
            raise _UnreadableError
        return token

    def _value(self, kind: str, text: str) -> Any:
        if text in ("[", "{") and kind == "mark":
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise _UnreadableError("it is nested too deeply")
            value: Any = self._list() if text == "[" else self._object()
            self.depth -= 1
            return value
        if kind in ("double", "single"):
            return self._string(kind, text)
        if kind == "number":
            return float(text) if any(mark in text for mark in ".eE") else Whole(text)
        if kind == "word" and text in _WORDS:
            return _WORDS[text]
        raise _UnreadableError

    def _string(self, kind: str, text: str) -> str:
        if kind == "single":
            self.oddities["a string is not in double quotes"] = None
        if "\n" in text:
            self.oddities["a string contains a line feed"] = None
        return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1])

    def _list(self) -> list[Any]:
        found: list[Any] = []
        kind, text = self._next()
        while not (kind == "mark" and text == "]"):
            found.append(self._value(kind, text))
            kind, text = self._after(found, "]")
        return found

    def _object(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        kind, text = self._next()
        while not (kind == "mark" and text == "}"):
            if kind not in ("double", "single", "word"):
                raise _UnreadableError
            name = text if kind == "word" else self._string(kind, text)
            if kind == "word":
                self.oddities["a key is not in quotes"] = None
            if self._next() != ("mark", ":"):
                raise _UnreadableError
            if name in found:
                self.oddities[_twice(name)] = None
            found[name] = self._value(*self._next())
            kind, text = self._after(found, "}")
        return found

    def _after(self, found: list[Any] | dict[str, Any], closing: str) -> tuple[str, str]:
        """The token after a value: the closing one, or, after a comma, the first of the next value."""
        token = self._next()
        if token == ("mark", closing):
            return token
        if token != ("mark", ","):
            self.oddities["a comma is missing"] = None
            return token
        token = self._next()
        if found and token == ("mark", closing):
            self.oddities["there is a comma before a closing bracket"] = None
        return token
