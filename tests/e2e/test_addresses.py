"""Addresses of tabs and tasks, keys to other tasks, the full window, and the ground-truth mask."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from segr1_app.metrics import iou
from tests.e2e.annotate_page import ROOT, SIZE, at_work, shown
from tests.e2e.canvas_page import CanvasPage
from tests.e2e.conftest import ScriptedApp

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def address(tab: str, task: int) -> re.Pattern[str]:
    return re.compile(rf"\?tab={tab}&task={task}$")


def test_the_address_leads_to_a_tab_and_its_task(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads[:2])
    page, notice = canvas.page, canvas.page.locator(f"{ROOT} .notice")
    expect(page).to_have_url(address("annotate", 1))
    for key, task in (("j", 2), ("j", 3), ("k", 2)):
        canvas.press(key)
        shown(canvas, task)
        expect(page).to_have_url(address("annotate", task))
    assert annotate_app.store.holder(2) == "Ada"
    page.go_back()
    shown(canvas, 3)
    canvas.press("j")
    expect(notice).to_have_text("There is no later task.")
    page.reload()
    shown(CanvasPage(page, SIZE, ROOT), 3)
    canvas.press("a")
    shown(canvas, 1)
    page.get_by_role("tab", name="Review").click()
    expect(page).to_have_url(address("review", 3))

    # A link opens the same task for a colleague, who has yet to say who they are.
    colleague = visit(annotate_app.url)
    colleague.goto(f"{annotate_app.url}?tab=annotate&task=2")
    notice = colleague.locator(f"{ROOT} .notice")
    expect(notice).to_have_text("Enter your name, then press Next task: task 2 opens.", timeout=30_000)
    colleague.fill("#annotator-name", "Grace")
    colleague.keyboard.press("Enter")
    shown(CanvasPage(colleague, SIZE, ROOT), 2)
    assert annotate_app.store.holder(2) == "Grace"
    # The task that somebody else holds is passed over.
    page.get_by_role("tab", name="Annotate").click()
    canvas.press("j")
    shown(canvas, 3)
    colleague.goto(f"{annotate_app.url}?tab=review&task=3")
    expect(colleague.locator("#review .job-picture")).to_contain_text("Task 3 ·", timeout=30_000)
    # What is no address of a tab or task leads to the first tab.
    colleague.goto(f"{annotate_app.url}?tab=%22]&task=-1")
    colleague.wait_for_selector("[data-phase=idle]")


def test_picture_and_decision_fill_the_window(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads[:1])
    page, bench = canvas.page, canvas.page.locator(f"{ROOT} .job-bench")
    for width, height in ((390, 844), (768, 900), (1280, 900), (1920, 1000)):
        page.set_viewport_size({"width": width, "height": height})
        before = canvas.frame.evaluate("e => e.offsetHeight")
        canvas.press("Shift+F")
        assert bench.bounding_box() == {"x": 0, "y": 0, "width": width, "height": height}
        assert canvas.frame.evaluate("e => e.offsetHeight") >= before
        expect(page.locator(".job-decisions")).to_be_in_viewport()
        page.get_by_role("button", name="Full window").click()
        expect(bench).not_to_have_class(re.compile("is-full"))


def test_the_imported_mask_is_seen_and_started_from(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    store = annotate_app.store
    canvas = at_work(visit, annotate_app.url, uploads[:2])
    status = canvas.page.locator(f"{ROOT} .stage-status")
    truths = {task.id: store.ground_truth(task.sha256, task.instruction) for task in store.tasks()}
    ((number, truth),) = ((task, mask) for task, mask in truths.items() if mask is not None)
    canvas.press("Shift+T")
    if number != 1:
        expect(status).to_have_text("This task came without a mask.")
    while f"Task {number} ·" not in canvas.page.locator(".job-picture").inner_text():
        canvas.press("j")
        canvas.page.wait_for_timeout(100)
    shown(canvas, number)
    canvas.press("h")
    hidden = canvas.painted()
    canvas.press("h", "t")
    with_outline = canvas.painted()
    canvas.press("t")
    assert with_outline > canvas.painted()
    assert hidden >= 0
    given = canvas.objects
    canvas.press("Shift+T")
    (started,) = canvas.objects
    assert started["points"] == []
    canvas.press("Control+z")
    assert canvas.objects == given
    canvas.press("Control+Shift+z", "a")
    expect(canvas.page.locator(f"{ROOT} .job-picture")).not_to_contain_text(f"Task {number} ·", timeout=30_000)
    revision = store.current(number)
    assert revision is not None
    (made,) = revision.correction.objects
    assert iou(made.mask, truth) == 1
