"""A small OpenAI-compatible server: it answers as a test wants, correctly or not, and records its requests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = "<think> a thing </think> <bbox>[10,10,90,90]</bbox>, <points>[[50,50]]</points>, <labels>[1]</labels>"
TOO_LONG = (
    "The decoder prompt (length 1480) is longer than the maximum model length of 1024. Make sure that `max_model_len` "
    "is no smaller than the number of text tokens plus multimodal tokens. For image inputs, the number of image tokens "
    "depends on the number of images and their aspect ratios as well."
)
"""What vLLM says of a picture with more tokens than its context."""

REFUSALS = {
    "no images": (400, '{"error": {"message": "This model does not support image inputs", "code": 400}}'),
    "too long": (400, json.dumps({"error": {"message": TOO_LONG, "code": 400}})),
    "no key": (401, '{"error": {"message": "bad key KEY"}}'),
    "no model": (404, '{"error": {"message": "The model does not exist."}}'),
    "no address": (404, '{"detail": "Not Found"}'),
    "refuses": (422, '{"error": {"message": "too hot for KEY"}}'),
}
"""By mode: the status and what it says; KEY stands for the client's key, which a server may repeat."""
STREAMS = {
    "nonsense": 'data: {"choices": 7}\n\ndata: [DONE]\n\n',
    "not json": "data: {{{{\n\ndata: [DONE]\n\n",
    "breaks": 'data: {"error": {"message": "EngineCore died, KEY", "code": 500}}\n\n',
}
"""By mode: what a stream consists of."""


@dataclass
class Served:
    """A running server.

    Attributes:
        mode: how it answers the next requests; a function gets the handler and does it all.
        model: the name that it answers with; None for the one that was asked for.
    reasoning: the key under which it sends what is between <think> and </think>; None for a server that sends it as
        part of the text.
        say: the completion of a choice, from the request's body and the choice's number.
        asked: the bodies of the requests; ``headers`` those of each.
        most: the greatest number of requests at work at once; ``broken_off``: how many clients left before the end.
    """

    url: str = ""
    mode: str | Callable[[Any], None] = "good"
    model: str | None = None
    reasoning: str | None = None
    say: Callable[[dict[str, Any], int], str] = lambda _, choice: ANSWER if choice == 0 else f"{choice} {ANSWER}"
    pause: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    at_work: int = 0
    most: int = 0
    broken_off: int = 0
    failures_left: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def policy_server() -> Iterator[Served]:
    """A server on a free port of this machine."""
    state = Served()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.asked.append(body)
                state.headers.append({name.lower(): value for name, value in self.headers.items()})
                state.at_work += 1
                state.most = max(state.most, state.at_work)
            try:
                _answer(self, state, body)
            except (BrokenPipeError, ConnectionResetError):
                state.broken_off += 1
            finally:
                with state.lock:
                    state.at_work -= 1

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, state: Served, body: dict[str, Any]) -> None:
    if state.failures_left > 0:
        state.failures_left -= 1
        _whole(handler, 503, '{"error": {"message": "loading"}}')
    elif callable(state.mode):
        state.mode(handler)
    elif state.mode in REFUSALS:
        status, content = REFUSALS[state.mode]
        _whole(handler, status, _with_key(content, handler))
    elif state.mode in STREAMS:
        _raw(handler, _with_key(STREAMS[state.mode], handler).encode(), "text/event-stream")
    elif state.mode == "html":
        _raw(handler, b"<html><body>Welcome to nginx!</body></html>", "text/html")
    elif state.mode == "silent":
        _silent(handler)
    else:
        _stream(handler, state, body)


def _silent(handler: BaseHTTPRequestHandler) -> None:
    """As in a long queue: the answer is announced, and does not come until the client leaves."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    handler.wfile.flush()
    if handler.connection.recv(1) == b"":
        raise BrokenPipeError


def _stream(handler: BaseHTTPRequestHandler, state: Served, body: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    model = state.model or body["model"]
    for choice in range(body.get("n") or 1):
        text = state.say(body, choice)
        if state.reasoning:
            thought, _, text = text.partition("<think>")[2].partition("</think>")
            for start in range(0, len(thought), 8):
                _event(handler, model, choice, thought[start : start + 8], key=state.reasoning)
        pieces = [text[i : i + 8] for i in range(0, len(text), 8)]
        if state.mode == "half":
            pieces = pieces[: len(pieces) // 2]
        number = 0
        while number < len(pieces) or state.mode == "endless":
            _event(handler, model, choice, pieces[number % len(pieces)])
            number += 1
            time.sleep(state.pause)
        if state.mode == "half":
            return
        _event(handler, model, choice, "", finish="stop")
    handler.wfile.write(b"data: [DONE]\n\n")


def _event(
    handler: BaseHTTPRequestHandler,
    model: str,
    choice: int,
    piece: str,
    finish: str | None = None,
    *,
    key: str = "content",
) -> None:
    chunk = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": [{"index": choice, "delta": {key: piece}, "finish_reason": finish}],
    }
    handler.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
    handler.wfile.flush()


def _with_key(content: str, handler: BaseHTTPRequestHandler) -> str:
    return content.replace("KEY", handler.headers["Authorization"].removeprefix("Bearer "))


def _whole(handler: BaseHTTPRequestHandler, status: int, content: str) -> None:
    _raw(handler, content.encode(), "application/json", status)


def _raw(handler: BaseHTTPRequestHandler, content: bytes, kind: str, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
