"""Helpers for tests of the Annotate tab, except for its canvas."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.e2e.canvas_page import CanvasPage
from tests.scenes import ellipse_scene

ROOT = "#annotate"
SIZE = (480, 360)
"""Of every picture that `begin` finds."""
INSTRUCTION = "Identify the <i>egg</i> ${window.hacked=3}"
REASONING = "An egg <script>window.hacked=4</script> ${window.hacked=5}"
PROMPTS = "<bbox>[150,100,330,260]</bbox>, <points>[[240,180]]</points>, <labels>[1]</labels>"
SAID = f"<think> {REASONING} </think> {PROMPTS}"
"""What the policy says of every picture in `annotate_app`."""


def open_tab(visit: Callable[..., Page], url: str, width: int = 1280, height: int = 900, **how: Any) -> Page:
    page = visit(url, width, height, **how)
    page.get_by_role("tab", name="Annotate").click()
    return page


def begin(page: Page, name: str) -> CanvasPage:
    """Enter a name and take the first task."""
    canvas = CanvasPage(page, SIZE, ROOT)
    page.fill("#annotator-name", name)
    page.click("[data-action=start]")
    return shown(canvas, 1)


def shown(canvas: CanvasPage, task: int) -> CanvasPage:
    """The same canvas, as soon as a task is on it."""
    expect(canvas.page.locator(f"{ROOT} .job-picture")).to_contain_text(f"Task {task} ·", timeout=30_000)
    canvas.settle()
    return canvas


def unfold(section: Locator) -> None:
    """Open a gradio accordion and wait until its fields are ready: gradio clears them while it sets them up."""
    section.click()
    section.page.evaluate("""async () => {
      for (let turn = 0; turn < 3; turn++) {
        await new Promise((done) => setTimeout(done, 50));
        await new Promise((done) => requestIdleCallback(done));
      }
    }""")


def bring_in(page: Page, files: list[Path], instruction: str) -> str:
    """Import files in the open Annotate tab; returns the page's message."""
    unfold(page.get_by_text("Import pictures"))
    page.set_input_files("#import-files input[type=file]", files)
    expect(page.locator("#import-files")).to_contain_text(files[-1].stem)
    page.locator("#import-instruction textarea").fill(instruction)
    page.click("#import-button")
    result = page.locator("#import-result textarea")
    expect(result).not_to_have_value("", timeout=30_000)
    page.get_by_text("Import pictures").click()
    return result.input_value()


def at_work(visit: Callable[..., Page], url: str, files: list[Path]) -> CanvasPage:
    """Open the first task of the files that were just imported, as Ada."""
    page = open_tab(visit, url)
    bring_in(page, files, INSTRUCTION)
    return begin(page, "Ada")


def mask_file() -> bytes:
    """Roughly the ground-truth mask of any of the pictures: that of the middle one."""
    file = io.BytesIO()
    Image.fromarray(ellipse_scene(*SIZE, (0.5, 0.5), (0.18, 0.22))[1]).save(file, format="PNG")
    return file.getvalue()
