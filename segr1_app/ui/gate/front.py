"""What every request passes before gradio sees it: its Host and Origin, its kind of body, and its size.

Gradio authenticates people; it does not ask which page a browser sends a request from, and it reads a body into memory
before it looks at who sends it. Both are decided here, for all routes alike: its own, gradio's and the health check's.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segr1_app.people.sign_in import asked_from
from segr1_app.settings.hosts import read_address
from segr1_app.studio.callers import is_gone
from segr1_app.ui.gate.hosts import Hosts, read_origin
from segr1_app.ui.gate.peers import SET_ASIDE, address_of, forwarded, seen_scheme
from segr1_app.ui.gate.refusals import RefusedError
from segr1_app.ui.gate.streams import OpenStreams
from segr1_app.ui.gate.uploads import UploadQuota

log = logging.getLogger(__name__)

LOGIN: Final = "/login"
UPLOAD: Final = "/gradio_api/upload"
MAX_LOGIN: Final = 64 * 2**10
"""Most bytes of a sign-in form, the only body that is read from whoever has not signed in where people sign in."""
MAX_JSON: Final = 8 * 2**20
"""Most bytes of any other body; the largest draft that is kept has half of that."""
MAX_JSON_AT_ONCE: Final = 4 * MAX_JSON
"""Most bytes of bodies that are being read, for everybody together: parsed, each takes many times its size."""
BODY_SECONDS: Final = 30.0
"""How long a body may take that is read into memory."""
DRAIN_SECONDS: Final = 0.2
"""How long the rest of a body is waited for that is not wanted."""
POSTED: Final = ("run", "api", "call", "queue/join", "component_server", "cancel", "reset")
"""Where gradio takes JSON, below its prefix."""
AT_ONCE: Final = ("/gradio_api/run/", "/gradio_api/api/")
"""Where gradio answers a call itself, instead of with the number of an event."""
UNUSED: Final = (
    "/gradio_api/custom_component/",
    "/gradio_api/deep_link",
    "/gradio_api/dev/",
    "/gradio_api/proxy=",
    "/gradio_api/stream/",
    "/gradio_api/file=http",
    "/gradio_api/file/http",
    "/gradio_api/token",
    "/monitoring",
    "/pwa_icon",
)
"""Routes of gradio that this page does not need: some write files or fetch addresses for whoever asks."""
SAFE: Final = ("GET", "HEAD", "OPTIONS")


class FrontDoor:
    """An ASGI application around another one, which lets through what this server's own pages and its clients send.

    Args:
        app: the application behind it.
        hosts: the names under which it may be asked.
        signed_in: whether a request may bring more than a sign-in form; always true where nobody signs in.
        check: raises `RefusedError` for a body of JSON that a path does not take.
        uploads: bounds what people upload; None for any amount.
        streams: bounds the answers that stay open.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Hosts,
        signed_in: Callable[[Headers], bool],
        *,
        check: Callable[[str, bytes], None] = lambda *_: None,
        uploads: UploadQuota | None = None,
        streams: OpenStreams | None = None,
    ) -> None:
        self._uploads, self._streams = uploads, streams or OpenStreams()
        self._app, self._hosts, self._signed_in, self._check = app, hosts, signed_in, check
        self._reading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check_source(scope)
            if scope["type"] == "websocket":
                raise RefusedError(404, "There are no web sockets here.")
            self._check_route(scope)
        except RefusedError as refusal:
            log.info("refused: %s", refusal, extra={"endpoint": scope["path"], "failure": str(refusal)})
            await _refuse(refusal, scope, receive, send)
            return
        if scope["method"] in SAFE or _path(scope) == UPLOAD:
            await self._pass_unread(scope, receive, send)
            return
        body, whole = bytearray(), False
        try:
            path = _path(scope)
            await self._read(body, _most(path), receive)
            whole = True
            if path != LOGIN:
                self._check(path, bytes(body))
        except RefusedError as refusal:
            await _refuse(refusal, scope, receive, send, whole=whole)
        except TimeoutError:
            await _refuse(RefusedError(408, "The request did not arrive in time."), scope, receive, send)
        else:
            await self._pass_on(bytes(body), scope, receive, send)
        finally:
            self._reading -= len(body)

    async def _pass_unread(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request without a body, or an upload, whose body goes to the disk as it comes."""
        path, who = _path(scope), self._address(scope)
        try:
            if path == UPLOAD and self._uploads is not None:
                receive = self._uploads.counting(who, receive)
            with self._streams.one_more(path, who):
                await self._app(scope, receive, send)
        except RefusedError as refusal:
            await _refuse(refusal, scope, receive, send)

    def _address(self, scope: Scope) -> str:
        peer = scope.get("client")
        return address_of(Headers(scope=scope), peer[0] if peer else None, proxied=self._hosts.proxied)

    async def _read(self, body: bytearray, most: int, receive: Receive) -> None:
        """Read a whole body.

        Raises:
            RefusedError: when it is too large, or too many are being read at the same time.
            TimeoutError: when it does not come in time.
        """
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                chunk = message.get("body", b"")
                if len(body) + len(chunk) > most:
                    raise RefusedError(413, f"A request takes {most} bytes at most.")
                if self._reading + len(chunk) > MAX_JSON_AT_ONCE:
                    raise RefusedError(503, "The server is busy: try again in a moment.")
                self._reading += len(chunk)
                body += chunk
                # Whoever hung up gets no further than the check of what came.
                more = message["type"] == "http.request" and message.get("more_body", False)

    async def _pass_on(self, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a request answered whose body was read, and know meanwhile whether whoever sent it still waits."""
        asked_from.set(self._address(scope))
        gone = asyncio.Event()
        is_gone.set(gone.is_set)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()

        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            if waiting:
                return waiting.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        watching = asyncio.create_task(watch())
        try:
            await self._app(scope, replay, _in_words(send) if _path(scope).startswith(AT_ONCE) else send)
        finally:
            watching.cancel()

    def _check_source(self, scope: Scope) -> None:
        """Raise `RefusedError` where a request is meant for another name, or comes from a page of another site."""
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        host = read_address(named[0]) if len(named) == 1 else None
        if host is None or not self._hosts.answers(host):
            raise RefusedError(
                400,
                "This server is not known under the name that was asked for. Whoever runs it can allow the name with "
                "--allowed-host.",
            )
        foreign = headers.get("x-forwarded-host")
        address = read_address(foreign) if foreign else None
        if foreign is not None and (address is None or not self._hosts.answers(address)):
            # Gradio would build the page's addresses with it; that a proxy passed the request on is still to be seen.
            scope["headers"] = [(SET_ASIDE.get(name, name), value) for name, value in scope["headers"]]
        scheme = seen_scheme(headers) or (None if forwarded(headers) or self._hosts.proxied else scope["scheme"])
        origins = headers.getlist("origin")
        own = [found is not None and self._hosts.is_own(found, host, scheme) for found in map(read_origin, origins)]
        if len(own) > 1 or not all(own):
            raise RefusedError(403, "This request comes from a page of another site.")
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        leads_here = mode == "navigate" and scope.get("method") in SAFE and _path(scope) != "/logout"
        if site in ("cross-site", "same-site") and not leads_here:
            raise RefusedError(403, "This request comes from a page of another site.")

    def _check_route(self, scope: Scope) -> None:
        """Raise `RefusedError` where there is nothing for a request here, or where it does not say that it is JSON."""
        path, headers = _path(scope), Headers(scope=scope)
        if path.startswith(UNUSED):
            raise RefusedError(404, "There is nothing here.")
        if scope["method"] in SAFE:
            return
        wanted: tuple[str, ...] = ("application/json",)
        if path == LOGIN:
            wanted = ("application/x-www-form-urlencoded", "multipart/form-data")
        elif path == UPLOAD:
            wanted = ("multipart/form-data",)
        elif not any(path == f"/gradio_api/{name}" or path.startswith(f"/gradio_api/{name}/") for name in POSTED):
            raise RefusedError(404, "There is nothing here to be sent anything.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in wanted:
            raise RefusedError(415, f"Send this as {' or '.join(wanted)}.")
        if path != LOGIN and not self._signed_in(headers):
            raise RefusedError(401, "Sign in first.")
        size = headers.get("content-length")
        if path != UPLOAD and size is not None and (not size.isdecimal() or int(size) > _most(path)):
            raise RefusedError(413, f"A request takes {_most(path)} bytes at most.")


def _path(scope: Scope) -> str:
    """The path as a route is looked up by it, but for slashes at its end."""
    return str(scope["path"]).rstrip("/") or "/"


def _most(path: str) -> int:
    return MAX_LOGIN if path == LOGIN else MAX_JSON


def _in_words(send: Send) -> Send:
    """Answer with 422 what gradio answers with 500 although it is a refusal, with the words of whoever refused."""
    held: list[Message] = []

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 500:
            held.append(message)
            return
        if held:
            start = held.pop()
            with suppress(ValueError, AttributeError):
                if json.loads(message.get("body", b"")).get("error"):
                    start["status"] = 422
            await send(start)
        await send(message)

    return answer


async def _refuse(refusal: RefusedError, scope: Scope, receive: Receive, send: Send, *, whole: bool = False) -> None:
    """Answer a request with a sentence; ``whole`` tells whether its body was read already."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)})
        return
    # A short body is read to its end: to close with some of it unread could cost the client this answer.
    headers = {"cache-control": "no-store"} | ({} if whole or await _is_drained(receive) else {"connection": "close"})
    await JSONResponse({"detail": str(refusal)}, refusal.status, headers)(scope, receive, send)


async def _is_drained(receive: Receive) -> bool:
    """Whether the rest of a body was read, which is tried for no longer than a moment."""
    read, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while more and read < MAX_LOGIN:
                message = await receive()
                read += len(message.get("body", b""))
                more = message["type"] == "http.request" and message.get("more_body", False)
    return not more
