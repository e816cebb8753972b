"""Roles from settings and variables, and signing in with a file of accounts."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from pathlib import Path

import pytest

from segr1_app.cli import main
from segr1_app.domain import NotAllowedError, SettingsError
from segr1_app.people.access import Access, access_of
from segr1_app.people.accounts import People
from segr1_app.settings.config import Settings
from segr1_app.settings.roles import MAY, Act, Person, Role
from segr1_app.ui.gate.rates import RateLimiter

SPACE = {"SYSTEM": "spaces", "SPACE_ID": "ada/studio", "OAUTH_CLIENT_ID": "id"}
PASSWORD = "correct horse battery"


def test_each_role_may_do_what_the_one_before_may_and_more() -> None:
    allowed = [MAY[role] for role in Role]
    assert allowed[0] == {Act.LOOK}
    assert all(less < more for less, more in itertools.pairwise(allowed))
    assert allowed[-1] == set(Act)


@pytest.mark.parametrize(
    ("settings", "role"),
    [
        (Settings(), Role.ADMIN),
        (Settings(share=True), Role.READER),
        (Settings(host="0.0.0.0"), Role.READER),
        (Settings(host="0.0.0.0", anonymous="annotator"), Role.ANNOTATOR),
        (Settings(host="0.0.0.0", admin=True), Role.ADMIN),
    ],
)
def test_without_signing_in_the_machine_decides(settings: Settings, role: Role) -> None:
    access = access_of(settings, {})
    assert (access.sign_in, access.person(None).role) == ("none", role)
    assert access.possible(Act.ADMINISTER) == (role is Role.ADMIN)


def test_on_a_space_the_owner_and_the_lists_decide() -> None:
    named = {"SEGR1_REVIEWERS": "grace, ada", "SEGR1_ANNOTATORS": "linus grace"}
    access = access_of(Settings(host="0.0.0.0"), {**SPACE, **named})
    roles = {name: access.person(name).role for name in ("ada", "grace", "linus", "somebody")}
    assert roles == {"ada": Role.ADMIN, "grace": Role.REVIEWER, "linus": Role.ANNOTATOR, "somebody": Role.READER}
    assert access.person(None) == Person("", Role.READER)
    everybody = access_of(Settings(host="0.0.0.0"), {**SPACE, "SEGR1_ANNOTATORS": "*"})
    assert (everybody.person("somebody").role, everybody.person(None).role) == (Role.ANNOTATOR, Role.READER)
    # Without hf_oauth nobody can sign in: the Space's owner is a visitor like any other.
    closed = access_of(Settings(host="0.0.0.0"), {name: SPACE[name] for name in ("SYSTEM", "SPACE_ID")})
    assert (closed.sign_in, closed.possible(Act.ADMINISTER)) == ("none", False)


def test_a_refusal_says_what_to_do() -> None:
    access = Access("hub", Role.READER, lambda _: Role.ANNOTATOR)
    access.require(access.person("ada"), Act.ANNOTATE)
    with pytest.raises(NotAllowedError, match="sign in first"):
        access.require(access.person(None), Act.ANNOTATE)
    with pytest.raises(NotAllowedError, match="needs the role 'admin'; yours is 'annotator': ask"):
        access.require(access.person("ada"), Act.ADMINISTER)


def test_people_are_added_changed_and_removed_by_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "people.json"
    monkeypatch.setattr("segr1_app.people.accounts.COST", 2**10)

    def command(*arguments: str, stdin: str = "") -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        return main(["people", *arguments, "--auth", str(file)])

    assert command("add", "Ada", "--role", "reviewer", stdin=f"{PASSWORD}\n") == 0
    assert command("add", "Grace", stdin="short\n") == 1
    people = People(file)
    assert people.check("Ada", PASSWORD)
    assert not people.check("Ada", f"{PASSWORD} ")
    assert not people.check("Grace", "short")
    assert (people.role_of("Ada"), people.role_of("Grace")) == (Role.REVIEWER, Role.READER)
    assert PASSWORD not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    # The running page's own view of the file follows.
    assert command("add", "Ada", "--role", "admin", stdin=f"{PASSWORD}!\n") == 0
    assert people.role_of("Ada") is Role.ADMIN
    assert not people.check("Ada", PASSWORD)
    capsys.readouterr()
    assert command("list") == 0
    assert capsys.readouterr().out == "admin      Ada\n"
    assert (command("remove", "Ada"), command("remove", "Ada")) == (0, 1)
    assert not people.check("Ada", f"{PASSWORD}!")


def test_a_salt_is_used_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.people.accounts.COST", 2**10)
    people = People(tmp_path / "people.json")
    for name in ("Ada", "Grace"):
        people.put(name, Role.READER, PASSWORD)
    stored = json.loads((tmp_path / "people.json").read_text())
    assert stored["Ada"]["hash"] != stored["Grace"]["hash"]


def test_a_password_is_checked_at_full_cost(tmp_path: Path) -> None:
    people = People(tmp_path / "people.json")
    people.put("Ada", Role.READER, PASSWORD)
    assert people.check("Ada", PASSWORD)
    assert not people.check("Grace", PASSWORD)


def test_a_name_that_nobody_has_costs_as_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.people.accounts.COST", 2**10)
    people, costs, scrypt = People(tmp_path / "people.json"), [], hashlib.scrypt
    people.put("Ada", Role.READER, PASSWORD)
    monkeypatch.setattr("hashlib.scrypt", lambda *given, **how: costs.append(how["n"]) or scrypt(*given, **how))
    for name in ("Ada", "Grace"):
        assert not people.check(name, "something else")
    assert costs == [2**10, 2**10]


def test_an_invalid_file_of_people_signs_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "people.json"
    file.write_text('{"Ada": {"role": "queen", "salt": "", "hash": ""}}')
    with pytest.raises(SettingsError, match="not a file of accounts"):
        People(file).check("Ada", PASSWORD)


def test_a_bucket_is_emptied_and_fills_again() -> None:
    now = 0.0
    limiter = RateLimiter(rate=2, burst=10, clock=lambda: now)
    limiter.spend("Ada", 10)
    with pytest.raises(NotAllowedError, match="in 3 seconds"):
        limiter.spend("Ada", 4)
    limiter.spend("Grace", 10)
    now = 2.0
    limiter.spend("Ada", 4)
    now = 1000.0
    limiter.spend("Ada", 10)
    with pytest.raises(NotAllowedError):
        limiter.spend("Ada", 1)
