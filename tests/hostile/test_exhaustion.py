"""Visitors who exhaust scarce resources: disk, file descriptors, memory for visits; and foreign host names."""

from __future__ import annotations

import contextlib
import io
import resource
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
from segr1_app.settings.roles import Act, Role
from segr1_app.ui.gate.endpoints import Gate
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


@pytest.mark.slow
def test_idle_visits_do_not_use_up_all_file_descriptors(tmp_path: Path) -> None:
    port = free_port()
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); sys.argv = sys.argv[1:]"
    )
    command = [
        sys.executable,
        "-c",
        f"{limited}; runpy.run_path(sys.argv[0], run_name='__main__')",
        str(ROOT / "app.py"),
    ]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (
        serving_as(
            [*command, "--port", str(port), "--home", str(tmp_path / "data")], tmp_path, port, {"PYTHONPATH": str(ROOT)}
        ) as (url, _),
        contextlib.ExitStack() as opened,
    ):
        assert min(soft, hard if hard > 0 else soft) > 500
        for number in range(400):
            idle = opened.enter_context(socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=30))
            idle.sendall(f"GET /gradio_api/heartbeat/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for _ in range(5):
            assert WIRE.get(f"{url}healthz", timeout=60).status_code == 200
    assert (tmp_path / "app.log").stat().st_size < 100_000


def test_a_visitor_who_types_a_name_is_not_who_signs_in_with_it(tmp_path: Path) -> None:
    gate = Gate(Access("hub", Role.ANNOTATOR, lambda _: Role.ADMIN))
    visitor, owner = gate.access.person(None), gate.access.person("ada")
    assert gate.signed(Act.ANNOTATE, visitor, {"annotator": "ada"}) == {"annotator": f"ada {UNSIGNED}"}
    assert gate.signed(Act.ANNOTATE, owner, {"annotator": "grace"}) == {"annotator": "ada"}
    assert gate.signed(Act.REVIEW, visitor, {"reviewer": "ada"}) == {"reviewer": f"ada {UNSIGNED}"}
    with pytest.raises(SettingsError, match="do not sign in"):
        People(tmp_path / "people.json").put(f"ada {UNSIGNED}", Role.READER, "correct horse battery")
