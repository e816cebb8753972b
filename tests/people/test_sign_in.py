"""Signing in under attack: wrong guesses pause a name, delay nobody else, and a changed password ends its sessions."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from segr1_app.domain import NotAllowedError
from segr1_app.people.accounts import People
from segr1_app.people.sign_in import GUESSES, WAITING, Sessions, SignIn, asked_from
from segr1_app.settings.roles import Role

T = TypeVar("T")
PASSWORD = "correct horse battery"


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` in a thread of its own: the browser tests leave an event loop running in the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    monkeypatch.setattr("segr1_app.people.accounts.COST", 2**10)
    found = People(tmp_path / "people.json")
    for name in ("Ada", "Grace"):
        found.put(name, Role.ANNOTATOR, PASSWORD)
    return found


def test_wrong_passwords_make_a_name_pause_and_are_logged(people: People, caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    desk = SignIn(people, clock=lambda: now)

    async def guess() -> None:
        nonlocal now
        asked_from.set("192.0.2.1")
        for _ in range(GUESSES):
            assert not await desk.check("Ada", "wrong")
        with pytest.raises(NotAllowedError, match="try again in 61 seconds"):
            await desk.check("Ada", PASSWORD)
        assert await desk.check("Grace", PASSWORD)
        asked_from.set("192.0.2.2")
        assert await desk.check("Ada", PASSWORD)  # who sits elsewhere is not kept out
        asked_from.set("192.0.2.1")
        now = 61.0
        assert await desk.check("Ada", PASSWORD)

    with caplog.at_level(logging.INFO):
        finish(guess())
    failed = [each for each in caplog.records if getattr(each, "event", "") == "sign-in-failed"]
    assert len(failed) == GUESSES
    assert vars(failed[0])["address"] == "192.0.2.1"
    assert "has to pause" in failed[-1].message
    assert PASSWORD not in caplog.text


def test_many_guesses_at_once_are_counted_before_they_are_checked(people: People) -> None:
    desk = SignIn(people)

    async def guess() -> list[object]:
        return await asyncio.gather(*(desk.check("Ada", "wrong") for _ in range(60)), return_exceptions=True)

    answers = finish(guess())
    assert sum(answer is False for answer in answers) == GUESSES
    assert sum(isinstance(answer, NotAllowedError) for answer in answers) == 60 - GUESSES


def test_guesses_do_not_hold_up_who_signs_in(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    check = People.check

    def slow(self: People, name: str, password: str) -> bool:
        time.sleep(0.05)
        return check(self, name, password)

    monkeypatch.setattr(People, "check", slow)
    desk = SignIn(people)

    async def together() -> float:
        crowd = [asyncio.create_task(desk.check(f"nobody {number}", "wrong")) for number in range(200)]
        await asyncio.sleep(0.02)
        started = time.monotonic()
        assert await desk.check("Ada", PASSWORD)
        took = time.monotonic() - started
        answers = await asyncio.gather(*crowd, return_exceptions=True)
        assert sum(answer is False for answer in answers) <= WAITING + 2
        return took

    assert finish(together()) < 2.0


def test_a_changed_password_or_a_removed_account_ends_a_session(people: People) -> None:
    now = 0.0
    sessions = Sessions(people, clock=lambda: now)
    sessions["one"], sessions["two"], sessions["three"] = "Ada", "Grace", "Nobody"
    assert dict(sessions) == {"one": "Ada", "two": "Grace"}
    people.put("Ada", Role.ADMIN, f"{PASSWORD}!")
    assert sessions.get("one") is None
    assert sessions.get("two") == "Grace"
    people.remove("Grace")
    assert "two" not in sessions
    sessions["four"] = "Ada"
    now = 31 * 86_400.0
    assert sessions.get("four") is None


@pytest.mark.slow
def test_people_who_are_added_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    file = tmp_path / "new" / "people.json"
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "segr1_app", "people", "add", f"person {number}", "--auth", str(file)],
            stdin=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    for command in commands:
        command.communicate(f"{PASSWORD}\n")
    assert [command.returncode for command in commands] == [0] * 6
    assert sorted(json.loads(file.read_text())) == [f"person {number}" for number in range(6)]
    assert file.stat().st_mode & 0o077 == 0
