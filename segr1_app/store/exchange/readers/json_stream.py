"""The members of a list in a JSON file of any size, one at a time; numbers that parsers do not know become texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

import ijson

from segr1_app.store.exchange.files import Files
from segr1_app.store.exchange.readers.sources import Readable, json_bytes

_NOT_FINITE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?Infinity|NaN|(?<![\d.eE+-])-?\d{19,}(?![\d.eE])', re.DOTALL)
"""Strings, which are left alone, what Python and NumPy write for numbers that are none, and integers beyond 64 bits."""
_LONGEST: Final = 400
"""Most characters of a number or a word."""
_UNFINISHED: Final = re.compile(rb'"(?:[^"\\]|\\.)*\\?$|[-+.a-zA-Z0-9]{1,400}$', re.DOTALL)


def items(files: Files, name: PurePosixPath, path: str, *, tolerant: bool) -> Iterator[Any]:
    """The members of a list.

    Args:
        files, name: the JSON file.
        path: of the members, such as "images.item".
        tolerant: whether NaN, Infinity and integers of more than 64 bits become texts; reading takes longer then.

    Raises:
        ijson.JSONError: when it is not valid JSON.
        OSError: when it cannot be read.
    """
    with json_bytes(files, name) as file:
        yield from ijson.items(_Quoting(file) if tolerant else file, path, use_float=True)


class _Quoting:
    """A JSON file whose numbers that are none are quoted."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        if size == 0:
            return b""
        while True:
            chunk = self._file.read(size)
            text, self._rest = self._rest + chunk, b""
            if chunk and (cut := self._unfinished(text)) < len(text):
                text, self._rest = text[:cut], text[cut:]
            if text or not chunk:
                return _NOT_FINITE.sub(_quoted, text)

    @staticmethod
    def _unfinished(text: bytes) -> int:
        """Where a string or a word begins that may go on in the next chunk."""
        end = 0
        for found in _NOT_FINITE.finditer(text):
            end = found.end()
        open_string = text.find(b'"', end)
        if open_string >= 0:
            return open_string
        tail = _UNFINISHED.search(text, max(end, len(text) - _LONGEST))
        return tail.start() if tail else len(text)


def _quoted(found: re.Match[bytes]) -> bytes:
    word = found.group()
    return word if word.startswith(b'"') else b'"' + word + b'"'
