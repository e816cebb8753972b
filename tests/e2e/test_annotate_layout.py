"""The layout of the Annotate tab: legible, stable, the picture large, picture and decision visible together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from segr1_app.images.pictures import load_picture
from tests.e2e.annotate_page import ROOT, SIZE, begin, open_tab, shown
from tests.e2e.conftest import ScriptedApp, ScriptedPolicy, switch_scheme
from tests.e2e.test_run_tab import LOWEST_CONTRAST, PLACE
from tests.scenes import ellipse_scene

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SAID = "<think> An egg. </think> <bbox>[150,100,330,260]</bbox>, <points>[[240,180]]</points>, <labels>[1]</labels>"
INSTRUCTION = "Identify and segment all the primary objects."
SHIFTS = """() => new Promise((done) => {
  const shifts = [];
  new PerformanceObserver((list) => shifts.push(...list.getEntries().map(({ value, sources }) =>
    [value, ...sources.map(({ node, previousRect, currentRect }) =>
      `${node?.id || node?.className || node?.nodeName}: ${previousRect.top} to ${currentRect.top}`)])))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(shifts), 500);
})"""
"""What was moved after it had been drawn, and by how much: part of the window times part of its longer side."""

SEEN = """(element) => {
  const { top, bottom, left, right } = element.getBoundingClientRect();
  const over = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  return top >= 0 && bottom <= innerHeight && element.contains(over);
}"""
"""Whether the whole of an element is within the window, and nothing lies over its middle."""


@pytest.fixture
def studio(open_studio: Callable[[ScriptedPolicy], ScriptedApp], tmp_path: Path) -> ScriptedApp:
    """Two tasks."""
    policy = ScriptedPolicy([SAID])
    policy.go.set()
    app = open_studio(policy)
    for seed in range(2):
        file = tmp_path / f"egg{seed}.png"
        Image.fromarray(ellipse_scene(*SIZE, (0.5, 0.5), (0.18, 0.22), seed=seed)[0].pixels).save(file)
        app.store.add_task(app.store.add_picture(load_picture(file), file.name), INSTRUCTION)
    return app


def test_the_tab_is_legible_and_holds_still(studio: ScriptedApp, visit: Callable[..., Page]) -> None:
    canvas = begin(open_tab(visit, studio.url), "Ada")
    page = canvas.page
    mat, side, notice = (page.locator(f"{ROOT} {part}") for part in (".stage-mat", ".job-side", ".notice"))
    for width in (390, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        place = mat.evaluate(PLACE), side.evaluate(PLACE)
        page.fill("#annotator-name", "")
        page.click("[data-action=start]")
        expect(notice).to_have_text("Enter your name first.")
        expect(notice).to_have_attribute("role", "alert")
        # As long as a typical answer.
        notice.evaluate("e => (e.textContent = 'The server did not answer: try again in a moment; '.repeat(2))")
        assert (mat.evaluate(PLACE), side.evaluate(PLACE)) == place, "the notice moved the picture"
        _, y, _, _ = notice.evaluate(PLACE)
        _, top, _, height = place[0]
        assert y >= top + height, "the notice hides the picture"
        for scheme in ("light", "dark"):
            switch_scheme(page, scheme)
            canvas.settle()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            ratio, text = page.evaluate(LOWEST_CONTRAST)
            assert ratio >= 4.5, (width, scheme, text)
    page.fill("#annotator-name", "Ada")
    place = mat.evaluate(PLACE)
    canvas.click((200, 150))
    canvas.press("n")
    assert mat.evaluate(PLACE) == place, "the picture moved while it worked"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_jumps_while_the_page_comes(studio: ScriptedApp, visit: Callable[..., Page], width: int) -> None:
    page = visit(studio.url, width, 800)
    page.wait_for_selector(".lamp.is-ready")
    page.get_by_role("tab", name="Annotate").click()
    page.wait_for_selector(".job-top")
    shifts = page.evaluate(SHIFTS)
    assert sum(value for value, *_ in shifts) < 0.05, shifts


def test_the_picture_is_large(studio: ScriptedApp, visit: Callable[..., Page]) -> None:
    canvas = begin(open_tab(visit, studio.url, 1280, 800), "Ada")
    mat = canvas.page.locator(f"{ROOT} .stage-mat")
    for (width, height), least in {(1280, 800): 0.38, (1920, 1080): 0.5}.items():
        canvas.page.set_viewport_size({"width": width, "height": height})
        _, _, across, down = mat.evaluate(PLACE)
        assert across * down >= least * width * height
        for part in (".stage-mat", ".stage-foot", "[data-action=accept]", ".job-instruction", ".stage-reward"):
            assert canvas.page.locator(f"{ROOT} {part}").evaluate(SEEN), part


@pytest.mark.parametrize(("width", "height"), [(390, 844), (768, 1024)])
def test_on_a_small_screen_picture_and_decision_are_in_sight(
    studio: ScriptedApp, visit: Callable[..., Page], width: int, height: int
) -> None:
    page = open_tab(visit, studio.url, width, height, touch=True)
    canvas = begin(page, "Ada")
    for task in (1, 2):
        shown(canvas, task)
        for part in (".stage-mat", ".job-instruction", "[data-action=accept]", "[data-action=skip]", ".stage-bar"):
            assert page.locator(f"{ROOT} {part}").evaluate(SEEN), part
        page.locator(f"{ROOT} [data-action=accept]").tap()
    expect(page.locator(f"{ROOT} .notice")).to_contain_text("You have no tasks left")
    # Without a task the bar covers nothing, and what is below can be reached.
    page.get_by_text("Export annotations").tap()
    expect(page.get_by_label("Format")).to_be_visible()
