"""The colours of objects, the same on the page, in overlays and in their legends."""

from __future__ import annotations

OBJECT_COLOURS = ("#2f7df6", "#f2700d", "#12a150", "#c83ad6", "#d9a400", "#0aa5bd", "#e5383b", "#8b5cf6")
"""Hex RGB, in the order of the objects; the ninth object starts over. Neighbours differ in lightness too."""

CASING = "#0b0f17"
"""The dark edge around every line and point, which keeps them legible on bright and on grey pictures."""


def object_colour(index: int) -> str:
    """The colour of the object at ``index``, counted from 0."""
    return OBJECT_COLOURS[index % len(OBJECT_COLOURS)]
