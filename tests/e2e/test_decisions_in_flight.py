"""While the Annotate tab waits for the server, nothing can be edited or decided that would be lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from segr1_app.store import RejectReason
from tests.e2e.annotate_page import ROOT, at_work, shown
from tests.e2e.conftest import ScriptedApp

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_nothing_is_edited_while_a_decision_is_on_its_way(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads)
    page = canvas.page
    held: list[Route] = []

    def hold(route: Route) -> None:
        saves = '"save_decision"' in (route.request.post_data or "")
        held.append(route) if saves else route.continue_()

    def decide_and_edit() -> None:
        """Decide by a key during a drag, and keep editing."""
        marks = page.locator(f"{ROOT} [data-mark]").count()
        page.mouse.move(*canvas.at((20, 20)))
        page.mouse.down()
        page.mouse.move(*canvas.at((120, 90)))
        page.keyboard.press("a")
        expect(canvas.frame).to_have_attribute("aria-disabled", "true")
        page.mouse.up()
        page.mouse.click(*canvas.at((60, 60)))
        page.mouse.click(*canvas.at((60, 90)), button="right")
        page.keyboard.press("p")
        expect(canvas.frame).to_have_css("opacity", "0.6")
        assert page.locator(f"{ROOT} .stage-bar").evaluate("e => e.inert")
        assert page.locator(f"{ROOT} [data-mark]").count() == marks

    page.route(re.compile("component_server"), hold)
    decide_and_edit()
    held.pop().fulfill(json={"failure": "The disk is full."})
    expect(page.locator(f"{ROOT} .notice")).to_have_text("The disk is full.")
    expect(canvas.frame).to_have_css("opacity", "1")
    canvas.click((200, 150))
    assert [point["label"] for point in canvas.object["points"]] == [1, 1]
    drawn = canvas.object
    decide_and_edit()
    held.pop().continue_()
    shown(canvas, 2)
    (made,) = annotate_app.store.history(1)[0].correction.objects
    assert [[point.x, point.y] for point in made.prompt.points] == [[p["x"], p["y"]] for p in drawn["points"]]
    canvas.click((200, 150))
    assert len(canvas.object["points"]) == 2
    assert canvas.object["box"] == [150, 100, 330, 260]


def test_nothing_is_decided_while_another_task_is_asked_for(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads)
    page = canvas.page
    held: list[Route] = []
    asked: list[str] = []

    def hold(route: Route) -> None:
        asked.append(route.request.post_data_json["fn_name"])
        held.append(route) if asked[-1] == "put_draft" else route.continue_()

    canvas.click((200, 150))
    page.route(re.compile("component_server"), hold)
    page.click("[data-action=start]")
    expect(canvas.frame).to_have_attribute("aria-disabled", "true")
    while not held:
        page.wait_for_timeout(20)
    for key in ("a", "s"):
        page.keyboard.press(key)
    page.click("[data-action=start]")
    page.wait_for_timeout(200)
    assert set(asked) == {"put_draft"}
    for route in held:
        route.continue_()
    expect(page.locator(f"{ROOT} .notice")).to_contain_text("You still hold this task")
    assert asked.count("next_task") == 1
    assert "save_decision" not in asked
    assert annotate_app.store.history(1) == []
    canvas.press("a")
    shown(canvas, 2)


def test_asking_for_the_next_task_keeps_the_last_edit_and_says_which_is_held(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads)
    page = canvas.page
    page.mouse.click(*canvas.at((200, 150)))
    page.click("[data-action=start]")
    expect(page.locator(f"{ROOT} .notice")).to_contain_text("You still hold this task", timeout=20_000)
    canvas.settle()
    assert len(canvas.object["points"]) == 2
    expect(page.locator("[data-action=accept]")).to_contain_text("Save fix")

    # Nothing marked any more is not a fix, but most likely no object: it is asked for.
    canvas.press("Shift+Delete")
    canvas.press("a")
    dialog = page.get_by_role("dialog", name="Why is it rejected?")
    expect(dialog).to_contain_text("Nothing is marked any more")
    assert annotate_app.store.history(1) == []
    page.keyboard.press("4")
    shown(canvas, 2)
    (rejected,) = annotate_app.store.history(1)
    assert rejected.correction.reason is RejectReason.NO_OBJECT
