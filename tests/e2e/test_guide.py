"""The annotators' guide, as the app serves it; its pictures are made from the app itself."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from segr1_app.studio.samples import find_samples
from segr1_app.ui.views import STATIC
from tests.e2e.canvas_page import CanvasPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_guide_is_there_with_its_pictures(real_app: str, visit: Callable[..., Page]) -> None:
    page = visit(real_app)
    page.get_by_role("tab", name="Guide").click()
    expect(page.locator("#guide h1")).to_have_text("Annotating with Seg-R1 studio")
    pictures = page.locator("#guide img")
    assert pictures.count() == 2
    for index in range(2):
        pictures.nth(index).scroll_into_view_if_needed()
        page.wait_for_function("i => document.querySelectorAll('#guide img')[i].naturalWidth > 0", arg=index)


def keep(page: Page, name: str) -> None:
    """A picture of the tab, in 256 colours: good enough for a guide, and a third of the size."""
    with Image.open(io.BytesIO(page.locator("#annotate .view").screenshot())) as picture:
        picture.convert("RGB").quantize(256).save(STATIC / "guide" / name, optimize=True)


@pytest.mark.skipif(not os.environ.get("SEGR1_SCREENSHOT"), reason="remakes the guide's pictures")
def test_make_the_pictures(real_app: str, visit: Callable[..., Page]) -> None:
    page = visit(real_app, 1280, 860)
    page.wait_for_selector(".lamp.is-ready", timeout=120_000)
    page.get_by_role("tab", name="Annotate").click()
    page.get_by_text("Import pictures").click()
    photograph = next(sample.path for sample in find_samples() if sample.title == "Flower")
    page.set_input_files("#import-files input[type=file]", photograph)
    expect(page.locator("#import-files")).to_contain_text("flower")
    page.click("#import-button")
    account = "New: 1 picture, 1 task, 0 ground-truth masks, 0 boxes, 0 points; 0 duplicates."
    expect(page.locator("#import-result textarea")).to_have_value(f"1 entry imported. {account}")
    page.get_by_text("Import pictures").click()
    page.fill("#annotator-name", "Ada")
    page.click("[data-action=start]")
    expect(page.locator(".job-picture")).to_contain_text("Task", timeout=30_000)
    canvas = CanvasPage(page, (640, 427), "#annotate")
    canvas.settle()
    keep(page, "task.png")
    canvas.click((402, 386), button="right")
    canvas.click((351, 386), button="right")
    keep(page, "corrected.png")
    # The task is left as it was found.
    canvas.press("s")
