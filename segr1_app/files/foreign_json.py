"""JSON from outside, read within limits of size, depth and digits, whole or as a stream.

Parsers are written for JSON that keeps to its format. A C backend crashes on an integer that Python refuses to convert,
a recursive one runs out of stack, and a path of 100,000 brackets takes gigabytes: what could do that is refused before
a parser sees it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any, Final, NoReturn

import numpy as np

MAX_DEPTH: Final = 64
"""Most brackets within brackets; annotations of any tool need a dozen."""
MAX_DIGITS: Final = 400
"""Most characters of a number; a float of 64 bits has at most 309 digits before its point."""
MAX_STRING: Final = 256 * 2**20
"""Most bytes of a text: a picture of 64 megapixels as Base64 has less."""
MAX_LINE: Final = 32 * 2**20
"""Most bytes of a line of JSON lines."""
MAX_DOCUMENT: Final = 256 * 2**20
"""Most bytes of JSON that is read as a whole."""

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_WHOLE_STRINGS: Final = re.compile(rb'[^"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"]*+)*+', re.DOTALL)
_IN_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
# The look-behind keeps this linear: only the beginning of a number is tried.
_LONG_NUMBER: Final = re.compile(rb"(?<![-+.0-9eE])[-+.0-9eE]{%d}" % (MAX_DIGITS + 1))
_NUMBER_TAIL: Final = re.compile(rb"[-+.0-9eE]*\Z")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_OPENING: Final = np.zeros(256, dtype=np.int64)
_OPENING[list(b"[{")], _OPENING[list(b"]}")] = 1, -1
_BOM: Final = b"\xef\xbb\xbf"


class ForeignJsonError(ValueError):
    """JSON that is refused; the text is a clause such as "it nests more than 64 levels deep"."""


class JsonLimits:
    """Depth, numbers and texts of a JSON document in UTF-8 that comes in pieces."""

    def __init__(self) -> None:
        self._string: int | None = None
        """Bytes of the text that the last piece ended in; None outside of any."""
        self._rest = b""
        """What the last piece may have cut in two: an escape, or a number."""
        self._depth = 0

    def check(self, piece: bytes) -> None:
        """Look at the next piece, before a parser does.

        Raises:
            ForeignJsonError: when the document exceeds a limit.
        """
        content, self._rest = self._rest + piece, b""
        if self._string is not None:
            end = _end_of_string(content)
            self._string += end
            if self._string > MAX_STRING:
                raise ForeignJsonError(f"a text in it has more than {MAX_STRING // 2**20} MiB")
            if content[end : end + 1] != b'"':
                self._rest = content[end:]
                return
            content, self._string = content[end + 1 :], None
        whole = _WHOLE_STRINGS.match(content)
        end = whole.end() if whole else 0
        self._check_outside(_STRING.sub(b" ", content[:end]), ended=end < len(content))
        if end < len(content):
            text = content[end + 1 :]
            self._string = _end_of_string(text)
            self._rest = text[self._string :]

    def _check_outside(self, outside: bytes, *, ended: bool) -> None:
        """Check what stands outside of texts; ``ended`` when a text follows it."""
        if _LONG_NUMBER.search(outside):
            raise ForeignJsonError(f"a number in it has more than {MAX_DIGITS} digits")
        steps = _OPENING[np.frombuffer(outside.translate(None, _NO_BRACKETS), dtype=np.uint8)]
        if steps.size:
            depths = self._depth + np.cumsum(steps)
            self._depth = int(depths[-1])
            if depths.max() > MAX_DEPTH:
                raise ForeignJsonError(f"it nests more than {MAX_DEPTH} levels deep")
        if not ended:
            # Looked at again with the next piece; digits neither change the depth nor begin a text.
            tail = _NUMBER_TAIL.search(outside[-MAX_DIGITS:])
            self._rest = tail[0] if tail else b""


def _end_of_string(content: bytes) -> int:
    """Where the text that ``content`` begins in ends: at its quotation mark, or before an escape that is cut in two."""
    found = _IN_STRING.match(content)
    return found.end() if found else 0


def _utf8(head: bytes) -> bytes:
    """The beginning of a document without its byte order mark."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head[:4]:
        raise ForeignJsonError("it is UTF-16 or UTF-32: save it as UTF-8")
    return head.removeprefix(_BOM)


def parse_json(content: bytes | str) -> Any:
    """The values of a JSON document from outside.

    Raises:
        ForeignJsonError: when it is not valid JSON (RFC 8259), not UTF-8, or exceeds a limit; also for what Python's
            parser
            takes besides: NaN and Infinity, numbers beyond a float, and one name twice in one object.
    """
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(raw) > MAX_DOCUMENT:
        raise ForeignJsonError(f"it has more than {MAX_DOCUMENT // 2**20} MiB")
    raw = _utf8(raw)
    JsonLimits().check(raw)
    try:
        text = raw.decode("utf-8")
        return json.loads(text, parse_float=_float, parse_constant=_constant, object_pairs_hook=_object)
    except ForeignJsonError:
        raise
    except ValueError as error:
        raise ForeignJsonError(f"it is not JSON ({error})") from error


def bounded_lines(file: IO[bytes], end: int | None = None) -> Iterator[bytes | None]:
    """The lines of a file, with their line feeds, up to a place in it; None for one of more than `MAX_LINE` bytes."""
    while end is None or file.tell() < end:
        line = file.readline(MAX_LINE)
        if not line:
            return
        whole = len(line) < MAX_LINE or line.endswith(b"\n")
        yield line if whole else None
        while not whole:
            rest = file.readline(MAX_LINE)
            whole = len(rest) < MAX_LINE or rest.endswith(b"\n")


def _float(spelled: str) -> float:
    value = float(spelled)
    if not math.isfinite(value):
        raise ForeignJsonError(f"the number {spelled[:20]} in it is too large")
    return value


def _constant(name: str) -> NoReturn:
    raise ForeignJsonError(f"{name} in it is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ForeignJsonError(f"an object in it has the name {twice[:40]!r} twice")
    return found
