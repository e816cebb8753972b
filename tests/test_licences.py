"""``docs/licences.md`` names every package that the app and its training declare, each with a licence."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

from tests.constraints import declared
from tests.licences import FILE, HEAD, UNSTATED, written

ROW = re.compile(r"\| ([^|]+) \| ([^|]+) \| ([^|]*) \|")


def rows(text: str) -> dict[str, tuple[str, str]]:
    found = [ROW.fullmatch(line) for line in text.removeprefix(HEAD).splitlines()]
    assert all(found)
    return {canonicalize_name(match[1]): (match[2], match[3]) for match in found if match}


def test_the_page_is_in_the_form_that_the_command_writes() -> None:
    page, now = FILE.read_text(encoding="utf-8"), written()
    assert page.startswith(HEAD)
    assert now.startswith(HEAD)
    assert list(rows(page)) == sorted(rows(page))


def test_every_declared_package_has_a_licence() -> None:
    listed = rows(FILE.read_text(encoding="utf-8"))
    for requirement in declared("train"):
        licence, _ = listed[canonicalize_name(requirement.name)]
        assert licence.strip() != UNSTATED, requirement.name


def test_no_version_is_in_it() -> None:
    """It must not be out of date with every release of a package."""
    listed = rows(FILE.read_text(encoding="utf-8"))
    assert not [name for name, (_, home) in listed.items() if re.search(r"/\d+\.\d+\.\d+", home)]
