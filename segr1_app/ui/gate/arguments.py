"""Validate the arguments of an endpoint against the types that its handler declares, before the handler sees them."""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from segr1_app.domain import SegR1Error

MAX_NUMBER: Final = 2**53
"""Largest integer: the largest that a browser represents exactly, and far below the limit of the database."""
MAX_TEXT: Final = 100_000
"""Longest string in characters, unless its handler sets a lower limit."""
MAX_DEPTH: Final = 32
"""Deepest nesting of lists and objects; the state of a canvas has six levels."""
SHOWN: Final = 80
FILLED_IN: Final = frozenset({"request", "profile", "progress"})
"""Parameters of handlers that gradio fills in; they are not arguments of a call."""


class ArgumentsError(SegR1Error):
    """The arguments of a call are invalid; nothing was done."""


def read_arguments(method: Callable[..., Any], given: object) -> dict[str, Any]:
    """Convert arguments to the types that a handler declares.

    Args:
        method: the handler; its signature is the schema.
        given: what a client sent: a mapping of argument names to values; those with a default may be missing.

    Raises:
        ArgumentsError: when an argument is missing, unknown, or of another type; the message names it.
    """
    if not isinstance(given, Mapping):
        raise ArgumentsError(f"{method.__name__} takes an object with its arguments, not {shown(given)}.")
    try:
        read = _schema(method).model_validate(dict(given))
    except ValidationError as error:
        raise ArgumentsError(f"{method.__name__} cannot be called like this: {_words(error)}.") from error
    return {name: getattr(read, name) for name in read.model_fields_set}


@functools.cache
def _schema(method: Callable[..., Any]) -> type[BaseModel]:
    hints = typing.get_type_hints(method)
    fields: dict[str, Any] = {
        name: (_bounded(hints[name]), ... if parameter.default is inspect.Parameter.empty else parameter.default)
        for name, parameter in inspect.signature(method).parameters.items()
        if name not in FILLED_IN
    }
    # Strict: neither true nor "1" nor 1.0 is a whole number, and no number is a text.
    return create_model(method.__name__, __config__=ConfigDict(extra="forbid", strict=True), **fields)


def _bounded(hint: Any) -> Any:
    """A type with the limits that apply to input from outside."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return Union[tuple(_bounded(each) for each in typing.get_args(hint))]  # noqa: UP007 - the tuple is computed
    if hint is int:
        return Annotated[int, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
    if hint is float:
        return Annotated[float, Field(allow_inf_nan=False)]
    if hint is str:
        return Annotated[str, Field(max_length=MAX_TEXT)]
    return Annotated[hint, AfterValidator(_plain)]


def _plain(value: Any) -> Any:
    """JSON values that can be stored: not too deep, in valid Unicode, with numbers that fit a database.

    Raises:
        ValueError: when they are anything else.
    """
    waiting = [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"it nests more than {MAX_DEPTH} levels deep")
        if isinstance(each, str):
            _check_text(each)
        elif isinstance(each, dict):
            for name in each:
                _check_text(str(name))
            waiting += [(inner, depth + 1) for inner in each.values()]
        elif isinstance(each, list):
            waiting += [(inner, depth + 1) for inner in each]
        elif isinstance(each, float) and not math.isfinite(each):
            raise ValueError("a number in it is not finite")
        elif isinstance(each, int) and abs(each) > MAX_NUMBER:
            raise ValueError("a number in it is too large")
    return value


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("a string in it is not valid Unicode") from None


def _words(error: ValidationError) -> str:
    """The first validation error as text."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "it"
    if first["type"] == "missing":
        return f"'{where}' is missing"
    if first["type"] == "extra_forbidden":
        return f"it has no argument '{where[:SHOWN]}'"
    said = first["msg"].removeprefix("Value error, ")
    return f"'{where[:SHOWN]}': {said[:1].lower()}{said[1:]}, and not {shown(first['input'])}"


def shown(value: object) -> str:
    """A short printable form of a value."""
    text = ascii(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
