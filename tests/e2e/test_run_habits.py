"""Habits on the Run tab, and what the page says about its server and itself."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from segr1_app.settings.roles import Role
from tests.e2e.canvas_page import CanvasPage
from tests.e2e.conftest import ScriptedApp
from tests.served import PASSWORD, Served, people, serve

__all__ = ["people", "serve"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SAID = "<think> A flower. </think> <bbox>[180,60,460,400]</bbox>, <points>[[320,220]]</points>, <labels>[1]</labels>"
SIZE = (640, 427)
BRING = """([kind, where, content, name]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, { type: "image/png" }));
  const how = { bubbles: true, cancelable: true };
  const event = kind === "paste" ? new ClipboardEvent(kind, { ...how, clipboardData: files })
    : new DragEvent(kind, { ...how, dataTransfer: files });
  return document.querySelector(where).dispatchEvent(event);
}"""
"""Whether the browser would still do what it does by itself: with a file, leave the page."""


def answered(page: Page) -> CanvasPage:
    """The canvas with an answer for the second sample."""
    page.locator(".sample").nth(1).click()
    page.wait_for_selector("#stage .stage-frame:not([hidden])")
    page.click("#run-button")
    page.wait_for_selector("[data-phase=done]")
    expect(page.locator("#run-button")).to_be_enabled()
    canvas = CanvasPage(page, SIZE)
    canvas.settle()
    return canvas


def picture_of(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_picture_is_dropped_or_pasted_anywhere(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    scripted_app.policy.pieces = [SAID]
    canvas = answered(visit(scripted_app.url))
    page = canvas.page
    shown = page.locator("#stage .stage-picture")
    for kind, where, size in (("drop", "#answer", (90, 60)), ("paste", "#instruction textarea", (70, 50))):
        assert not page.evaluate(BRING, [kind, where, picture_of(*size), "brought.png"])
        expect(shown).to_have_attribute("alt", f"Picture of {size[0]} by {size[1]} pixels", timeout=30_000)
    expect(page.locator("#understands .notice")).to_be_hidden()
    # Corrections that are not saved are not replaced without a question.
    CanvasPage(page, (70, 50)).click((30, 20))
    page.evaluate(BRING, ["drop", "#answer", picture_of(40, 30), "third.png"])
    expect(page.get_by_role("dialog", name="Replace your corrections?")).to_be_visible()
    page.keyboard.press("Escape")
    # On another tab a dropped file does not end the visit.
    page.get_by_role("tab", name="Guide").click()
    assert not page.evaluate(BRING, ["drop", "#guide", picture_of(20, 20), "lost.png"])
    page.get_by_role("tab", name="Run").click()
    expect(shown).to_have_attribute("alt", re.compile("^Picture of 70 by 50 pixels"))


def test_an_empty_instruction_leaves_the_answer_standing(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    scripted_app.policy.pieces = [SAID]
    page = answered(visit(scripted_app.url)).page
    instruction = page.get_by_label("Instruction")
    instruction.fill("  ")
    instruction.press("Control+Enter")
    notice = page.locator("#understands .notice")
    expect(notice).to_have_text("The instruction is empty: say what to segment.")
    expect(page.locator("#reasoning")).to_have_text("A flower.")
    expect(page.locator("#answer .answer-phase")).to_contain_text("Done")
    instruction.fill("the flower")
    expect(notice).to_be_hidden()


def test_what_a_correction_took_is_counted(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    scripted_app.policy.pieces = [SAID]
    canvas = answered(visit(scripted_app.url))
    page, store = canvas.page, scripted_app.store
    save, status = page.get_by_role("button", name="Save", exact=True), page.locator("#stage .stage-status")
    for edits in (2, 1):
        for edit in range(edits):
            canvas.click((200 + 60 * edit, 100 * edits))
        canvas.settle()
        save.click()
        expect(status).to_contain_text("Saved 1 object")
        task = int(re.findall(r"of task (\d+)", status.inner_text())[0])
        newest = store.history(task)[-1].correction
        # Since the last save, not since the picture came.
        assert newest.clicks == edits
        assert newest.seconds > 0


def test_the_lamp_is_red_while_the_server_is_gone(scripted_app: ScriptedApp, browser: Browser) -> None:
    with closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(scripted_app.url)
        page.wait_for_selector(".lamp.is-ready")
        context.set_offline(True)
        page.wait_for_selector(".lamp.is-gone")
        expect(page.locator(".header-models")).to_contain_text("The server does not answer.")
        context.set_offline(False)
        page.wait_for_selector(".lamp.is-ready")


def test_the_cursor_tells_an_edge_a_corner_and_a_point(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    scripted_app.policy.pieces = [SAID]
    canvas = answered(visit(scripted_app.url))
    for place, cursor in (((180, 60), "nwse"), ((460, 60), "nesw"), ((180, 200), "ew"), ((320, 60), "ns")):
        canvas.page.mouse.move(*canvas.at(place))
        expect(canvas.frame).to_have_css("cursor", f"{cursor}-resize")
    canvas.page.mouse.move(*canvas.at((320, 220)))
    expect(canvas.frame).to_have_css("cursor", "move")
    # A drag that starts beside a corner moves it.
    x, y = canvas.at((180, 60))
    canvas.page.mouse.move(x - 8, y - 8)
    canvas.page.mouse.down()
    canvas.page.mouse.move(x + 32, y + 32, steps=4)
    canvas.page.mouse.up()
    assert canvas.object["box"][0] > 190
    # Smaller than what fits, the picture stays in the middle.
    canvas.press("0", "-", "-")
    assert canvas.centre() == pytest.approx((SIZE[0] / 2, SIZE[1] / 2), abs=1)


def test_the_sign_in_page_carries_the_name(serve: Callable[..., Served], people: Path, browser: Browser) -> None:
    with closing(browser.new_context(color_scheme="dark")) as context:
        page = context.new_page()
        page.goto(serve(auth=people).url)
        expect(page.get_by_role("heading", name="Seg-R1")).to_be_visible(timeout=30_000)
        expect(page).to_have_title("Sign in to Seg-R1")
        button = page.get_by_role("button", name="Login")
        expect(button).to_have_css("background-color", "rgb(37, 99, 214)")
        page.get_by_label("username").focus()
        expect(page.get_by_label("username")).to_have_css("outline", "rgb(138, 180, 255) solid 2px")
        page.get_by_label("username").fill(Role.ANNOTATOR.value.title())
        page.get_by_label("password").fill(PASSWORD)
        button.click()
        page.wait_for_selector("[data-phase=idle]")
        expect(page.locator(".header-person")).to_contain_text("Sign out")
        expect(page).to_have_title("Seg-R1")
