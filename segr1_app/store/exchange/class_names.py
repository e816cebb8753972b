"""Convert class names to instructions and back: most annotation files have class names but no instructions."""

from __future__ import annotations

from typing import Final

from segr1_app.language.typed_text import one_line

_BEFORE: Final = "Identify and segment the "
_AFTER: Final = "."


def class_instruction(name: str) -> str:
    """The instruction that asks for the objects of a class."""
    return f"{_BEFORE}{one_line(name)}{_AFTER}"


def class_of(instruction: str) -> str | None:
    """The class that an instruction of `class_instruction` asks for; None for any other instruction."""
    if not (instruction.startswith(_BEFORE) and instruction.endswith(_AFTER)):
        return None
    return instruction[len(_BEFORE) : -len(_AFTER)] or None


def name_of_gap(index: int) -> str:
    """What a list without gaps, such as YOLO's, calls an index from 0 that is no class's."""
    return f"no class {index + 1}"
