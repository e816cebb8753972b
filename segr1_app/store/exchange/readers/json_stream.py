"""The members of the lists in a JSON file of any size, one at a time and in one pass.

Python's own parser reads each member; it is several times faster than parsers that report every number as an event, and
it knows NaN and Infinity, which Python and NumPy write. Only the text of the member that is being read is in memory.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from segr1_app.files.foreign_json import ForeignJsonError
from segr1_app.store.exchange.files import Files
from segr1_app.store.exchange.readers.sources import Readable, json_bytes

MAX_MEMBER: Final = 64 * 2**20
"""Most characters of one member of a list, and of any value outside a list."""
_PIECE: Final = 2**20
_LONGEST_WORD: Final = 16
"""At most this many characters before the end of a chunk, a word, escape or number may continue in the next one."""
_DECODER: Final = json.JSONDecoder()
_BLANK: Final = " \t\n\r"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a list.

    Attributes:
        key: the list's name in the object that the file is; empty when the file is a list itself.
        value: the member.
        text: how it is written.
    """

    key: str
    value: Any
    text: str


def members(files: Files, name: PurePosixPath, watch: Callable[[int], None] = lambda _: None) -> Iterator[Member]:
    """The members of the list that a JSON file is, or of all lists that its object names, in their order.

    Args:
        files, name: the JSON file.
        watch: is called now and then with how many bytes were read.

    Raises:
        json.JSONDecodeError: when it is not valid JSON; NaN and Infinity are read as floats.
        ForeignJsonError: when a member, or another value, has more than `MAX_MEMBER` characters.
        OSError: when it cannot be read.
    """
    with json_bytes(files, name) as file:
        text = _Text(file, watch)
        if text.take("[{") == "[":
            yield from _members(text, "")
        elif text.peek() == "}":
            text.take("}")
        else:
            comma = ","
            while comma == ",":
                key, _ = text.value()
                if not isinstance(key, str):
                    raise text.fault("Expecting property name enclosed in double quotes")
                text.take(":")
                if text.peek() == "[":
                    text.take("[")
                    yield from _members(text, key)
                else:
                    text.value()
                comma = text.take(",}")
        if text.peek():
            raise text.fault("Extra data")


def _members(text: _Text, key: str) -> Iterator[Member]:
    if text.peek() == "]":
        text.take("]")
        return
    comma = ","
    while comma == ",":
        value, written = text.value()
        yield Member(key, value, written)
        comma = text.take(",]")


class _Text:
    """A JSON text, of which only what is being read is in memory."""

    def __init__(self, file: Readable, watch: Callable[[int], None]) -> None:
        self._file, self._watch = file, watch
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0
        self._bytes, self._ended = 0, False

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _BLANK:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def take(self, wanted: str) -> str:
        """Pass over the next character, which must be one of ``wanted``."""
        found = self.peek()
        if not found or found not in wanted:
            raise self.fault(f"Expecting one of {wanted}")
        self._at += 1
        return found

    def value(self) -> tuple[Any, str]:
        """The next value, and how it is written."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or self._is_near_end(error.pos)
                if not (cut and self._more()):
                    raise
            else:
                if not (self._is_near_end(end) and self._more()):
                    written, self._at = self._text[self._at : end], end
                    return value, written

    def fault(self, message: str) -> json.JSONDecodeError:
        """An error at this place."""
        return json.JSONDecodeError(message, self._text, self._at)

    def _is_near_end(self, place: int) -> bool:
        return not self._ended and place > len(self._text) - _LONGEST_WORD

    def _more(self) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        rest = self._text[self._at :]
        if len(rest) > MAX_MEMBER:
            raise ForeignJsonError(f"a record in it has more than {MAX_MEMBER // 2**20} MiB")
        # At least as much again as there is: reading a long member from its beginning each time must not add up.
        chunk = self._file.read(max(_PIECE, len(rest)))
        self._bytes += len(chunk)
        self._ended = not chunk
        self._text, self._at = rest + self._decoder.decode(chunk, final=self._ended), 0
        self._watch(self._bytes)
        return True
