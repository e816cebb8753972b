"""Several answers compared on the Run tab: which is shown, that it can be changed, and that nobody's edits are lost."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page, expect

from segr1_app.images.pictures import Picture
from segr1_app.language.protocol import TaskKind
from tests.e2e.canvas_page import CanvasPage
from tests.e2e.conftest import ScriptedApp, ScriptedPolicy

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIZE = (640, 427)  # of the second sample
OFTEN = "<think> A flower. </think> <bbox>[180,60,460,400]</bbox>, <points>[[320,220]]</points>, <labels>[1]</labels>"
ONCE = "<think> A leaf. </think> <bbox>[10,10,90,90]</bbox>, <points>[[50,50]]</points>, <labels>[1]</labels>"
REPLACED = "this one agrees best with all: it took the place of the first"


@dataclass
class SamplingScript(ScriptedPolicy):
    """Also samples ``drawn`` repeatedly as soon as ``compare`` is set."""

    drawn: list[str] = field(default_factory=list)
    compare: threading.Event = field(default_factory=threading.Event)

    def sample(
        self,
        picture: Picture,  # noqa: ARG002
        instruction: str,  # noqa: ARG002
        n: int,
        *,
        temperature: float = 1.0,  # noqa: ARG002
        seed: int | None = None,  # noqa: ARG002
        task: TaskKind = TaskKind.FREE,  # noqa: ARG002
        stopped: threading.Event | None = None,
    ) -> list[str]:
        while not self.compare.wait(0.05):
            if stopped and stopped.is_set():
                return [""] * n
        return [self.drawn[index % len(self.drawn)] for index in range(n)]


def opened(
    open_studio: Callable[[ScriptedPolicy], ScriptedApp], visit: Callable[..., Page], first: str, *drawn: str
) -> tuple[Page, SamplingScript]:
    """A page with a picture and a careful run chosen, and the policy behind it, which compares at once."""
    policy = SamplingScript([first], drawn=list(drawn))
    policy.go.set()
    policy.compare.set()
    page = visit(open_studio(policy).url)
    page.locator(".sample").nth(1).click()
    page.wait_for_selector(".stage-frame:not([hidden])")
    page.get_by_label("Careful").check()
    return page, policy


def begin_comparing(page: Page, policy: SamplingScript) -> None:
    """Run, and stop where the first answer is compared with others."""
    policy.compare.clear()
    page.click("#run-button")
    page.wait_for_selector("[data-phase=comparing]")


def test_the_answer_that_agrees_best_takes_the_place_of_the_first(
    open_studio: Callable[[ScriptedPolicy], ScriptedApp], visit: Callable[..., Page]
) -> None:
    page, policy = opened(open_studio, visit, ONCE, OFTEN)
    begin_comparing(page, policy)
    expect(page.locator("#reasoning")).to_have_text("A leaf.")
    assert page.locator("[data-mark=box]").count() == 1
    policy.compare.set()
    page.wait_for_selector("[data-phase=done]")
    expect(page.locator(".answer-outcome")).to_contain_text(REPLACED)
    expect(page.locator("#reasoning")).to_have_text("A flower.")
    expect(page.locator(".answer-times")).to_contain_text("Compare")
    candidates = page.locator(".candidate")
    expect(candidates).to_have_count(2)
    expect(candidates.first).to_have_attribute("aria-pressed", "true")
    # One click takes the other one, with its own prompts, reasoning and files.
    candidates.nth(1).click()
    expect(page.locator("#reasoning")).to_have_text("A leaf.")
    expect(page.locator(".answer-outcome")).to_have_text("You picked this answer.")
    expect(page.locator(".candidate").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".answer-downloads a")).to_have_count(3)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".stage-status")).to_contain_text("Saved 1 object")


def test_an_answer_that_somebody_began_to_correct_is_not_replaced(
    open_studio: Callable[[ScriptedPolicy], ScriptedApp], visit: Callable[..., Page]
) -> None:
    page, policy = opened(open_studio, visit, ONCE, OFTEN)
    policy.compare.clear()
    canvas = CanvasPage(page, SIZE)
    page.click("#run-button")
    page.wait_for_selector("[data-phase=comparing]")
    canvas.click((300, 200))
    drawn = canvas.object["points"]
    policy.compare.set()
    page.wait_for_selector("[data-phase=done]")
    expect(page.locator(".stage-status")).to_contain_text("you have begun to correct this one")
    assert canvas.object["points"] == drawn
    # Taking it all the same is a question first.
    question = page.get_by_role("dialog", name="Replace your corrections?")
    page.locator(".candidate").nth(1).click()
    expect(question).to_be_visible()
    page.keyboard.press("Escape")
    assert canvas.object["points"] == drawn
    page.click("#run-button")
    expect(question).to_be_visible()
    page.keyboard.press("1")
    page.wait_for_selector(".answer-phase:not(.is-busy)")
    expect(page.locator(".answer-outcome")).to_contain_text(REPLACED)


def test_stopping_while_answers_are_compared_keeps_the_first(
    open_studio: Callable[[ScriptedPolicy], ScriptedApp], visit: Callable[..., Page]
) -> None:
    page, policy = opened(open_studio, visit, ONCE, OFTEN)
    begin_comparing(page, policy)
    page.click("#stop-button")
    page.wait_for_selector("[data-phase=done]")
    expect(page.locator("#reasoning")).to_have_text("A leaf.")
    expect(page.locator("#run-button")).to_be_enabled()
    expect(page.locator("#reasoning")).to_have_text("A leaf.")


def test_the_reward_says_what_its_numbers_mean(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    scripted_app.policy.pieces = [OFTEN]
    page = visit(scripted_app.url)
    page.locator(".sample").nth(1).click()
    page.wait_for_selector(".stage-frame:not([hidden])")
    titles = page.locator("#stage .stage-reward dl > div")
    for index, words in enumerate(("form of answer", "Overlap", "structure", "0.7 IoU + 0.3 S-measure")):
        expect(titles.nth(index)).to_have_attribute("title", re.compile(re.escape(words)))
    expect(titles.first).to_have_attribute("title", re.compile("No target yet"))


def test_one_answer_leaves_nothing_to_compare(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    scripted_app.policy.pieces = [OFTEN]
    page = visit(scripted_app.url)
    page.locator(".sample").nth(1).click()
    page.wait_for_selector(".stage-frame:not([hidden])")
    page.get_by_label("Thorough").check()
    page.click("#run-button")
    page.wait_for_selector("[data-phase=done]")
    expect(page.locator(".answer-outcome")).to_contain_text("one answer only")
    assert page.locator(".candidate").count() == 0
