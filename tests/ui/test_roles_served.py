"""Roles at the endpoints of a page that is really served: through the API, and bypassing page and queue."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from segr1_app.settings.roles import Role
from tests.served import Served
from tests.store.values import picture


@pytest.mark.slow
def test_each_role_reaches_its_endpoints_and_no_others(serve: Callable[..., Served], people: Path) -> None:
    served = serve(auth=people)
    decision = {"task": 1, "verdict": "skip", "objects": []}
    asked: list[tuple[Role, Callable[[Client], Any]]] = [
        (Role.READER, lambda client: client.predict(api_name="/statistics")),
        (Role.ANNOTATOR, lambda client: client.predict("x", "imported", api_name="/next_task")),
        (Role.ANNOTATOR, lambda client: client.predict(annotator="x", **decision, api_name="/save_decision")),
        (Role.REVIEWER, lambda client: client.predict("x", 1, 1, api_name="/make_current")),
        (Role.ADMIN, lambda client: client.predict("coco", api_name="/export")),
        (Role.ADMIN, lambda client: client.predict(api_name="/training_state")),
        (Role.READER, lambda client: client.predict(api_name="/second_policy")),
        (Role.ADMIN, lambda client: client.predict(api_name="/close_second_policy")),
    ]
    ranks = list(Role)
    for role in Role:
        client = served.api(role.value.title())
        for least, ask in asked:
            if ranks.index(role) >= ranks.index(least):
                ask(client)
                continue
            with pytest.raises(AppError, match=f"needs the role '{least}'; yours is '{role}'"):
                ask(client)
    # Whoever signed in signs with that name, whatever they say.
    assert {each.annotator for each in served.store.history(1)} == {"Ada", "Annotator", "Reviewer", "Admin"}


def test_the_page_s_own_calls_are_checked_too(serve: Callable[..., Served], people: Path) -> None:
    served = serve(auth=people)
    question = {"annotator": "Ada", "order": "imported"}
    assert served.past_the_queue("annotate", "next_task", question).status_code == 401
    reader, annotator = served.sign_in("Reader"), served.sign_in("Annotator")
    assert served.sign_in("Nobody") == {}
    refused = served.past_the_queue("annotate", "next_task", question, cookies=reader).json()
    assert "needs the role 'annotator'" in refused["failure"]
    assert "failure" not in served.past_the_queue("annotate", "next_task", question, cookies=annotator).json()
    for step, cookies, reason in (
        (1, reader, "needs the role 'annotator'"),
        (1, annotator, "There is no later task."),
        (-1, annotator, "There is no earlier task."),
        (2, annotator, "A step is 1 for the next task"),
    ):
        moving = {"annotator": "Ada", "task": 1, "step": step}
        assert reason in served.past_the_queue("annotate", "open_neighbour", moving, cookies=cookies).json()["failure"]
    # Everybody sees the classes, and only an admin edits them.
    adding, removing = {"content": {"name": "cat"}}, {"name": "cat"}
    for what, asked in (("put_class", adding), ("remove_class", removing)):
        refused = served.past_the_queue("annotate", what, asked, cookies=annotator).json()
        assert "editing classes and training needs the role 'admin'" in refused["failure"]
    assert served.past_the_queue("annotate", "classes", {}, cookies=reader).json() == {"classes": []}
    served.past_the_queue("annotate", "put_class", adding, cookies=served.sign_in("Admin"))
    assert [each.name for each in served.store.classes()] == ["cat"]
    restoring = {"reviewer": "Ada", "revision": 1}
    assert "reviewer" in served.past_the_queue("review", "restore", restoring, cookies=annotator).json()["failure"]
    served.past_the_queue("review", "restore", restoring, cookies=served.sign_in("Reviewer"))
    assert [each.annotator for each in served.store.history(1)] == ["Ada", "Reviewer"]


def test_visitors_of_another_machine_s_page_look_only(serve: Callable[..., Served]) -> None:
    served = serve(host="0.0.0.0")
    client = served.api()
    assert client.predict(api_name="/statistics")["tasks"] == 1
    with pytest.raises(AppError, match="ask the operator of this page"):
        client.predict("Eve", "imported", api_name="/next_task")
    with pytest.raises(AppError, match="admin"):
        client.predict("coco", api_name="/export")
    with pytest.raises(ValueError, match="start_training"):
        client.predict(1, True, api_name="/start_training")


def test_one_person_cannot_ask_without_end(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.ui.page.CALLS_AT_ONCE", 3.0)
    monkeypatch.setattr("segr1_app.ui.page.CALLS_PER_SECOND", 0.01)
    served = serve(host="0.0.0.0")
    answers = [served.past_the_queue("progress", "statistics", {}).json() for _ in range(4)]
    assert [("failure" in answer) for answer in answers] == [False, False, False, True]
    assert "try again in" in answers[-1]["failure"]


@pytest.mark.slow
def test_a_file_that_is_too_large_is_not_taken(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.ui.page.MAX_UPLOAD", "10kb")
    served = serve(host="0.0.0.0")
    answers = [
        httpx.post(f"{served.url}gradio_api/upload", files={"files": ("a.png", bytes(size))})
        for size in (9_000, 11_000)
    ]
    assert [answer.status_code for answer in answers] == [200, 413]
    assert "File size exceeded maximum allowed size" in answers[1].text


@pytest.mark.slow
def test_a_queue_that_is_full_says_so(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("segr1_app.ui.page.MAX_WAITING", 1)
    monkeypatch.setattr("segr1_app.ui.tabs.run.PARALLEL_RUNS", 1)
    served = serve(host="0.0.0.0")
    Image.fromarray(picture().pixels).save(tmp_path / "photo.png")
    client = served.api()
    with served.models.turn:
        asked = [client.submit(handle_file(tmp_path / "photo.png"), "object", api_name="/predict") for _ in range(4)]
        deadline = time.monotonic() + 60
        while not (refused := [job for job in asked if job.done()]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "Queue is full" in str(refused[0].exception())


# Only a Space itself has the package by which gradio reloads code there.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_account_on_the_hub_is_who_it_says(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    import itsdangerous

    variables = {"SYSTEM": "spaces", "SPACE_ID": "ada/studio", "SEGR1_ANNOTATORS": "grace"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setattr(f"gradio.oauth.{name}", "http://127.0.0.1:9")
    served = serve(host="0.0.0.0")

    def cookie(name: str) -> dict[str, str]:
        """A session as gradio signs it after a visit to the hub."""
        profile = {"name": name, "preferred_username": name, "profile": "", "picture": ""}
        content = base64.b64encode(json.dumps({"oauth_info": {"userinfo": profile, "access_token": "t"}}).encode())
        secret = hashlib.sha256(b"http://127.0.0.1:9-v4").hexdigest()
        return {"session": itsdangerous.TimestampSigner(secret).sign(content).decode()}

    question = {"annotator": "Ada", "order": "imported"}
    assert "sign in first" in served.past_the_queue("annotate", "next_task", question).json()["failure"]
    forged = {"session": cookie("ada")["session"][:-2] + "xx"}
    assert "sign in" in served.past_the_queue("annotate", "next_task", question, cookies=forged).json()["failure"]
    assert "failure" not in served.past_the_queue("annotate", "next_task", question, cookies=cookie("grace")).json()
    refused = served.past_the_queue("train", "training_state", {}, cookies=cookie("grace")).json()
    assert "needs the role 'admin'" in refused["failure"]
    assert "failure" not in served.past_the_queue("train", "training_state", {}, cookies=cookie("ada")).json()
