"""Results are waited for only by the ids that gradio holds.

For an unknown id gradio begins a stream, breaks it off and writes a traceback, so that any visitor could fill the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

from gradio.blocks import Blocks
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from segr1_app.ui.gate.front import path_of

CALL: Final = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)")
"""Where the result of one call is waited for."""
VISIT: Final = "/gradio_api/queue/data"
"""Where a page waits for the results of all its calls."""
NOT_HELD: Final = "There is no such call: its id is wrong, or the server was started again since."


class KnownResults:
    """ASGI middleware that answers itself where gradio holds no result.

    Args:
        app: the wrapped application.
        page: whose calls are waited for.
        signed_in: whether the sender of these headers may wait; others are left to the application to refuse.
    """

    def __init__(self, app: ASGIApp, page: Blocks, signed_in: Callable[[Headers], bool]) -> None:
        self._app, self._page, self._signed_in = app, page, signed_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        answer = self._answer(scope) if scope["type"] == "http" and scope["method"] == "GET" else None
        await (answer or self._app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        path = path_of(scope)
        call = CALL.fullmatch(path)
        if (call is None and path != VISIT) or not self._signed_in(Headers(scope=scope)):
            return None
        if call is not None:
            return None if self._holds_call(call[1]) else JSONResponse({"detail": NOT_HELD}, 404)
        visits = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [])
        # Without one, gradio says which parameter is missing.
        if not visits or visits[-1] in self._page._queue.pending_messages_per_session:
            return None
        # What gradio itself sends before it breaks off; the page knows it.
        message = {"msg": "unexpected_error", "message": NOT_HELD, "session_not_found": True, "success": False}
        return Response(f"data: {json.dumps(message)}\n\n", media_type="text/event-stream")

    def _holds_call(self, event: str) -> bool:
        """Whether a call waits, runs, or has a result that was not read yet."""
        queue = self._page._queue
        return (
            event in queue.event_ids_to_events
            or event in queue.pending_messages_per_session
            or any(event in events for events in queue.pending_event_ids_session.values())
        )
