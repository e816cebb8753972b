"""Normalise text that people type, for storing and comparing: names and instructions as one line of visible characters.

Store, page, command line and imports use these functions, so that a name or an instruction is the same everywhere.
"""

from __future__ import annotations

import re
from typing import Final

MAX_NAME: Final = 200
"""Longest name of a person in characters."""
RAW_FACTOR: Final = 16
"""Raw text, with all its white space, may be this many times longer than its limit; anything longer is rejected
unread.
"""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_INVISIBLE: Final = re.compile(
    r"[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+"
)
"""Characters without a glyph that reorder the text around them or hide in it. The zero-width joiners U+200C and U+200D
are not among them: Persian, Indic scripts and emoji need them."""


def storable(text: str) -> str:
    """Make any text encodable as UTF-8: lone surrogates, which JSON may contain, become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def one_line(text: str) -> str:
    """Put a text on one line: white space and control characters become single spaces, and the ends are trimmed.

    Lone surrogates become question marks; direction overrides and other invisible characters are removed.
    """
    return " ".join(_CONTROL.sub(" ", _INVISIBLE.sub("", storable(text))).split())


def person_name(name: str) -> str | None:
    """A person's name on one line; None when nothing visible is left or it exceeds `MAX_NAME` characters."""
    words = one_line(name) if len(name) <= RAW_FACTOR * MAX_NAME else ""
    return words if 0 < len(words) <= MAX_NAME else None
