"""What annoys an annotator in the first hour: slips, keys that do nothing, work that cannot be undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from segr1_app.store import Verdict
from tests.e2e.annotate_page import INSTRUCTION, ROOT, at_work, begin, bring_in, open_tab, shown
from tests.e2e.conftest import ScriptedApp

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BLOCK_STORAGE = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("Access is denied for this document.", "SecurityError"); } });"""

PRESS_AS_IT_COMES = """(root) => {
  const parts = ["", " .stage-frame", " .job-picture"];
  const [bench, frame, picture] = parts.map((part) => document.querySelector(root + part));
  new MutationObserver((_, observer) => {
    if (frame.dataset.seen !== "false" || !picture.textContent.includes("Task 2 ·")) return;
    observer.disconnect();
    window.pressedAgain = true;
    frame.dispatchEvent(new KeyboardEvent("keydown", { key: "a", code: "KeyA", bubbles: true, cancelable: true }));
  }).observe(bench, { subtree: true, childList: true, characterData: true, attributes: true });
}"""
"""Presses A before the second task can have been looked at, however slow the machine is."""


def test_space_pans_after_a_button_was_pressed(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads[:1])
    page = canvas.page
    canvas.press("+", "+")
    page.locator(f"{ROOT} [aria-label=Brush]").click()
    page.locator(f"{ROOT} [aria-label='Points and boxes']").click()
    before, corner = canvas.objects, canvas.at((0, 0))
    page.mouse.move(*canvas.at((200, 150)))
    page.keyboard.down(" ")
    page.mouse.down()
    page.mouse.move(*canvas.at((240, 190)), steps=4)
    page.mouse.up()
    page.keyboard.up(" ")
    canvas.settle()
    assert canvas.objects == before
    assert canvas.at((0, 0)) != pytest.approx(corner)
    # Nor was the button, which still has the focus, pressed by Space.
    assert page.locator(f"{ROOT} [aria-label='Points and boxes']").get_attribute("aria-pressed") == "true"


def test_an_edit_shows_prompts_that_were_hidden(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads[:1])
    canvas.page.get_by_role("button", name="Prompts").click()
    expect(canvas.page.locator(f"{ROOT} .stage-marks")).to_have_class("stage-marks is-hidden")
    canvas.click((60, 60), button="right")
    expect(canvas.page.locator(f"{ROOT} .stage-marks")).to_have_class("stage-marks")


def test_a_key_pressed_twice_decides_one_task_and_the_decision_can_be_undone(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    page = open_tab(visit, annotate_app.url)
    bring_in(page, uploads[:2], INSTRUCTION)
    expect(page.locator(f"{ROOT} .notice")).to_contain_text("New tasks have been imported")
    canvas = begin(page, "Ada")
    page.evaluate(PRESS_AS_IT_COMES, ROOT)
    page.keyboard.press("a")
    shown(canvas, 2)
    assert page.evaluate("window.pressedAgain"), "the key was not pressed in the moment that the task came"
    assert [len(annotate_app.store.history(task)) for task in (1, 2)] == [1, 0]

    canvas.press("u")
    shown(canvas, 1)
    expect(page.locator(f"{ROOT} .notice")).to_contain_text("Task 1 is open again")
    canvas.press("x")
    dialog = page.get_by_role("dialog", name="Why is it rejected?")
    dialog.wait_for()
    dialog.get_by_role("button", name="Cancel").click()
    canvas.press("x")
    page.keyboard.press("1")
    shown(canvas, 2)
    first, newest = annotate_app.store.history(1)
    assert (newest.correction.verdict, first.correction.verdict) == (Verdict.REJECT, Verdict.ACCEPT)


def test_letters_work_on_a_russian_keyboard_and_with_the_focus_in_a_list(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads[:1])
    page = canvas.page
    page.select_option("#annotator-order", "least-confident")
    page.focus("#annotator-order")
    page.keyboard.press("b")
    expect(canvas.frame).to_have_attribute("data-tool", "brush")
    canvas.frame.dispatch_event("keydown", {"key": "м", "code": "KeyV", "bubbles": True, "cancelable": True})
    expect(canvas.frame).to_have_attribute("data-tool", "prompt")


def test_a_class_is_typed_and_left_by_keys(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads[:1])
    field = canvas.page.get_by_label("Class of object 1")
    field.fill("egg")
    field.press("Enter")
    assert canvas.object["name"] == "egg"
    field.fill("goose")
    field.press("Escape")
    assert canvas.object["name"] == "egg"
    expect(canvas.frame).to_be_focused()
    field.fill("shell")
    field.press("Control+Enter")
    expect(canvas.page.locator(f"{ROOT} .notice")).to_contain_text("You have no tasks left")
    (revision,) = annotate_app.store.history(1)
    assert [made.prompt.name for made in revision.correction.objects] == ["shell"]


def test_a_page_whose_storage_is_blocked_works(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(lambda url, *a, **k: _blocked(visit, url, *a, **k), annotate_app.url, uploads[:1])
    canvas.press("a")
    expect(canvas.page.locator(f"{ROOT} .notice")).to_contain_text("You have no tasks left")
    canvas.page.get_by_role("tab", name="Review").click()
    expect(canvas.page.locator("#review [role=option], #review .review-side li").first).to_be_visible()


def _blocked(visit: Callable[..., Page], url: str, width: int = 1280, height: int = 900, **how: object) -> Page:
    """The page, loaded again where storage cannot be used."""
    page = visit(url, width, height, **how)
    page.add_init_script(BLOCK_STORAGE)
    page.goto(url)
    page.wait_for_selector("[data-phase=idle]")
    return page
