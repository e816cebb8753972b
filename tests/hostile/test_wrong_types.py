"""Payloads of wrong types: every response has a message, and none is a server error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from segr1_app.ui.gate.arguments import ArgumentsError, read_arguments
from tests.hostile.payloads import payloads
from tests.hostile.test_other_pages import WIRE
from tests.served import Served


def wrong(served: Served, number: int, seed: int) -> list[tuple[str, bytes, int, str]]:
    """Post payloads; returns those that caused a server error or a response without a message."""
    found = []
    for path, content in payloads(served, number, seed):
        answer = WIRE.post(f"{served.url}{path}", content=content, headers={"content-type": "application/json"})
        if answer.status_code >= 500 or (answer.status_code >= 400 and not answer.json()):
            found.append((path, content[:300], answer.status_code, answer.text[:200]))
    return found


@pytest.fixture
def untrained(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> Served:
    """A page whose admin cannot start trainings and downloads by chance."""

    def refuse(*_: Any, **__: Any) -> None:
        raise ArgumentsError("Not in this test.")

    for name in ("Trainings.start", "Trainings.resume", "Trainings.plan"):
        monkeypatch.setattr(f"segr1_app.studio.trainings.{name}", refuse)
    for name in ("start", "size"):
        monkeypatch.setattr(f"segr1_app.models.downloads.Download.{name}", refuse)
    return serve()


def test_wrong_types_are_answered_in_words(untrained: Served) -> None:
    assert wrong(untrained, 400, seed=1) == []
    assert WIRE.get(f"{untrained.url}gradio_api/queue/status").status_code == 200


@pytest.mark.slow
def test_ten_thousand_payloads_and_no_server_error(untrained: Served) -> None:
    assert wrong(untrained, 10_000, seed=2) == []
    assert [each.annotator for each in untrained.store.history(1)][-1] == "Ada"
    assert list(untrained.store.verify()) == []


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"annotator": "Ada"}, "'task' is missing"),
        ({"annotator": "Ada", "task": "one"}, "'task': input should be a valid integer"),
        ({"annotator": "Ada", "task": 2**60}, "'task': input should be less than or equal to 9007199254740992"),
        ({"annotator": ["Ada"], "task": 1}, "'annotator': input should be a valid string"),
        ({"annotator": "Ada", "task": 1, "self": 1}, "it has no argument 'self'"),
    ],
)
def test_what_is_wrong_is_said(untrained: Served, question: dict[str, Any], words: str) -> None:
    answer = untrained.past_the_queue("annotate", "open_task", question)
    assert answer.status_code == 200
    assert words in answer.json()["failure"]


def test_a_call_that_asks_for_nothing_there_is_says_so(untrained: Served) -> None:
    def posted(path: str, body: Any) -> httpx.Response:
        return WIRE.post(f"{untrained.url}gradio_api/{path}", json=body)

    for path, body in (
        ("run/none", {"data": []}),
        ("call/none", {"data": []}),
        ("call/v2/none", {}),
        ("component_server", {"data": {}, "component_id": 10**6, "fn_name": "x", "session_hash": "s"}),
        ("component_server", {"data": {}, "component_id": 1, "fn_name": "__class__", "session_hash": "s"}),
    ):
        assert posted(path, body).status_code == 404, path
    for path, body in (
        ("run/history", {"data": [1, 2, 3]}),
        ("run/history", {"data": []}),
        ("call/save_decision", {"data": ["Ada", 1]}),
        ("call/history", {"data": {}}),
        ("call/v2/history", {"unknown": 1}),
        ("queue/join", {"data": [], "fn_index": 10**6, "session_hash": "s"}),
        ("cancel", {}),
    ):
        answer = posted(path, body)
        assert answer.status_code == 422, path
        assert answer.json()["detail"]


def test_what_nests_too_deep_or_is_not_unicode_is_not_taken() -> None:
    def put_draft(annotator: str, content: dict[str, Any]) -> None: ...

    deep: Any = {}
    for _ in range(40):
        deep = {"a": [deep]}
    for content, words in ((deep, "32 levels"), ({"a": "\ud800"}, "Unicode"), ({"\udfff": 1}, "Unicode")):
        with pytest.raises(ArgumentsError, match=words):
            read_arguments(put_draft, {"annotator": "Ada", "content": content})
    for number in (2**70, float("nan")):
        with pytest.raises(ArgumentsError, match="number in it"):
            read_arguments(put_draft, {"annotator": "Ada", "content": {"a": [number]}})
    with pytest.raises(ArgumentsError, match="takes an object with its arguments, not list"):
        read_arguments(put_draft, [1])


@pytest.mark.parametrize(
    ("call", "arguments", "words"),
    [
        ("export", [7, "", "", 0], "'form' takes one of 'coco', "),
        ("export", ["coco", "", "", "a bit"], "'simplify' takes a number from 0, and not 'a bit'."),
        ("export", ["coco", "", "", -1], "'simplify' takes a number from 0, and not -1."),
        ("export", ["coco", "", "gif", 0], "'pictures' takes one of "),
        ("add_pictures", [[{"path": "/etc/passwd"}], "an egg", []], "'files' takes a list of uploaded files"),
        ("add_pictures", [3, "an egg", []], "'files' takes a list of uploaded files, and not 3."),
    ],
)
def test_an_argument_of_a_wrong_type_is_named(untrained: Served, call: str, arguments: list[Any], words: str) -> None:
    answer = WIRE.post(f"{untrained.url}gradio_api/run/{call}", json={"data": arguments})
    assert answer.status_code == 422
    assert words in answer.json()["error"]
