"""Requests that a browser sends for pages of other sites, over every kind of route and body."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from segr1_app.settings.hosts import Address, read_address
from segr1_app.settings.roles import Role
from segr1_app.ui.views import STATIC
from tests.served import PASSWORD, Served

ROUTES = (
    ("GET", "/"),
    ("GET", "/config"),
    ("GET", "/healthz"),
    ("GET", "/gradio_api/info"),
    ("GET", "/gradio_api/heartbeat/made-up"),
    ("GET", "/gradio_api/queue/data?session_hash=made-up"),
    ("GET", "/gradio_api/queue/status"),
    ("GET", "/gradio_api/file=x"),
    ("GET", "/gradio_api/startup-events"),
    ("GET", "/theme.css"),
    ("OPTIONS", "/gradio_api/component_server"),
    ("POST", "/login"),
    ("POST", "/gradio_api/upload"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/call/statistics"),
    ("POST", "/gradio_api/call/v2/statistics"),
    ("POST", "/gradio_api/run/statistics"),
    ("POST", "/gradio_api/component_server"),
    ("POST", "/gradio_api/component_server/"),
    ("POST", "/gradio_api/cancel"),
    ("POST", "/gradio_api/reset"),
    ("PUT", "/gradio_api/upload"),
    ("DELETE", "/"),
)

WIRE = httpx.Client(timeout=60)
"""A client for all tests: making one costs more than most requests."""


def asked(served: Served, method: str, path: str, headers: dict[str, str], content: bytes = b"{}") -> httpx.Response:
    """One request, with a body if the method allows one."""
    body = None if method in ("GET", "OPTIONS") else content
    kind = {} if body is None else {"content-type": "application/json"}
    answer = WIRE.request(method, f"{served.url.rstrip('/')}{path}", headers={**kind, **headers}, content=body)
    WIRE.cookies.clear()
    return answer


@pytest.fixture
def local(serve: Callable[..., Served]) -> Served:
    return serve()


def port_of(served: Served) -> int:
    port = urlsplit(served.url).port
    assert port is not None
    return port


def test_another_name_for_this_machine_is_not_served(local: Served) -> None:
    port = port_of(local)
    names = (
        "evil.example",
        f"evil.example:{port}",
        f"localhost.evil.example:{port}",
        f"evil.localhost:{port}",
        f"127.0.0.1.evil.example:{port}",
        f"127.0.0.1@evil.example:{port}",
        f"192.168.1.7:{port}",
        "[::2]",
        "localhost:99999",
        "localhost:x",
        "",
        "local host",
    )
    for host in names:
        for method, path in ROUTES:
            answer = asked(local, method, path, {"host": host})
            assert answer.status_code == 400, (host, method, path)
            assert "access-control-allow-origin" not in answer.headers
    assert "--allowed-host" in asked(local, "GET", "/", {"host": "evil.example"}).json()["detail"]


def test_the_names_of_this_machine_are_served(local: Served) -> None:
    port = port_of(local)
    for host in ("localhost", "LocalHost", "localhost.", "127.0.0.1", "[::1]", "[0:0::1]"):
        for ending in (f":{port}", ":8080", ""):  # a container or a tunnel may have another port
            assert asked(local, "GET", "/healthz", {"host": host + ending}).status_code in (200, 404), host


def test_two_hosts_or_none_are_not_served(local: Served) -> None:
    port = port_of(local)
    for hosts in ((), ("localhost", "evil.example"), ("evil.example", "localhost")):
        lines = ["GET / HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall("\r\n".join(lines).encode())
            assert b" 400 " in connection.makefile("rb").readline()


def test_pages_of_other_sites_are_refused_everywhere(local: Served) -> None:
    port = port_of(local)
    origins = (
        "null",
        "file://",
        "",
        "http://evil.example",
        f"http://evil.example:{port}",
        f"http://127.0.0.1:{port + 1}",
        "http://127.0.0.1",
        f"https://127.0.0.1:{port}",
        f"http://localhost:{port}",
        f"http://[::1]:{port}",
        f"http://127.0.0.1.:{port}.evil.example",
        f"http://127.0.0.1:{port}@evil.example",
        f"http://127.0.0.1:{port}, http://evil.example",
        f"chrome-extension://127.0.0.1:{port}",
    )
    for origin in origins:
        for method, path in ROUTES:
            answer = asked(local, method, path, {"origin": origin, "access-control-request-method": "POST"})
            assert answer.status_code == 403, (origin, method, path)
            assert "access-control-allow-origin" not in answer.headers


def test_its_own_page_is_answered(local: Served) -> None:
    port = port_of(local)
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "localhost.", "[::1]"):
        headers = {"host": f"{name}:{port}", "origin": f"HTTP://{name}:{port}"}
        assert asked(local, "POST", "/gradio_api/call/statistics", headers, b'{"data": []}').status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_picture_or_a_form_of_another_site_reaches_nothing(local: Served, site: str) -> None:
    for method, path in ROUTES:
        assert asked(local, method, path, {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}).status_code == 403
    to_a_page = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
    assert asked(local, "GET", "/", to_a_page).status_code == 200
    assert asked(local, "GET", "/logout", to_a_page).status_code == 403
    assert asked(local, "POST", "/login", to_a_page).status_code == 403


def test_what_changes_something_is_sent_as_json_only(local: Served) -> None:
    question = {"data": {}, "component_id": 1, "fn_name": "start_training", "session_hash": "x"}
    bodies: tuple[dict[str, Any], ...] = (
        {"content": json.dumps(question), "headers": {"content-type": "text/plain"}},
        {"content": json.dumps(question), "headers": {"content-type": "text/plain; charset=application/json"}},
        {"content": json.dumps(question), "headers": {}},
        {"data": question},
        {"data": {name: str(value) for name, value in question.items()}, "files": {"files": ("a", b"a")}},
    )
    for _, path in (
        route for route in ROUTES if route[0] == "POST" and route[1] not in ("/login", "/gradio_api/upload")
    ):
        for body in bodies:
            answer = WIRE.post(f"{local.url.rstrip('/')}{path}", **body)
            assert answer.status_code == 415, (path, body)
    assert WIRE.post(f"{local.url}gradio_api/upload", json={}).status_code == 415
    assert WIRE.post(f"{local.url}login", json={}).status_code == 415


def test_routes_of_gradio_that_this_page_does_not_need_are_closed(local: Served) -> None:
    for path in (
        "deep_link?session_hash=x",
        "dev/reload",
        "proxy=https://evil.hf.space/",
        "file=https://evil.example/x",
        "file/https://evil.example/x",
        "custom_component/x/client/y/z",
        "token",
    ):
        assert WIRE.get(f"{local.url}gradio_api/{path}").status_code == 404, path
    for path in ("process_recording", "stream/x", "stream/x/close", "vibe-edit/"):
        assert WIRE.post(f"{local.url}gradio_api/{path}", json={}).status_code == 404, path


@pytest.mark.parametrize("folder", ["static", "assets", "studio", "gradio_api/file=", "gradio_api/call/progress"])
@pytest.mark.parametrize("name", ["a" * 3000, "%C3%A4" * 200, "a/" * 3000])
def test_no_name_is_too_long_for_the_file_system(local: Served, folder: str, name: str) -> None:
    assert WIRE.get(f"{local.url}{folder}/{name}").status_code in (403, 404)


def test_a_web_socket_is_refused(local: Served) -> None:
    lines = [
        "GET /gradio_api/queue/join HTTP/1.1",
        f"Host: 127.0.0.1:{port_of(local)}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Origin: http://evil.example",
        "",
        "",
    ]
    with socket.create_connection(("127.0.0.1", port_of(local))) as connection:
        connection.sendall("\r\n".join(lines).encode())
        assert b" 101 " not in connection.makefile("rb").readline()


def test_a_proxy_makes_nobody_an_admin(local: Served) -> None:
    question: dict[str, Any] = {}
    for name in ("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "via"):
        for value in ("127.0.0.1", "localhost", "http", ""):
            answer = local.past_the_queue("train", "training_state", question, headers={name: value}).json()
            assert "'admin'; yours is 'reader'" in answer["failure"], name
    assert "failure" not in local.past_the_queue("train", "training_state", question).json()


def test_nobody_is_an_admin_by_default_where_proxies_are_expected(serve: Callable[..., Served]) -> None:
    served = serve(allowed_hosts=(Address("studio.example"),))
    with pytest.raises(StopIteration):  # there is no Train tab to call
        served.past_the_queue("train", "training_state", {})


def test_behind_a_proxy_its_names_are_served(serve: Callable[..., Served]) -> None:
    served = serve(allowed_hosts=(Address("studio.example"), Address("other.example", 8443)))
    body = b'{"data": []}'

    def status(host: str, origin: str, **more: str) -> int:
        headers = {"host": host, "origin": origin, **more}
        return asked(served, "POST", "/gradio_api/call/statistics", headers, body).status_code

    assert status("studio.example", "https://studio.example") == 200
    assert status("studio.example:8000", "http://studio.example:8000") == 200
    assert status("127.0.0.1", "https://studio.example") == 200  # the proxy replaced the Host
    assert status("other.example:8443", "https://other.example:8443") == 200
    assert status("studio.example", "https://studio.example", **{"x-forwarded-proto": "https"}) == 200
    assert status("studio.example", "http://studio.example", **{"x-forwarded-proto": "https"}) == 403
    assert status("studio.example", "https://studio.example:444") == 403
    assert status("studio.example", "https://evil.example") == 403
    assert status("127.0.0.1", "https://other.example") == 403
    assert status("other.example:8444", "https://other.example:8444") == 400
    assert status("evil.example", "https://evil.example", **{"x-forwarded-host": "studio.example"}) == 400


def test_an_invented_forwarded_host_gets_into_no_address(local: Served) -> None:
    for host in ("evil.example", "localhost, evil.example", ""):
        answer = asked(local, "GET", "/", {"x-forwarded-host": host})
        assert answer.status_code == 200
        assert "evil.example" not in answer.text


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_cookies_are_of_no_use_to_other_sites(serve: Callable[..., Served], people: Path, scheme: str) -> None:
    served = serve(auth=people)
    form = {"username": Role.ADMIN.value.title(), "password": PASSWORD}
    answer = WIRE.post(f"{served.url}login", data=form, headers={"x-forwarded-proto": scheme})
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    assert all("SameSite=Lax" in cookie and "HttpOnly" in cookie for cookie in cookies)
    assert all("Secure" in cookie for cookie in cookies) or scheme == "http"
    leave = asked(served, "GET", "/logout", {"cookie": "; ".join(cookie.partition(";")[0] for cookie in cookies)})
    assert all("SameSite=Lax" in cookie for cookie in leave.headers.get_list("set-cookie"))


def test_the_page_says_what_a_browser_may_do_with_it(local: Served) -> None:
    for path in ("", "config", "gradio_api/info", "no-such-page", "gradio_api/file=x"):
        headers = WIRE.get(f"{local.url}{path}").headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert "frame-ancestors 'self';" in f"{headers['content-security-policy']};"
    refused = asked(local, "GET", "/", {"host": "evil.example"})
    assert refused.headers["x-content-type-options"] == "nosniff"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_space_works_in_the_frame_of_the_hub(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"SYSTEM": "spaces", "SPACE_ID": "ada/studio", "SPACE_HOST": "ada-studio.hf.space"}
    for name, value in space.items():
        monkeypatch.setenv(name, value)
    served = serve(host="0.0.0.0")
    at_the_hub = {"host": "ada-studio.hf.space", "x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "https"}
    framed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    page = asked(served, "GET", "/", {**at_the_hub, **framed})
    assert page.status_code == 200
    assert "x-frame-options" not in page.headers
    assert "frame-ancestors 'self' https://huggingface.co" in page.headers["content-security-policy"]
    own = {**at_the_hub, "origin": "https://ada-studio.hf.space"}
    call = ("POST", "/gradio_api/call/statistics")
    assert asked(served, *call, own, b'{"data": []}').status_code == 200
    for origin in ("https://huggingface.co", "https://eve-studio.hf.space", "http://ada-studio.hf.space", "null"):
        assert asked(served, *call, {**own, "origin": origin}, b'{"data": []}').status_code == 403
    assert asked(served, "GET", "/", {"host": "eve-studio.hf.space"}).status_code == 400


@pytest.mark.parametrize(
    "text", ["http://x", "x/y", "*", "*.example", "x:0", "x:99999", "::1", "a b", "", ".", "x..:1:2"]
)
def test_what_is_not_a_host_name_is_not_allowed(text: str) -> None:
    assert read_address(text) is None


def test_nothing_public_contains_the_path_of_the_app(local: Served) -> None:
    served = WIRE.get(f"{local.url}studio/canvas/canvas.js")
    assert served.content == (STATIC / "canvas" / "canvas.js").read_bytes()
    assert WIRE.get(f"{local.url}studio/../page.py").status_code == 404
    assert WIRE.get(f"{local.url}studio/%2e%2e/page.py").status_code == 404
    for path in ("", "config", "gradio_api/info", "gradio_api/openapi.json", "healthz"):
        answer = WIRE.get(f"{local.url}{path}").text
        assert str(STATIC.parents[2]) not in answer, path
        assert str(local.models.settings.home) not in answer, path
