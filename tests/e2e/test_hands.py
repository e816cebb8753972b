"""Frequent actions: repeating the objects of the previous task, a point that changes nothing, cleaning a mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from segr1_app.store import Verdict
from tests.e2e.annotate_page import ROOT, at_work, shown
from tests.e2e.conftest import ScriptedApp

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_objects_of_the_task_before_are_added_and_a_point_outside_is_said(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    store = annotate_app.store
    canvas = at_work(visit, annotate_app.url, uploads[:2])
    page, status = canvas.page, canvas.page.locator(f"{ROOT} .stage-status")
    canvas.press("d")
    expect(status).to_have_text("No objects yet: decide a task first.")
    page.get_by_label("Class of object 1").fill("egg")
    page.get_by_label("Class of object 1").press("Enter")
    # What was erased stays outside, whatever is clicked there.
    canvas.press("e")
    canvas.drag((200, 200), (230, 200))
    canvas.press("v")
    canvas.click((215, 200))
    expect(status).to_contain_text("This point did not enter the mask")
    canvas.click((300, 60), button="right")
    expect(status).to_have_text("")
    drawn = canvas.object
    canvas.press("a")
    shown(canvas, 2)
    canvas.press("Shift+Delete", "d")
    repeated = canvas.object
    assert {key: repeated[key] for key in ("box", "points", "name")} == {
        key: drawn[key] for key in ("box", "points", "name")
    }
    assert repeated["strokes"] == []
    canvas.press("a")
    shown(canvas, 3)
    first, second = (store.current(task) for task in (1, 2))
    assert first is not None
    assert second is not None
    (kept,), (again,) = first.correction.objects, second.correction.objects
    assert again.prompt == kept.prompt
    assert again.prompt.name == "egg"


def test_a_cleaned_mask_is_stored_and_told_in_its_history(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    store = annotate_app.store
    canvas = at_work(visit, annotate_app.url, uploads[:2])
    page = canvas.page
    button = page.locator(ROOT).get_by_role("button", name="Clean this mask")
    corners = [(390.0, 30.0), (420.0, 30.0), (420.0, 60.0), (390.0, 60.0)]
    canvas.press("b")
    canvas.drag(*corners, corners[0])
    canvas.press("v")
    rough = canvas.painted()
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator(f"{ROOT} .stage-status")).to_contain_text("C takes it back")
    assert canvas.painted() > rough
    # The draft has it, too.
    canvas.settle()
    page.reload()
    page.get_by_role("tab", name="Annotate").click()
    shown(canvas, 1)
    expect(button).to_have_attribute("aria-pressed", "true")
    assert canvas.painted() > rough
    canvas.press("c")
    expect(button).to_have_attribute("aria-pressed", "false")
    assert canvas.painted() == rough
    canvas.press("Control+z", "a")
    shown(canvas, 2)
    saved = store.current(1)
    assert saved is not None
    assert saved.correction.verdict is Verdict.FIX
    (made,) = saved.correction.objects
    assert made.cleaned
    assert made.mask[45, 405]
    assert not made.segmented[45, 405]
    assert list(store.verify()) == []
    page.get_by_role("tab", name="Review").click()
    page.locator(".review-task").first.click()
    expect(page.locator(".history-facts").first).to_contain_text("small parts and holes cleaned")


def test_a_polygon_is_closed_before_its_task_is_decided_and_is_stored_as_paint(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    store = annotate_app.store
    canvas = at_work(visit, annotate_app.url, uploads[:2])
    page, status = canvas.page, canvas.page.locator(f"{ROOT} .stage-status")
    corners = page.locator(f"{ROOT} [data-mark=corner]")
    page.locator(ROOT).get_by_role("button", name="Lasso: add an area").click()
    for place in ((380.0, 20.0), (440.0, 20.0), (440.0, 60.0), (380.0, 60.0)):
        canvas.click(place)
    canvas.press("a")
    expect(status).to_have_text("A polygon is still open: Enter closes it, Esc drops it.")
    assert store.current(1) is None
    canvas.press("Enter")
    expect(corners).to_have_count(0)
    canvas.press("Shift+L")
    canvas.drag((220, 160), (260, 160), (260, 200), (220, 200))
    drawn = canvas.object["strokes"]
    assert [(stroke["erase"], stroke["radius"]) for stroke in drawn] == [(False, None), (True, None)]
    # The draft has both, too.
    page.reload()
    page.get_by_role("tab", name="Annotate").click()
    shown(canvas, 1)
    assert canvas.object["strokes"] == drawn
    canvas.press("Enter")
    shown(canvas, 2)
    saved = store.current(1)
    assert saved is not None
    assert saved.correction.verdict is Verdict.FIX
    (made,) = saved.correction.objects
    assert made.painted is not None
    assert made.erased is not None
    # Clicks fall on whole pixels of the screen.
    assert made.painted.sum() == pytest.approx(60 * 40, rel=0.1)
    assert made.painted[40, 410]
    assert made.erased.sum() == pytest.approx(40 * 40, rel=0.1)
    assert made.mask[40, 410]
    assert not made.mask[180, 240]
    assert list(store.verify()) == []
