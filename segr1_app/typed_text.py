"""Text that people type, as it is stored and compared: names and instructions in one line of visible characters.

Store, page, command line and imports use these functions, so that a name or an instruction is the same everywhere.
"""

from __future__ import annotations

import re
from typing import Final

MAX_NAME: Final = 200
"""Most characters of a person's name."""
RAW_FACTOR: Final = 16
"""How many times its limit a text with all its white space may be long; a longer one is not even looked at."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_INVISIBLE: Final = re.compile(
    r"[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+"
)
"""Characters without a glyph that reorder what is around them or hide in it. The zero-width joiners U+200C and U+200D
are not among them: Persian, Indic scripts and emoji need them."""


def storable(text: str) -> str:
    """Any text as UTF-8 can hold it: lone surrogates, as JSON from outside may bring them, become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def one_line(text: str) -> str:
    """A text in one line: white space and control characters become single spaces, and none at the ends.

    Lone surrogates become question marks; direction overrides and other invisible characters are removed.
    """
    return " ".join(_CONTROL.sub(" ", _INVISIBLE.sub("", storable(text))).split())


def person_name(name: str) -> str | None:
    """A person's name in one line; None when nothing visible is left of it or it exceeds `MAX_NAME` characters."""
    words = one_line(name) if len(name) <= RAW_FACTOR * MAX_NAME else ""
    return words if 0 < len(words) <= MAX_NAME else None
