"""Results are waited for only by the ids that gradio holds.

For an unknown id gradio begins a stream, breaks it off and writes a traceback, so that any visitor could fill the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from segr1_app.ui.gate.front import path_of
from segr1_app.ui.gate.unread import UnreadResults

CALL: Final = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)")
"""Where the result of one call is waited for."""
VISIT: Final = "/gradio_api/queue/data"
"""Where a page waits for the results of all its calls."""
NOT_HELD: Final = "There is no such call: its id is wrong, or its result was not fetched in time."


class KnownResults:
    """ASGI middleware that answers itself where gradio holds no result.

    Args:
        app: the wrapped application.
        held: the results that gradio holds.
        signed_in: whether the sender of these headers may wait; others are left to the application to refuse.
    """

    def __init__(self, app: ASGIApp, held: UnreadResults, signed_in: Callable[[Headers], bool]) -> None:
        self._app, self._held, self._signed_in = app, held, signed_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        waits = scope["type"] == "http" and scope["method"] == "GET" and self._signed_in(Headers(scope=scope))
        call = CALL.fullmatch(path_of(scope)) if waits else None
        if call is not None:
            await self._read(
                self._held.visit_of(call[1]), JSONResponse({"detail": NOT_HELD}, 404), scope, receive, send
            )
        elif waits and path_of(scope) == VISIT and (visits := _visits(scope)):
            # What gradio itself sends before it breaks off; the page knows it.
            message = {"msg": "unexpected_error", "message": NOT_HELD, "session_not_found": True, "success": False}
            answer = Response(f"data: {json.dumps(message)}\n\n", media_type="text/event-stream")
            await self._read(visits[-1] if visits[-1] in self._held else None, answer, scope, receive, send)
        else:
            # Without the id of a visit, gradio says which parameter is missing.
            await self._app(scope, receive, send)

    async def _read(self, visit: str | None, otherwise: Response, scope: Scope, receive: Receive, send: Send) -> None:
        """Let gradio answer with the results of a visit, if there are any."""
        if visit is None:
            await otherwise(scope, receive, send)
            return
        with self._held.reader(visit):
            await self._app(scope, receive, send)


def _visits(scope: Scope) -> list[str]:
    return parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [])
