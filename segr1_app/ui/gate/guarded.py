"""The served page: gradio's application wrapped in this project's checks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Final, cast

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.exceptions import ComponentProcessingError
from gradio.routes import App
from starlette.datastructures import Headers
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from segr1_app.people.accounts import People
from segr1_app.people.sign_in import Sessions
from segr1_app.settings.config import Settings
from segr1_app.settings.space import Space
from segr1_app.ui.gate.answers import Answers
from segr1_app.ui.gate.component_values import is_other_type, wrong_argument
from segr1_app.ui.gate.front import FrontDoor
from segr1_app.ui.gate.hosts import Hosts
from segr1_app.ui.gate.posts import Posts
from segr1_app.ui.gate.rates import RateLimiter
from segr1_app.ui.gate.results import KnownResults
from segr1_app.ui.gate.streams import Seldom, close_idle
from segr1_app.ui.gate.unread import UnreadResults
from segr1_app.ui.gate.uploads import UploadQuota
from segr1_app.ui.gate.visits import NoVisits
from segr1_app.ui.views import STATIC_ROUTE

READS_PER_SECOND: Final = 200.0
"""Requests without a body from one address, sustained; many people may share an address."""
READS_AT_ONCE: Final = 4000.0
"""After a pause; an empty browser asks for some 150 files of the page, and then for pictures."""

Lifespan = Callable[[App], AbstractAsyncContextManager[Any]]


class GuardedBlocks(gr.Blocks):
    """A ``gr.Blocks`` that is served behind a `FrontDoor`, however it is launched.

    Args:
        settings: where it is served and to whom.
        static: folder of the page's own modules and pictures, which is served below `STATIC_ROUTE` to everybody.
        given: the arguments of ``gr.Blocks``.
    """

    def __init__(self, settings: Settings, static: Path, **given: Any) -> None:
        super().__init__(**given)
        self._settings, self._static = settings, static

    def launch(self, *arguments: Any, app_kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
        """Serve the page; takes the arguments of ``gr.Blocks.launch``, and returns what it does."""
        kwargs = dict(app_kwargs or {})
        kwargs["lifespan"] = _guarding(self._settings, kwargs.get("lifespan"))
        # Gradio itself would serve them by their absolute paths, which nobody needs to know.
        kwargs["routes"] = [Mount(f"/{STATIC_ROUTE}", StaticFiles(directory=self._static)), *kwargs.get("routes", [])]
        return super().launch(*arguments, app_kwargs=kwargs, **options)

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> Any:
        """The arguments of an event as its components read them; a wrong type gives a clear error message."""

        async def preprocess(function: BlockFunction, values: list[Any]) -> Any:
            return await super(GuardedBlocks, self).preprocess_data(function, values, state, explicit_call)

        try:
            if block_fn.preprocess and any(map(is_other_type, block_fn.inputs, inputs)):
                raise ValueError("a component would have to convert its value")
            return await preprocess(block_fn, inputs)
        except (gr.Error, ComponentProcessingError, ValueError, OSError) as error:
            raise gr.Error(await wrong_argument(block_fn, inputs, preprocess), print_exception=False) from error


def _guarding(settings: Settings, within: Lifespan | None) -> Lifespan:
    """A lifespan that puts the checks around an application before its first request.

    Gradio adds middleware of its own to every application; wrapping the finished stack, these checks run before all of
    it.
    """

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[Any]:
        inner = app.middleware_stack
        if inner is None:
            raise RuntimeError("the application has no middleware stack yet: it cannot be guarded")
        if settings.auth is not None:
            app.tokens = cast(dict[str, str], Sessions(People(settings.auth)))
        app.state_holder = NoVisits(app.get_blocks())
        posts = Posts(app.get_blocks())
        framed = Space.from_environ() is not None

        def known(headers: Headers) -> bool:
            return settings.auth is None or signed_in_as(app, headers) is not None

        uploads = None if settings.alone else UploadQuota(Path(app.uploaded_file_dir))
        reads = None if settings.alone else RateLimiter(READS_PER_SECOND, READS_AT_ONCE)
        unread = UnreadResults(app.get_blocks()._queue)
        results = KnownResults(inner, unread, known)
        door = FrontDoor(results, Hosts.of(settings), known, check=posts.check, uploads=uploads, reads=reads)
        app.middleware_stack = Answers(door, framed=framed)
        logging.getLogger("asyncio").addFilter(Seldom())
        async with AsyncExitStack() as stack:
            for task in (close_idle(lambda: _connections(app)), unread.sweep_now_and_then()):
                stack.callback(asyncio.create_task(task).cancel)
            yield await stack.enter_async_context(within(app)) if within is not None else None

    return lifespan


def _connections(app: App) -> set[Any]:
    """The open connections of the server; none before it has started."""
    server = getattr(app.get_blocks(), "server", None)
    return set(server.server_state.connections) if server is not None else set()


def signed_in_as(app: App, headers: Headers) -> str | None:
    """The name under which a request is signed in with a password, if any; gradio identifies people by two cookies."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    for name in (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}"):
        if name in cookies:
            person: str | None = app.tokens.get(cookies[name].value)
            return person
    return None
