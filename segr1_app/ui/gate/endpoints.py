"""Wrap handlers for the page and the API. The caller is identified and authorised here and nowhere else."""

from __future__ import annotations

import functools
import inspect
import logging
import time
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final, TypeVar

import fastapi
import gradio as gr
from gradio.events import api

from segr1_app.domain import NotAllowedError, SegR1Error, StoreError
from segr1_app.people.access import Access
from segr1_app.people.accounts import UNSIGNED
from segr1_app.people.audit import AuditLog
from segr1_app.settings.hosts import network_of
from segr1_app.settings.roles import Act, Person
from segr1_app.studio.callers import charge
from segr1_app.ui.gate.arguments import FILLED_IN, read_arguments
from segr1_app.ui.gate.peers import address_of, forwarded
from segr1_app.ui.gate.rates import RateLimiter

EnumMember = TypeVar("EnumMember", bound=StrEnum)

logger = logging.getLogger(__name__)

_SIGNED: Final = {Act.ANNOTATE: "annotator", Act.REVIEW: "reviewer"}
"""For each act, the name of the handler argument with the acting person's name."""

AUDITED: Final = frozenset(
    {"start_training", "stop_training", "resume_training", "promote", "go_back", "download_models", "make_current"}
    | {"open_second_policy", "close_second_policy", "put_class", "remove_class"}
)
"""Handlers whose calls are recorded in the audit log, in addition to imports and exports."""
RUN_COST: Final = 40.0
"""The cost of running the policy, relative to a call that only looks something up or decodes a click."""


@contextmanager
def refusing() -> Iterator[None]:
    """Turn this project's errors into gradio's, which pass their message to the page or the client unchanged."""
    try:
        yield
    except SegR1Error as error:
        raise gr.Error(str(error), print_exception=False) from error


