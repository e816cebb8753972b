"""Checks on every request before gradio sees it: its Host and Origin, and the type and size of its body.

Gradio authenticates people, but it does not check from which page a browser sends a request, and it reads a body into
memory before it checks who sent it. Both are handled here, for all routes: the page's own, gradio's and the health
check.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segr1_app.domain import NotAllowedError
from segr1_app.people.sign_in import asked_from
from segr1_app.settings.hosts import network_of, read_address
from segr1_app.studio.callers import is_gone
from segr1_app.ui.gate.hosts import Hosts, read_origin
from segr1_app.ui.gate.peers import SET_ASIDE, address_of, forwarded, seen_scheme
from segr1_app.ui.gate.rates import RateLimiter
from segr1_app.ui.gate.refusals import RefusedError
from segr1_app.ui.gate.streams import OpenRequests
from segr1_app.ui.gate.uploads import UploadQuota

logger = logging.getLogger(__name__)

LOGIN: Final = "/login"
UPLOAD: Final = "/gradio_api/upload"
MAX_LOGIN: Final = 64 * 2**10
"""Largest sign-in form in bytes; where people sign in, this is the only body accepted from visitors."""
MAX_JSON: Final = 8 * 2**20
"""Largest size of any other body in bytes; the largest draft that can be stored is half of that."""
MAX_JSON_AT_ONCE: Final = 4 * MAX_JSON
"""Total size in bytes of all bodies being read at the same time: once parsed, each takes many times its size."""
BODY_SECONDS: Final = 30.0
"""Seconds in which a body that is read into memory must arrive, or the next part of an upload."""
LATE: Final = "The request did not arrive in time."
DRAIN_SECONDS: Final = 0.2
"""Seconds for which the rest of a rejected body is read."""
POSTED: Final = ("run", "api", "call", "queue/join", "component_server", "cancel", "reset")
"""Gradio routes that accept JSON, below its prefix."""
AT_ONCE: Final = ("/gradio_api/run/", "/gradio_api/api/")
"""Gradio routes that return a call's result directly, instead of an event id."""
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
"""Gradio routes that this page does not need; some write files or fetch URLs for any caller."""
MAX_PATH: Final = 2048
MAX_PART: Final = 255
"""Longest path, and part of a path, in bytes: no file has a longer name, and looking for one is an error that gradio
does not expect.
"""
MAX_TYPE: Final = 256
"""Longest content type of a request: the boundary of a form in it must not be longer."""
SAFE: Final = ("GET", "HEAD", "OPTIONS")


