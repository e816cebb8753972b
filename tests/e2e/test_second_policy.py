"""Two policies on the Run tab: a checkpoint beside the embedded policy, a server that goes on forever, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from segr1_app.settings.config import DEFAULT_POLICY
from tests.checkpoints import near_checkpoint
from tests.e2e.conftest import ScriptedApp, ScriptedPolicy
from tests.policy_server import policy_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD_MS = 120_000
FIRST = "<think> A leaf. </think> <bbox>[10,10,90,90]</bbox>, <points>[[50,50]]</points>, <labels>[1]</labels>"
SECOND = "<think> A flower. </think> <bbox>[180,60,460,400]</bbox>, <points>[[320,220]]</points>, <labels>[1]</labels>"


def load_second(page: Page, policy: str, server: str = "") -> None:
    setup = page.locator(".second-setup")
    if setup.get_attribute("open") is None:
        setup.locator("summary").click()
    page.get_by_label("Second policy: a folder").fill(policy)
    page.get_by_label("Its server").fill(server)
    page.get_by_role("button", name="Load", exact=True).click()


def run(page: Page) -> None:
    page.locator(".sample").nth(1).click()
    page.wait_for_selector(".stage-frame:not([hidden])")
    page.wait_for_selector(".lamp.is-ready", timeout=LOAD_MS)
    page.click("#run-button")


def test_a_checkpoint_beside_the_embedded_policy(real_app: str, visit: Callable[..., Page], tmp_path: Path) -> None:
    page = visit(real_app)
    try:
        load_second(page, str(near_checkpoint(tmp_path / "run" / "policy")))
        status = page.locator(".second-status")
        expect(status).to_contain_text("run/policy is loaded", timeout=LOAD_MS)
        run(page)
        result = page.locator(".second-result")
        expect(result).to_have_attribute("data-phase", "done", timeout=LOAD_MS)
        titles = result.locator(".pane-title")
        expect(titles.nth(0)).to_have_text("A embedded policy")
        expect(titles.nth(1)).to_have_text("B run/policy")
        expect(titles.nth(2)).to_contain_text("IoU")
        expect(result.locator(".pane-foot").nth(1)).to_contain_text("confidence")
        for letter in "AB":
            expect(result.get_by_label(f"Reasoning of {letter}")).not_to_be_empty()
            expect(result.get_by_label(f"Prompts of {letter}")).to_contain_text("<bbox>")
        # The first answer is on the canvas, and the next picture clears the comparison.
        expect(page.locator("#answer .view-answer, #answer [data-phase]").first).to_be_visible()
        page.locator(".sample").nth(2).click()
        expect(result).to_be_hidden(timeout=LOAD_MS)
    finally:
        page.get_by_role("button", name="Unload").click()
        expect(page.locator(".second-setup")).to_have_attribute("data-state", "none", timeout=LOAD_MS)
    run(page)
    page.wait_for_selector("#answer [data-phase=done]", timeout=LOAD_MS)
    expect(page.locator("#run-button")).to_be_enabled(timeout=LOAD_MS)
    expect(page.locator(".second-result")).to_be_hidden()


def test_stop_and_refusals(open_studio: Callable[[ScriptedPolicy], ScriptedApp], visit: Callable[..., Page]) -> None:
    policy = ScriptedPolicy([FIRST])
    policy.go.set()
    with policy_server() as server:
        server.say, server.mode, server.pause = (lambda *_: SECOND), "endless", 0.05
        page = visit(open_studio(policy).url)
        status = page.locator(".second-status")
        load_second(page, "cfcamo/any", server.url)
        expect(status).to_contain_text("cfcamo/any is loaded")
        run(page)
        result = page.locator(".second-result")
        expect(result).to_have_attribute("data-phase", "writing", timeout=LOAD_MS)
        page.click("#stop-button")
        expect(result).to_have_attribute("data-phase", "stopped")
        expect(page.locator("#answer .answer-phase")).to_contain_text("Done")
        expect(page.locator("#run-button")).to_be_enabled(timeout=LOAD_MS)
        expect(page.get_by_label("Reasoning of A")).to_have_text("A leaf.")

        server.mode = "breaks"
        page.click("#run-button")
        expect(result).to_have_attribute("data-phase", "failed", timeout=LOAD_MS)
        expect(result.locator(".second-answer .notice").nth(1)).to_contain_text("failed while it answered")
        expect(page.get_by_label("Reasoning of A")).to_have_text("A leaf.")

        notice = page.locator(".second-setup .notice")
        load_second(page, str(DEFAULT_POLICY))
        expect(notice).to_contain_text("is the policy that already answers")
        expect(status).to_contain_text("cfcamo/any is loaded")
        load_second(page, "/nowhere")
        expect(notice).to_contain_text("There is no folder '/nowhere'")