def checked(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler of gradio's events whose arguments must be of the types that it declares.

    Components convert what they are given, and let None through; `Gate.publish` has no components and needs no such
    check.
    """
    signature = inspect.signature(handler)

    @functools.wraps(handler)
    def call(*arguments: Any) -> Any:
        given = signature.bind(*arguments).arguments
        with refusing():
            read = read_arguments(handler, {name: given[name] for name in given if name not in FILLED_IN})
        return handler(**{**given, **read})

    return call


class Gate:
    """Lets people call the handlers that their roles permit.

    Where people sign in, any name in a request is replaced with the one they signed in with.

    Args:
        access: identifies people and their roles.
        limiter: the rate limit per person; None for no limit.
        proxied: whether all requests come through a proxy that records their origin, as on a Space.
        alone: whether requests straight from this machine come from its single user, who needs no limit.
        audit: records refusals and actions of admins; None for no log.
    """

    def __init__(
        self,
        access: Access,
        limiter: RateLimiter | None = None,
        *,
        proxied: bool = False,
        alone: bool = False,
        audit: AuditLog | None = None,
    ) -> None:
        self._audit = audit
        self.access = access
        self._limiter = limiter
        self._proxied, self._alone = proxied, alone

    def admit(
        self, act: Act, request: gr.Request | fastapi.Request, profile: gr.OAuthProfile | None, cost: float = 1.0
    ) -> Person:
        """The caller, if their role permits this act.

        Raises:
            NotAllowedError: when it does not, or when the rate limit is exceeded.
        """
        person = self.person_of(request, profile)
        try:
            self.access.require(person, act)
        except NotAllowedError as error:
            self.note("refused", request, person, str(error))
            raise
        limiter = None if self._alone and not forwarded(request.headers) else self._limiter
        if limiter is not None:
            who = person.name or network_of(self._origin(request))
            limiter.spend(who, cost)
            # Additional cost depends on the arguments, which are read later.
            charge.set(lambda more: limiter.spend(who, more))
        return person

    def person_of(self, request: gr.Request | fastapi.Request, profile: gr.OAuthProfile | None) -> Person:
        """The caller, whatever their role allows."""
        name = profile.username if profile else _signed_in(request)
        return self.access.person(name, forwarded=forwarded(request.headers))

    def page(self, method: Callable[..., Any], act: Act) -> Callable[..., Any]:
        """A handler for the page, which takes one mapping of arguments; its errors become {"failure": a sentence}."""

        def call(question: Mapping[str, Any], request: gr.Request, profile: gr.OAuthProfile | None) -> Any:
            try:
                person = self.admit(act, request, profile)
                if method.__name__ in AUDITED:
                    self.note(method.__name__, request, person)
                with logged(method.__name__, act, person):
                    return method(**read_arguments(method, self.signed(act, person, question)))
            except SegR1Error as error:
                return {"failure": str(error)}

        call.__name__ = method.__name__
        return call

    def publish(self, method: Callable[..., Any], act: Act) -> None:
        """Register a handler as an API endpoint within a ``gr.Blocks``; its errors reach the client."""
        parameters = list(inspect.signature(method).parameters)

        @functools.wraps(method)
        def call(request: gr.Request, profile: gr.OAuthProfile | None, *arguments: Any) -> Any:
            with refusing():
                person = self.admit(act, request, profile)
                given = self.signed(act, person, dict(zip(parameters, arguments, strict=False)))
                with logged(method.__name__, act, person):
                    return method(**read_arguments(method, given))

        api(_asking(call, method), api_name=method.__name__)

    def note(self, event: str, request: gr.Request | fastapi.Request, person: Person, detail: str = "") -> None:
        """Record an action in the audit log."""
        if self._audit is not None:
            self._audit.note(event, person=person.name, address=self._origin(request), detail=detail)

    def signed(self, act: Act, person: Person, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the caller's name filled in, as it will be recorded."""
        name = _SIGNED.get(act)
        if name is None:
            return dict(given)
        return {**given, name: self.name_of(person, given.get(name))}

    def name_of(self, person: Person, typed: Any) -> Any:
        """The name that the caller signed in with, else the name they typed, which is marked where others sign in."""
        if person.name:
            return person.name
        if self.access.sign_in == "none" or not isinstance(typed, str) or not typed.strip():
            return typed
        return f"{typed} {UNSIGNED}"

    def _origin(self, request: gr.Request | fastapi.Request) -> str:
        """The address of a request from an unidentified caller."""
        return address_of(request.headers, request.client.host if request.client else None, proxied=self._proxied)


@contextmanager
def logged(endpoint: str, act: Act, person: Person) -> Iterator[None]:
    """Log who did what and how long it took; read-only calls are not logged."""
    started, failure = time.perf_counter(), None
    try:
        yield
    except SegR1Error as error:
        failure = str(error)
        raise
    finally:
        if act is not Act.LOOK:
            seconds = round(time.perf_counter() - started, 3)
            extra = {"act": act, "endpoint": endpoint, "person": person.name, "seconds": seconds, "failure": failure}
            logger.info("%s", endpoint, extra=extra)


def _asking(call: Callable[..., Any], method: Callable[..., Any]) -> Callable[..., Any]:
    """Give gradio the signature of ``call``: the caller, which gradio fills in, then the parameters of ``method``."""
    who: dict[str, Any] = {"request": gr.Request, "profile": gr.OAuthProfile | None}
    first = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in who]
    signature = inspect.signature(method)
    vars(call)["__signature__"] = signature.replace(parameters=[*first, *signature.parameters.values()])
    # gradio does not support TypedDict: it treats every result as a JSON object.
    call.__annotations__ = {**who, **typing.get_type_hints(method), "return": dict[str, Any]}
    return call


def _signed_in(request: gr.Request | fastapi.Request) -> str | None:
    """The name of a caller who signed in with a password, if any."""
    if isinstance(request, gr.Request):
        return request.username
    # Calls that bypass the queue receive the raw request: gradio identifies people by its session cookie.
    app = request.app
    cookies = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    token = next((request.cookies[name] for name in cookies if name in request.cookies), None)
    name: str | None = app.tokens.get(token)
    return name


def one_of(kind: type[EnumMember], text: str | None, what: str) -> EnumMember:
    """The enumeration member with this value.

    Raises:
        StoreError: when there is none; ``what`` begins the sentence that lists the valid values.
    """
    try:
        return kind(text or "")
    except ValueError as error:
        raise StoreError(f"{what} {' or '.join(repr(member.value) for member in kind)}.") from error
