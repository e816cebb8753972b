"""Error messages for arguments of an event that have a wrong type, with the allowed types."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any, Final

import gradio as gr
from gradio.block_function import BlockFunction

from segr1_app.ui.gate.arguments import shown

Preprocess = Callable[[BlockFunction, list[Any]], Awaitable[Any]]

WORDS: Final = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
}


JSON_TYPES: Final = {"string": str, "number": int | float, "integer": int | float, "boolean": bool}
"""What a value must be for a component of each type; None stands for an empty one."""


def is_other_type(component: Any, value: Any) -> bool:
    """Whether a component would have to convert a value: a text box shows true as "True", a number box takes it for 1.

    Components of anything but texts, numbers and checkboxes are left to gradio.
    """
    if not isinstance(component, gr.Textbox | gr.Number | gr.Checkbox) or value is None:
        return False
    taken = JSON_TYPES[component.api_info()["type"]]
    return not isinstance(value, taken) or (isinstance(value, bool) and taken is not bool)


async def wrong_argument(function: BlockFunction, values: list[Any], preprocess: Preprocess) -> str:
    """A sentence about the first argument of an event that its component does not take.

    Args:
        function: the event.
        values: the arguments, one for each of its components.
        preprocess: raises an error for an event some of whose arguments are not taken.
    """
    for index, component in enumerate(function.inputs):
        given = values[index]
        alone = copy.copy(function)
        alone.inputs = [component]
        alone.component_prop_inputs = [0] if index in function.component_prop_inputs else []
        wrong = is_other_type(component, given)
        try:
            await preprocess(alone, [given])
        except (gr.Error, ValueError, OSError):
            wrong = True
        if wrong:
            return f"'{_name(function, index)}' takes {_allowed(component)}, and not {shown(given)}."
    return "The arguments of this call do not go together."


def _name(function: BlockFunction, index: int) -> str:
    named = function.input_parameter_names or []
    name = named[index] if index < len(named) else None
    component: Any = function.inputs[index]
    return name or getattr(component, "label", None) or component.elem_id or f"argument {index + 1}"


def _allowed(component: Any) -> str:
    """What a component takes."""
    schema = component.api_info()
    if "enum" in schema:
        return f"one of {', '.join(repr(choice) for choice in schema['enum'])}"
    lowest, highest = getattr(component, "minimum", None), getattr(component, "maximum", None)
    limits = [f"from {lowest:g}"] if lowest is not None else []
    limits += [f"up to {highest:g}"] if highest is not None else []
    words = WORDS.get(schema.get("type", ""), "an uploaded file")
    if words == "a list" or isinstance(component, gr.File):
        words = "a list of uploaded files" if getattr(component, "file_count", "") == "multiple" else "an uploaded file"
    return " ".join([words, *limits])
