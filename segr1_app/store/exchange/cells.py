"""Escape texts in spreadsheet cells, so that they are not interpreted as formulas."""

from __future__ import annotations

from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of formulas; the last four are full-width forms, which spreadsheets treat the same."""
_BLANK: Final = ("\t", "\r", "\n")


def safe_cell(text: str) -> str:
    """A text as a spreadsheet's cell: one that a spreadsheet would take for a formula gets a leading apostrophe."""
    return f"'{text}" if _risky(text) else text


def cell_text(cell: str) -> str:
    """The inverse of `safe_cell`."""
    return cell[1:] if cell.startswith("'") and _risky(cell[1:]) else cell


def _risky(text: str) -> bool:
    # A text's own apostrophes before a formula are protected, too: the removed one is never its own.
    bare = text.lstrip("'")
    return bare.startswith(_BLANK) or bare.lstrip().startswith(_FORMULA)
