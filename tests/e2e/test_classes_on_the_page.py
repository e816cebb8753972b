"""Classes on the Annotate tab: keys, chips, completed names, and the class that new objects get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from segr1_app.store import AnnotationStore
from segr1_app.store.classes import ObjectClass
from tests.e2e.annotate_page import ROOT, at_work, shown
from tests.e2e.canvas_page import CanvasPage
from tests.e2e.conftest import ScriptedApp

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def named_objects(store: AnnotationStore, task: int) -> list[str | None]:
    revision = store.current(task)
    assert revision is not None
    return [made.prompt.name for made in revision.correction.objects]


def with_classes(app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]) -> CanvasPage:
    for each in (ObjectClass("balloon", key=1, colour="#e5383b"), ObjectClass("basket", key=2), ObjectClass("rope")):
        app.store.add_class(each)
    canvas = at_work(visit, app.url, uploads)
    expect(canvas.page.locator(f"{ROOT} .class-chip")).to_have_count(2)
    return canvas


def test_three_balloons_are_named_by_three_keys(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = with_classes(annotate_app, visit, uploads[:2])
    page = canvas.page
    for left in (20, 320):
        canvas.press("n")
        canvas.drag((left, 20), (left + 100, 90))
    canvas.press("Tab")
    expect(page.get_by_role("button", name="Edit object 1")).to_have_attribute("aria-pressed", "true")
    canvas.press("1", "1", "1")
    assert [made["name"] for made in canvas.objects] == ["balloon"] * 3
    # One that is chosen again is named again, and what was named last is shown as such.
    page.get_by_role("button", name="Edit object 2").click()
    canvas.press("2")
    chip = page.locator(f"{ROOT} .class-chip[data-class=basket]")
    expect(chip).to_have_attribute("aria-pressed", "true")
    canvas.press("7")
    expect(page.locator(f"{ROOT} .stage-status")).to_contain_text("No class has the key 7")
    canvas.press("a")
    shown(canvas, 2)
    assert named_objects(annotate_app.store, 1) == ["balloon", "basket", "balloon"]

    # In the next task, the model's object is not named by itself, and a new one is.
    canvas.press("n")
    canvas.drag((20, 20), (120, 90))
    page.locator(f"{ROOT} .class-chip[data-class=balloon]").click()
    canvas.settle()
    canvas.press("a")
    expect(page.locator(f"{ROOT} .job-count")).to_contain_text("2 by you", timeout=30_000)
    assert named_objects(annotate_app.store, 2) == [None, "balloon"]


def test_names_are_completed_and_the_last_one_is_kept(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = with_classes(annotate_app, visit, uploads[:1])
    page = canvas.page
    field = page.get_by_label("Class of object 1")
    offered = field.evaluate("field => [...field.list.options].map(({ value }) => value)")
    assert offered == ["balloon", "basket", "rope"]
    field.fill("rope")
    field.press("Enter")
    canvas.press("n")
    canvas.drag((20, 20), (120, 90))
    canvas.press("a")
    expect(page.locator(f"{ROOT} .job-count")).to_contain_text("1 by you", timeout=30_000)
    assert named_objects(annotate_app.store, 1) == ["rope", "rope"]


def test_an_admin_edits_the_list_and_a_refusal_changes_nothing(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = with_classes(annotate_app, visit, uploads[:1])
    page, store = canvas.page, annotate_app.store
    page.get_by_role("button", name="Edit the classes").click()
    dialog = page.get_by_role("dialog", name="Edit the classes")
    dialog.get_by_label("Name").fill("gondola")
    dialog.get_by_label("Key").select_option("1")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("status")).to_contain_text("The key 1 is that of 'balloon'")
    assert len(store.classes()) == 3
    dialog.get_by_label("Key").select_option("3")
    dialog.get_by_label("Parent").fill("balloon")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("status")).to_have_text("Saved.")
    dialog.get_by_label("Class").select_option("balloon")
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog.get_by_role("status")).to_contain_text("is the parent of")
    dialog.get_by_label("Class").select_option("rope")
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog.get_by_role("status")).to_have_text("Removed.")
    dialog.get_by_role("button", name="Close").click()
    listed = {each.name: (each.key, each.parent) for each in store.classes()}
    assert listed == {"balloon": (1, None), "basket": (2, None), "gondola": (3, "balloon")}
    expect(page.locator(f"{ROOT} .class-chip")).to_have_count(3)
    canvas.press("3")
    assert canvas.object["name"] == "gondola"
