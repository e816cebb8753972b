"""Read untrusted JSON within limits of size, depth and digits, as a whole or as a stream.

JSON parsers do not defend themselves: a C backend crashes on an integer that Python refuses to convert, a recursive one
runs out of stack, and 100,000 nested brackets take gigabytes. Such input is rejected before a parser sees it.
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
"""Deepest nesting of brackets; the annotations of any tool need a dozen levels."""
MAX_DIGITS: Final = 400
"""Longest number in characters; a 64-bit float has at most 309 digits before the decimal point."""
MAX_STRING: Final = 256 * 2**20
"""Longest string in bytes: a picture of 64 megapixels in Base64 is shorter."""
MAX_LINE: Final = 32 * 2**20
"""Longest line of a JSON Lines file in bytes."""
MAX_DOCUMENT: Final = 256 * 2**20
"""Largest JSON document in bytes that is read as a whole."""

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_WHOLE_STRINGS: Final = re.compile(rb'[^"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"]*+)*+', re.DOTALL)
_IN_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
# The look-behind keeps this linear: matching is tried only at the start of a number.
_LONG_NUMBER: Final = re.compile(rb"(?<![-+.0-9eE])[-+.0-9eE]{%d}" % (MAX_DIGITS + 1))
_NUMBER_TAIL: Final = re.compile(rb"[-+.0-9eE]*\Z")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_OPENING: Final = np.zeros(256, dtype=np.int64)
_OPENING[list(b"[{")], _OPENING[list(b"]}")] = 1, -1
_BOM: Final = b"\xef\xbb\xbf"


class ForeignJsonError(ValueError):
    """Rejected JSON; the message is a clause such as "it nests more than 64 levels deep"."""


class JsonLimits:
    """Checks nesting depth, numbers and strings of a UTF-8 JSON document that arrives in chunks."""

    def __init__(self) -> None:
        self._string: int | None = None
        """Bytes so far of the string in which the last chunk ended; None if it ended outside a string."""
        self._rest = b""
        """The end of the last chunk, which may have been cut in the middle of an escape or a number."""
        self._depth = 0

    def check(self, piece: bytes) -> None:
        """Check the next chunk before a parser sees it.

        Raises:
            ForeignJsonError: when the document exceeds a limit.
        """
        content, self._rest = self._rest + piece, b""
        if self._string is not None:
            end = _end_of_string(content)
            self._string += end
            if self._string > MAX_STRING:
                raise ForeignJsonError(f"a string in it has more than {MAX_STRING // 2**20} MiB")
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
        """Check the content between strings; ``ended`` if a string follows it."""
        if _LONG_NUMBER.search(outside):
            raise ForeignJsonError(f"a number in it has more than {MAX_DIGITS} digits")
        steps = _OPENING[np.frombuffer(outside.translate(None, _NO_BRACKETS), dtype=np.uint8)]
        if steps.size:
            depths = self._depth + np.cumsum(steps)
            self._depth = int(depths[-1])
            if depths.max() > MAX_DEPTH:
                raise ForeignJsonError(f"it nests more than {MAX_DEPTH} levels deep")
        if not ended:
            # Checked again with the next chunk; digits neither change the depth nor begin a string.
            tail = _NUMBER_TAIL.search(outside[-MAX_DIGITS:])
            self._rest = tail[0] if tail else b""


def _end_of_string(content: bytes) -> int:
    """Where the string that ``content`` begins in ends: at its quotation mark, or before an escape that was cut in
    two.
    """
    found = _IN_STRING.match(content)
    return found.end() if found else 0


def _utf8(head: bytes) -> bytes:
    """Strip the byte order mark from the beginning of a document."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head[:4]:
        raise ForeignJsonError("it is UTF-16 or UTF-32: save it as UTF-8")
    return head.removeprefix(_BOM)


def parse_json(content: bytes | str) -> Any:
    """Parse an untrusted JSON document.

    Raises:
        ForeignJsonError: when it is not valid JSON (RFC 8259), not UTF-8, or exceeds a limit; also for what Python's
            parser would accept: NaN and Infinity, numbers too large for a float, and duplicate names in an object.
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
    """The lines of a file, with their line feeds, up to an offset; None for a line of more than `MAX_LINE` bytes."""
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
