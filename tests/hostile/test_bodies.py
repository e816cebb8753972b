"""Bodies that are too large, too slow or too many are refused before they are read, and before anybody signs in."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from segr1_app.ui.gate.front import MAX_JSON, MAX_LOGIN
from tests.hostile.test_other_pages import ROUTES, WIRE
from tests.served import Served

JSON = {"content-type": "application/json"}


def chunked(size: int) -> Iterator[bytes]:
    """JSON of ``size`` bytes without saying how long it is."""
    yield b'{"data": ["'
    for _ in range(size // 2**16):
        yield b"x" * 2**16
    yield b'"]}'


def posted(served: Served, path: str, size: int, *, declared: bool, kind: str = JSON["content-type"]) -> int:
    """The status of a post of so many bytes; a server that hangs up while it is sent has refused it, too."""
    content = b"x" * size if declared else chunked(size)
    try:
        return WIRE.post(f"{served.url.rstrip('/')}{path}", content=content, headers={"content-type": kind}).status_code
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return 413


def test_a_large_body_is_refused_before_it_is_read(serve: Callable[..., Served]) -> None:
    served = serve()
    for _, path in (route for route in ROUTES if route[0] == "POST" and route[1] != "/gradio_api/upload"):
        kind = "application/x-www-form-urlencoded" if path == "/login" else "application/json"
        for declared in (True, False):
            assert posted(served, path, MAX_JSON + 2**17, declared=declared, kind=kind) == 413, path
    with socket.create_connection(("127.0.0.1", urlsplit(served.url).port or 0)) as connection:
        # 286 MB are announced, none is sent: the answer does not wait for them.
        lines = ("POST /gradio_api/run/statistics HTTP/1.1", "Host: localhost", "Content-Type: application/json")
        connection.sendall("\r\n".join((*lines, "Content-Length: 286000000", "", "")).encode())
        connection.settimeout(5)
        assert b" 413 " in connection.makefile("rb").readline()


def test_nothing_but_a_small_form_is_read_before_sign_in(serve: Callable[..., Served], people: Path) -> None:
    served = serve(auth=people)
    for _, path in (route for route in ROUTES if route[0] == "POST" and route[1] != "/login"):
        kind = "multipart/form-data; boundary=x" if path == "/gradio_api/upload" else "application/json"
        assert posted(served, path, 1000, declared=True, kind=kind) == 401
        assert posted(served, path, MAX_JSON - 2**17, declared=False, kind=kind) in (401, 413)
    form = "application/x-www-form-urlencoded"
    assert posted(served, "/login", MAX_LOGIN + 1, declared=True, kind=form) == 413
    assert posted(served, "/login", MAX_LOGIN + 2**17, declared=False, kind=form) == 413


@pytest.mark.parametrize("path", ["gradio_api/upload", "login"])
def test_a_form_with_a_long_boundary_is_refused(serve: Callable[..., Served], people: Path, path: str) -> None:
    served, boundary = serve(auth=people if path == "login" else None), "z" * 300
    kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
    assert WIRE.post(f"{served.url}{path}", content=f"--{boundary}--".encode(), headers=kind).status_code == 415


def test_a_body_that_trickles_in_is_given_up(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.ui.gate.front.BODY_SECONDS", 0.5)
    served = serve()
    with socket.create_connection(("127.0.0.1", urlsplit(served.url).port or 0)) as connection:
        lines = ("POST /gradio_api/run/statistics HTTP/1.1", "Host: localhost", "Content-Type: application/json")
        connection.sendall("\r\n".join((*lines, "Content-Length: 100", "", "{")).encode())
        connection.settimeout(10)
        assert b" 408 " in connection.makefile("rb").readline()


def test_many_bodies_at_once_are_not_held(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.ui.gate.front.MAX_JSON_AT_ONCE", 2 * 2**20)
    served = serve()
    connections = []
    lines = ("POST /gradio_api/run/statistics HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    for _ in range(3):
        connection = socket.create_connection(("127.0.0.1", urlsplit(served.url).port or 0))
        connection.sendall("\r\n".join((*lines, "Content-Length: 2000000", "", "")).encode() + b"x" * 900_000)
        connections.append(connection)
        time.sleep(0.3)
    connections[-1].settimeout(10)
    assert b" 503 " in connections[-1].makefile("rb").readline()
    for connection in connections:
        connection.close()
    time.sleep(0.3)
    assert WIRE.post(f"{served.url}gradio_api/call/statistics", json={"data": []}).status_code == 200
