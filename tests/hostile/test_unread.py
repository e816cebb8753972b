"""Results that nobody fetches are dropped after a while, and a client that waits for one gets it."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio.server_messages import EstimationMessage, ProcessCompletedMessage
from PIL import Image

from segr1_app.ui.gate.unread import UNREAD_BYTES, UNREAD_SECONDS, UnreadResults
from tests.hostile.test_other_pages import WIRE
from tests.served import Served

MIB = 2**20


class Held:
    """A queue of gradio's with results of some visits, and a clock that is set by hand."""

    def __init__(self) -> None:
        with gr.Blocks() as page:
            gr.Textbox()
        self.queue, self.now = page._queue, 0.0
        self.unread = UnreadResults(self.queue, lambda: self.now)

    def put(self, visit: str, size: int) -> None:
        """One more result of so many bytes."""
        pending: Any = self.queue.pending_messages_per_session
        if visit not in pending:
            pending[visit] = asyncio.Queue()
        pending[visit].put_nowait(ProcessCompletedMessage(output={"data": ["x" * size]}, success=True))
        self.queue.pending_event_ids_session.setdefault(visit, set()).add(f"call {pending[visit].qsize()}")

    def check(self) -> None:
        """One check, in a thread: the main thread's event loop may be that of the browser tests."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, self.unread.sweep()).result()

    def sweep(self, after: float) -> set[str]:
        """The visits whose results are left."""
        self.now += after
        self.check()
        left = set(self.queue.pending_messages_per_session)
        assert set(self.queue.pending_event_ids_session) == left
        return left


def test_what_nobody_waits_for_is_dropped_after_a_while() -> None:
    held = Held()
    for visit in ("left", "read"):
        held.put(visit, 10)
    with held.unread.reader("read"):
        assert held.sweep(0) == {"left", "read"}
        held.put("late", 10)
        assert held.sweep(UNREAD_SECONDS - 1) == {"left", "read", "late"}
        assert held.sweep(2) == {"read", "late"}
        held.put("late", 10)  # a visit that goes on is not left
        assert held.sweep(UNREAD_SECONDS - 2) == {"read", "late"}
        assert held.sweep(UNREAD_SECONDS + 1) == {"read"}


def test_the_visit_with_most_results_loses_them_first() -> None:
    held = Held()
    for visit, size in (("some", UNREAD_BYTES // 4), ("most", UNREAD_BYTES // 2)):
        held.put(visit, size)
    assert held.sweep(0) == {"some", "most"}
    held.put("few", UNREAD_BYTES // 3)
    assert held.sweep(0) == {"some", "few"}


def test_who_reads_slowly_holds_no_more_than_others() -> None:
    held = Held()
    with held.unread.reader("slow"):
        for _ in range(3):
            held.put("slow", UNREAD_BYTES // 2)
        held.check()
        pending: Any = held.queue.pending_messages_per_session
        assert pending["slow"].bytes == 0


def test_the_size_of_what_was_read_counts_no_longer() -> None:
    held = Held()
    held.put("a", MIB)
    messages: Any = held.queue.pending_messages_per_session["a"]
    messages.put_nowait(EstimationMessage(queue_size=1))
    assert messages.bytes > MIB
    messages.get_nowait()
    assert messages.bytes < 100
    messages.get_nowait()
    assert messages.bytes == 0


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nothing_is_kept_of_a_result_that_was_fetched(serve: Callable[..., Served]) -> None:
    served = serve()
    for _ in range(5):
        call = WIRE.post(f"{served.url}gradio_api/call/progress", json={"data": []}).json()["event_id"]
        assert "event: complete" in WIRE.get(f"{served.url}gradio_api/call/progress/{call}").text
    queue = served.page._queue
    until(lambda: not queue.pending_messages_per_session and not queue.pending_event_ids_session)


def test_a_result_that_nobody_fetches_is_dropped(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.ui.gate.unread.UNREAD_SECONDS", 0.1)
    monkeypatch.setattr("segr1_app.ui.gate.unread.EVERY", 0.05)
    served = serve()
    calls = [WIRE.post(f"{served.url}gradio_api/call/progress", json={"data": []}).json()["event_id"] for _ in "ab"]
    queue = served.page._queue
    until(lambda: not queue.pending_messages_per_session and not queue.pending_event_ids_session)
    for call in calls:
        answer = WIRE.get(f"{served.url}gradio_api/call/progress/{call}")
        assert (answer.status_code, answer.json()["detail"][:21]) == (404, "There is no such call")


def test_two_readers_of_one_call_who_leave_write_no_log(
    serve: Callable[..., Served], capfd: pytest.CaptureFixture[str]
) -> None:
    served = serve()
    content = io.BytesIO()
    Image.new("RGB", (32, 32)).save(content, "PNG")
    (path,) = WIRE.post(f"{served.url}gradio_api/upload", files={"files": ("a.png", content.getvalue())}).json()
    asked = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, "the primary objects"]}
    queue = served.page._queue
    with served.models.turn:
        call = WIRE.post(f"{served.url}gradio_api/call/predict", json=asked).json()["event_id"]
        url = f"{served.url}gradio_api/call/predict/{call}"
        with httpx.Client() as first, httpx.Client() as second:
            for client in (first, second):
                assert client.send(client.build_request("GET", url), stream=True).status_code == 200
        until(lambda: not queue.event_ids_to_events[call].alive)
    until(lambda: not queue.event_ids_to_events)
    assert "Traceback" not in "".join(capfd.readouterr())
