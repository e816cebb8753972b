"""Handlers as the page and the API call them, and what both do with what they are asked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import gradio as gr
from gradio.events import api

from segr1_app.domain import SegR1Error, StoreError

Member = TypeVar("Member", bound=StrEnum)


def failures_told(method: Callable[..., Any]) -> Callable[[Mapping[str, Any]], Any]:
    """A handler for the page: its errors become {"failure": a sentence}."""

    def call(question: Mapping[str, Any]) -> Any:
        try:
            return method(**question)
        except SegR1Error as error:
            return {"failure": str(error)}

    call.__name__ = method.__name__
    return call


def publish(method: Callable[..., Any]) -> None:
    """Make a handler an endpoint of the API under its own name, within a ``gr.Blocks``; its errors reach the client."""

    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return method(*arguments, **named)
        except SegR1Error as error:
            raise gr.Error(str(error), print_exception=False) from error

    api(call, api_name=method.__name__)


def one_of(kind: type[Member], text: str | None, what: str) -> Member:
    """The member of an enumeration that a word stands for.

    Raises:
        StoreError: when it is none of them; ``what`` begins the sentence that lists them.
    """
    try:
        return kind(text or "")
    except ValueError as error:
        raise StoreError(f"{what} {' or '.join(repr(member.value) for member in kind)}.") from error
