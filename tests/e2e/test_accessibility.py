"""Every tab checked by axe, in light and dark, against its rules for WCAG and best practices, and for focus rings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.annotate_page import at_work, shown
from tests.e2e.conftest import ScriptedApp, switch_scheme
from tests.e2e.serving import ROOT as CHECKOUT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = CHECKOUT / "node_modules" / "axe-core" / "axe.min.js"
VIOLATIONS = """async (rules) => {
  const { violations } = await axe.run(rules ? { runOnly: rules } : {});
  return violations.map(({ id, help, nodes }) =>
    [id, help, ...nodes.map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`)]);
}"""

RINGLESS = """() => {
  const before = document.activeElement;
  const fields = [...document.querySelectorAll("input:not([type=file]), select, textarea")]
    .filter((field) => field.checkVisibility({ visibilityProperty: true }) && !field.disabled);
  const ringless = fields.filter((field) => {
    field.focus();
    if (document.activeElement !== field) return false; // behind a dialog
    // The choice of A or B shows its ring around the letter.
    return [field, field.nextElementSibling].filter(Boolean).every((part) => {
      const { outlineStyle, outlineWidth } = getComputedStyle(part);
      return outlineStyle === "none" || parseFloat(outlineWidth) < 2;
    });
  });
  before.focus();
  return ringless.map((field) => field.outerHTML.slice(0, 200));
}"""


@pytest.fixture(scope="session")
def axe() -> Path:
    """The script of axe, which `npm ci` installs; without it a test is skipped, but fails in CI."""
    if not AXE.is_file():
        reason = "axe-core is not installed: run npm ci"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return AXE


def check(page: Page, where: str) -> None:
    """No rule of axe may be violated; those of colours in either scheme."""
    for scheme, rules in (("light", None), ("dark", ["color-contrast"])):
        switch_scheme(page, scheme)
        assert page.evaluate(VIOLATIONS, rules) == [], f"{where}, {scheme}"
    page.keyboard.press("Shift")  # by which a browser shows rings also where a program sets the focus
    assert page.evaluate(RINGLESS) == [], f"{where}: fields without a focus ring"


def test_no_tab_violates_a_rule(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path], axe: Path
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads[:2])
    page = canvas.page
    page.add_script_tag(path=axe)
    check(page, "Annotate with a task")
    for key, name in (("?", "Keys and gestures"), ("x", "Why is it rejected?")):
        canvas.press(key)
        page.get_by_role("dialog", name=name).wait_for()
        check(page, name)
        page.keyboard.press("Escape")
    for panel in ("Import pictures", "Export annotations", "Filters and rights"):
        page.get_by_text(panel, exact=True).click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add files").click()
    chooser.value.set_files(uploads[2])
    expect(page.locator("#import-files tr")).to_have_count(3)
    check(page, "imports and exports")
    canvas.press("a")
    shown(canvas, 2)
    page.get_by_role("tab", name="Review").click()
    expect(page.locator(".history li").first).to_be_visible()
    check(page, "Review")
    page.get_by_role("tab", name="Progress").click()
    expect(page.locator("#progress table").first).to_be_visible()
    check(page, "Progress")
    for tab in ("Train", "Guide"):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(f"#{tab.lower()}")).to_be_visible()
        check(page, tab)
    page.get_by_role("tab", name="Run").click()
    page.locator(".sample").nth(1).click()
    page.wait_for_selector("#stage .stage-frame:not([hidden])")
    check(page, "a picture on the Run tab")
    page.click("#run-button")
    page.wait_for_selector("[data-phase=done]")
    check(page, "an answer on the Run tab")