class FrontDoor:
    """ASGI middleware that passes on only requests from this server's own pages and from API clients.

    Args:
        app: the wrapped application.
        hosts: the host names that requests may use.
        signed_in: whether a request may have more than a sign-in form as its body; always true where nobody signs in.
        check: returns the JSON body to pass on for a path and a body; raises `RefusedError` for an invalid one.
        uploads: limits what people upload; None for no limit.
        reads: limits the requests without a body from one address; None for no limit.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Hosts,
        signed_in: Callable[[Headers], bool],
        *,
        check: Callable[[str, bytes], bytes] = lambda _, content: content,
        uploads: UploadQuota | None = None,
        reads: RateLimiter | None = None,
    ) -> None:
        self._uploads, self._reads, self._requests = uploads, reads, OpenRequests()
        self._app, self._hosts, self._signed_in, self._check = app, hosts, signed_in, check
        self._reading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject or pass on one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check_source(scope)
            if scope["type"] == "websocket":
                raise RefusedError(404, "WebSockets are not supported.")
            self._check_route(scope)
        except RefusedError as refusal:
            logger.info("refused: %s", refusal, extra={"endpoint": scope["path"], "failure": str(refusal)})
            await _refuse(refusal, scope, receive, send)
            return
        sends = scope["method"] not in SAFE
        try:
            if self._reads is not None and not sends:
                self._count_read(self._reads, network_of(self._address(scope)))
            with self._requests.one_more(path_of(scope), network_of(self._address(scope)), sends=sends):
                await (self._pass_read if sends and path_of(scope) != UPLOAD else self._pass_unread)(
                    scope, receive, send
                )
        except RefusedError as refusal:
            await _refuse(refusal, scope, receive, send)

    @staticmethod
    def _count_read(reads: RateLimiter, address: str) -> None:
        try:
            reads.spend(address, 1.0)
        except NotAllowedError as error:
            raise RefusedError(429, str(error)) from error

    async def _pass_read(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request whose body was read and checked."""
        body, whole = bytearray(), False
        try:
            path = path_of(scope)
            await self._read(body, _most(path), receive)
            whole = True
            passed_on = bytes(body) if path == LOGIN else self._check(path, bytes(body))
        except RefusedError as refusal:
            await _refuse(refusal, scope, receive, send, whole=whole)
        except TimeoutError:
            await _refuse(RefusedError(408, LATE), scope, receive, send)
        else:
            await self._pass_on(passed_on, scope, receive, send)
        finally:
            self._reading -= len(body)

    async def _pass_unread(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request without a body, or an upload, whose body is written to disk as it arrives.

        Raises:
            RefusedError: when there is no space for an upload.
        """
        if path_of(scope) == UPLOAD:
            receive = _in_time(receive)
            if self._uploads is not None:
                receive = self._uploads.counting(network_of(self._address(scope)), receive)
        # Whoever breaks off an upload gets no answer, and leaves no traceback in the log.
        with suppress(ClientDisconnect):
            await self._app(scope, receive, send)

    def _address(self, scope: Scope) -> str:
        peer = scope.get("client")
        return address_of(Headers(scope=scope), peer[0] if peer else None, proxied=self._hosts.proxied)

    async def _read(self, body: bytearray, most: int, receive: Receive) -> None:
        """Read a whole body.

        Raises:
            RefusedError: when it is too large, or too many are being read at the same time.
            TimeoutError: when it does not arrive in time.
        """
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                chunk = message.get("body", b"")
                if len(body) + len(chunk) > most:
                    raise RefusedError(413, f"A request may have at most {most} bytes.")
                if self._reading + len(chunk) > MAX_JSON_AT_ONCE:
                    raise RefusedError(503, "The server is busy: try again in a moment.")
                self._reading += len(chunk)
                body += chunk
                # If the client has hung up, the incomplete body fails the check.
                more = message["type"] == "http.request" and message.get("more_body", False)

    async def _pass_on(self, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request whose body was read, and watch meanwhile whether the client disconnects."""
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
            await self._app(scope, replay, _in_words(send) if path_of(scope).startswith(AT_ONCE) else send)
        finally:
            watching.cancel()

    def _check_source(self, scope: Scope) -> None:
        """Raise `RefusedError` if a request is addressed to another host name or comes from a page of another site."""
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        host = read_address(named[0]) if len(named) == 1 else None
        if host is None or not self._hosts.answers(host):
            raise RefusedError(
                400,
                "This server does not accept the host name in the request. Its operator can allow the name with "
                "--allowed-host.",
            )
        foreign = headers.get("x-forwarded-host")
        address = read_address(foreign) if foreign else None
        if foreign is not None and (address is None or not self._hosts.answers(address)):
            # Gradio would build the page's URLs from this header; that a proxy forwarded the request must remain
            # visible.
            scope["headers"] = [(SET_ASIDE.get(name, name), value) for name, value in scope["headers"]]
        scheme = seen_scheme(headers) or (None if forwarded(headers) or self._hosts.proxied else scope["scheme"])
        origins = headers.getlist("origin")
        own = [found is not None and self._hosts.is_own(found, host, scheme) for found in map(read_origin, origins)]
        if len(own) > 1 or not all(own):
            raise RefusedError(403, "This request comes from a page of another site.")
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        leads_here = mode == "navigate" and scope.get("method") in SAFE and path_of(scope) != "/logout"
        if site in ("cross-site", "same-site") and not leads_here:
            raise RefusedError(403, "This request comes from a page of another site.")

    def _check_route(self, scope: Scope) -> None:
        """Raise `RefusedError` if there is no such route, or if the request does not declare the required content
        type.
        """
        path, headers = path_of(scope), Headers(scope=scope)
        if path.startswith(UNUSED) or _is_too_long(path):
            raise RefusedError(404, "There is no page at this address.")
        if scope["method"] in SAFE:
            return
        wanted: tuple[str, ...] = ("application/json",)
        if path == LOGIN:
            wanted = ("application/x-www-form-urlencoded", "multipart/form-data")
        elif path == UPLOAD:
            wanted = ("multipart/form-data",)
        elif not any(path == f"/gradio_api/{name}" or path.startswith(f"/gradio_api/{name}/") for name in POSTED):
            raise RefusedError(404, "This address does not accept data.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in wanted or len(headers["content-type"]) > MAX_TYPE:
            raise RefusedError(415, f"Send this as {' or '.join(wanted)}.")
        if path != LOGIN and not self._signed_in(headers):
            raise RefusedError(401, "Sign in first.")
        size = headers.get("content-length")
        if path != UPLOAD and size is not None and (not size.isdecimal() or int(size) > _most(path)):
            raise RefusedError(413, f"A request may have at most {_most(path)} bytes.")


def path_of(scope: Scope) -> str:
    """The path by which a route is looked up, without trailing slashes."""
    return str(scope["path"]).rstrip("/") or "/"


def _in_time(receive: Receive) -> Receive:
    """Channel of an upload of which each part must arrive in time."""
    more = True

    async def in_time() -> Message:
        nonlocal more
        try:
            async with asyncio.timeout(BODY_SECONDS if more else None):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, LATE) from error
        more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    return in_time


def _is_too_long(path: str) -> bool:
    encoded = path.encode(errors="replace")
    return len(encoded) > MAX_PATH or any(len(part) > MAX_PART for part in encoded.split(b"/"))


def _most(path: str) -> int:
    return MAX_LOGIN if path == LOGIN else MAX_JSON


def _in_words(send: Send) -> Send:
    """Turn gradio's status 500 into 422 with the original message where a request was refused."""
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
    """Answer a request with a one-sentence error; ``whole`` means that its body was already read."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)})
        return
    # A short body is read to its end: closing the connection with unread data could discard this response.
    headers = {"cache-control": "no-store"} | ({} if whole or await _is_drained(receive) else {"connection": "close"})
    await JSONResponse({"detail": str(refusal)}, refusal.status, headers)(scope, receive, send)


async def _is_drained(receive: Receive) -> bool:
    """Whether the rest of a body could be read within `LINGER` seconds."""
    read, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while more and read < MAX_LOGIN:
                message = await receive()
                read += len(message.get("body", b""))
                more = message["type"] == "http.request" and message.get("more_body", False)
    return not more
