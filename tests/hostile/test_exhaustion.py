"""Visitors who exhaust scarce resources: disk, file descriptors, memory for visits; and foreign host names."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from segr1_app.domain import SettingsError
from segr1_app.people.access import Access
from segr1_app.people.accounts import UNSIGNED, People
from segr1_app.settings.hosts import network_of
from segr1_app.settings.roles import Act, Role
from segr1_app.ui.gate.endpoints import Gate
from segr1_app.ui.gate.peers import address_of
from segr1_app.ui.gate.refusals import RefusedError
from segr1_app.ui.gate.streams import OpenRequests, most_open
from tests.e2e.serving import ROOT, free_port, serving_as
from tests.hostile.test_other_pages import WIRE
from tests.served import Served


def uploaded(served: Served, size: int) -> httpx.Response:
    return WIRE.post(f"{served.url}gradio_api/upload", files={"files": ("a.png", bytes(size))})


def test_nobody_fills_the_disk(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.ui.gate.uploads.PER_PERSON", 2**20)
    monkeypatch.setattr("segr1_app.ui.gate.uploads.SPARE", 0)
    served = serve(host="0.0.0.0")
    answers = [uploaded(served, 300_000) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 413, 413, 413]
    assert "per hour" in answers[-1].json()["detail"]


def test_reading_has_a_limit(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.ui.gate.guarded.READS_PER_SECOND", 0.01)
    monkeypatch.setattr("segr1_app.ui.gate.guarded.READS_AT_ONCE", 40.0)
    served = serve(host="0.0.0.0")
    statuses = [WIRE.get(f"{served.url}config").status_code for _ in range(50)]
    assert (statuses[0], statuses[-1]) == (200, 429)
    refused = WIRE.get(f"{served.url}config")
    assert refused.status_code == 429
    assert "Too many requests: try again in" in refused.json()["detail"]
    assert WIRE.head(served.url).status_code == 429
    # Saving has its own limits: whoever has read too much can still save.
    assert uploaded(served, 10).status_code == 200


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_a_network_of_many_addresses_counts_as_one(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.7:50123", "203.0.113.7"),
        ("198.51.100.9, 203.0.113.7:50123", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("198.51.100.9,", "10.0.0.1"),
    ],
)
def test_the_port_that_a_proxy_adds_is_no_part_of_an_address(forwarded: str, address: str) -> None:
    assert address_of({"x-forwarded-for": forwarded}, "10.0.0.1", proxied=True) == address


def test_one_person_may_read_as_much_as_they_like(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segr1_app.ui.gate.guarded.READS_AT_ONCE", 1.0)
    served = serve()
    assert [WIRE.get(f"{served.url}config").status_code for _ in range(9)] == [200] * 9


def test_all_uploads_together_have_a_limit(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.ui.gate.uploads.MAX_BYTES", 2**20)
    monkeypatch.setattr("segr1_app.ui.gate.uploads.SPARE", 0)
    served = serve(host="0.0.0.0")
    answers = [uploaded(served, 300_000) for _ in range(5)]
    assert [answer.status_code for answer in answers][-1] == 507
    monkeypatch.setattr("segr1_app.ui.gate.uploads.SPARE", 2**60)
    assert uploaded(served, 10).status_code == 507


def test_pictures_cost_what_they_have_pixels(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.ui.page.CALLS_AT_ONCE", 12)
    monkeypatch.setattr("segr1_app.ui.page.CALLS_PER_SECOND", 1e-3)
    served = serve(host="0.0.0.0")
    content = io.BytesIO()
    Image.new("L", (2000, 2000)).save(content, "PNG")
    (path,) = WIRE.post(f"{served.url}gradio_api/upload", files={"files": ("a.png", content.getvalue())}).json()
    shown = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}], "session_hash": "s"}
    answers = [WIRE.post(f"{served.url}gradio_api/run/show", json=shown).json()["data"][1] for _ in range(3)]
    assert ["Too many requests" in str(answer) for answer in answers] == [False, False, True]


def test_nothing_is_kept_of_visits(serve: Callable[..., Served]) -> None:
    served = serve()
    mark = "a value that nobody else sends"
    for number in range(12):
        drawn = {"data": ["Ada", 1, {"objects": mark}], "session_hash": f"made up {number}"}
        assert WIRE.post(f"{served.url}gradio_api/run/put_draft", json=drawn).status_code == 200
    holder = served.page.app.state_holder
    assert not holder.session_data
    assert mark not in str(holder["made up 1"].config_values)


def test_waiting_for_results_that_do_not_exist_writes_no_log(
    serve: Callable[..., Served], capfd: pytest.CaptureFixture[str]
) -> None:
    served = serve()
    for path in ("call/progress/made-up", "call/v2/progress/made-up"):
        answer = WIRE.get(f"{served.url}gradio_api/{path}")
        assert (answer.status_code, answer.json()["detail"][:21]) == (404, "There is no such call")
    answer = WIRE.get(f"{served.url}gradio_api/queue/data", params={"session_hash": "made up"})
    assert answer.text.startswith('data: {"msg": "unexpected_error"')
    called = WIRE.post(f"{served.url}gradio_api/call/progress", json={"data": []}).json()["event_id"]
    assert "event: complete" in WIRE.get(f"{served.url}gradio_api/call/progress/{called}").text
    assert "Traceback" not in "".join(capfd.readouterr())


def head_of(method: str, path: str, *more: str) -> bytes:
    return "\r\n".join((f"{method} /{path} HTTP/1.1", "Host: localhost", *more, "", "")).encode()


JSON, FORM = "Content-Type: application/json", "Content-Type: multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nabc'
SLOW = {
    "heartbeat": head_of("GET", "gradio_api/heartbeat/visit"),
    "nothing": b"",
    "half a request": b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    "part of a body": head_of("POST", "gradio_api/run/progress", JSON, "Content-Length: 100") + b"{",
    "part of an upload": head_of("POST", "gradio_api/upload", FORM, "Content-Length: 100000") + PART,
}
"""What many connections of one address send, and then nothing more."""


@pytest.mark.slow
def test_idle_connections_do_not_use_up_all_file_descriptors(tmp_path: Path) -> None:
    port = free_port()
    # Both limits before the app starts: it raises its own as far as it may, and an administrator may.
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [
        sys.executable,
        "-c",
        limited,
        str(ROOT / "app.py"),
        "--port",
        str(port),
        "--home",
        str(tmp_path / "data"),
    ]
    with serving_as(command, tmp_path, port, {"PYTHONPATH": str(ROOT)}) as (url, _):
        where = ("127.0.0.1", urlsplit(url).port or 0)
        for sent in SLOW.values():
            with contextlib.ExitStack() as opened:
                for _ in range(300):
                    opened.enter_context(socket.create_connection(where, timeout=30)).sendall(sent)
                for _ in range(3):
                    assert WIRE.get(f"{url}healthz", timeout=15).status_code == 200
    assert (tmp_path / "app.log").stat().st_size < 100_000


def test_an_upload_that_stops_is_given_up(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("segr1_app.ui.gate.front.BODY_SECONDS", 0.5)
    served = serve()
    where = ("127.0.0.1", urlsplit(served.url).port or 0)
    with socket.create_connection(where, timeout=20) as connection:
        connection.sendall(SLOW["part of an upload"])
        assert b" 408 " in connection.makefile("rb").readline()
    with socket.create_connection(where, timeout=20) as connection:
        connection.sendall(SLOW["part of an upload"])
    assert uploaded(served, 10).status_code == 200
    assert "Traceback" not in "".join(capfd.readouterr())


def test_slow_requests_of_one_address_leave_room_for_others() -> None:
    requests = OpenRequests()
    with contextlib.ExitStack() as opened:
        for _ in range(max(8, most_open() // 2)):
            opened.enter_context(requests.one_more("/gradio_api/upload", "10.0.0.1", sends=True))
        with pytest.raises(RefusedError, match="Too many requests"):
            opened.enter_context(requests.one_more("/gradio_api/upload", "10.0.0.1", sends=True))
        for path, address, sends in (("/", "10.0.0.1", False), ("/gradio_api/upload", "10.0.0.2", True)):
            opened.enter_context(requests.one_more(path, address, sends=sends))
    with requests.one_more("/gradio_api/upload", "10.0.0.1", sends=True):
        pass


def test_a_visitor_who_types_a_name_is_not_who_signs_in_with_it(tmp_path: Path) -> None:
    gate = Gate(Access("hub", Role.ANNOTATOR, lambda _: Role.ADMIN))
    visitor, owner = gate.access.person(None), gate.access.person("ada")
    assert gate.signed(Act.ANNOTATE, visitor, {"annotator": "ada"}) == {"annotator": f"ada {UNSIGNED}"}
    assert gate.signed(Act.ANNOTATE, owner, {"annotator": "grace"}) == {"annotator": "ada"}
    assert gate.signed(Act.REVIEW, visitor, {"reviewer": "ada"}) == {"reviewer": f"ada {UNSIGNED}"}
    with pytest.raises(SettingsError, match="do not sign in"):
        People(tmp_path / "people.json").put(f"ada {UNSIGNED}", Role.READER, "correct horse battery")
