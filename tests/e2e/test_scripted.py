"""Cases that the embedded policy never produces or is too fast for: malformed and hostile text, queues, Stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from segr1_app.domain import Mask
from segr1_app.geometry import encode_rle
from segr1_app.settings.config import Settings
from segr1_app.studio.samples import find_samples
from tests.e2e.conftest import ScriptedApp
from tests.e2e.serving import free_port

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GOOD = "<think> A flower. </think> <bbox>[80,60,300,300]</bbox>, <points>[[150,150]]</points>, <labels>[1]</labels>"


def _masks() -> dict[str, Mask]:
    parts, pixel = np.zeros((2, 90, 70), dtype=bool)
    parts[5:60, 3:40] = True
    parts[20:40, 10:30] = False
    parts[70:90, 50:70] = True
    pixel[89, 0] = True
    return {
        "holes and parts": parts,
        "one pixel": pixel,
        "full frame": np.ones((90, 70), dtype=bool),
        "empty": np.zeros((90, 70), dtype=bool),
        "noise": np.random.default_rng(0).random((90, 70)) < 0.4,
    }


MASKS = _masks()


def choose_and_run(page: Page) -> None:
    page.locator(".sample").nth(1).click()
    page.wait_for_selector(".stage-frame:not([hidden])")
    page.click("#run-button")


def test_a_malformed_completion_is_shown_as_such(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    text = "<think> Something. </think> <bbox>[80,60,300,300]</bbox>, <points>[[150,150],[9,9]]</points>, <labels>[1]"
    scripted_app.policy.pieces = [text]
    page = visit(scripted_app.url)
    choose_and_run(page)
    page.wait_for_selector("[data-phase=done]")
    notice = page.locator("#answer .notice")
    expect(notice).to_contain_text("The completion is malformed.")
    assert page.locator("#answer .notice li").count() >= 1
    assert page.locator("[data-mark=box]").count() == 1
    expect(page.locator("#raw-completion")).to_have_text(text)


def test_model_text_is_text(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    """Markup, gradio templates and control characters in a completion show as they are and do nothing."""
    hostile = (
        '<img src=x onerror="window.hacked=1"> ${window.hacked=2} {{value}} </p></think-not> \u202eabc <script>'
        "window.hacked=3</script> &lt; \\u0041"
    )
    scripted_app.policy.pieces = [f"<think> {hostile} </think> {hostile}"]
    page = visit(scripted_app.url)
    choose_and_run(page)
    page.wait_for_selector("[data-phase=done]")
    assert page.locator("#reasoning").text_content() == hostile
    assert page.locator("#raw-completion").text_content() == scripted_app.policy.pieces[0]
    assert page.evaluate("window.hacked") is None
    assert page.locator("#answer img, #answer script").count() == 0


def test_a_second_user_is_told_to_wait_and_then_served(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    scripted_app.policy.pieces = [GOOD[:20], GOOD[20:]]
    scripted_app.policy.go.clear()
    first, second = visit(scripted_app.url), visit(scripted_app.url)
    choose_and_run(first)
    first.wait_for_selector("[data-phase=writing]")
    choose_and_run(second)
    second.wait_for_selector("[data-phase=waiting]")
    scripted_app.policy.go.set()
    for page in (first, second):
        page.wait_for_selector("[data-phase=done]")
        expect(page.locator("#raw-completion")).to_have_text(GOOD)


def test_stop_ends_the_run_and_the_next_one_works(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    scripted_app.policy.pieces = [GOOD[:20], GOOD[20:]]
    scripted_app.policy.go.clear()
    page = visit(scripted_app.url)
    choose_and_run(page)
    page.wait_for_selector("[data-phase=writing]")
    page.click("#stop-button")
    page.wait_for_selector("[data-phase=stopped]")
    scripted_app.policy.go.set()
    page.click("#run-button")
    page.wait_for_selector("[data-phase=done]")


@pytest.mark.parametrize("order", [1, -1], ids=["show first", "run first"])
def test_run_is_pressed_as_the_picture_arrives(
    scripted_app: ScriptedApp, visit: Callable[..., Page], order: int
) -> None:
    """The browser asks for the picture to be shown; before that is answered, Run is pressed, and must not be lost."""
    scripted_app.policy.pieces = [GOOD[:20], GOOD[20:]]
    page = visit(scripted_app.url)
    on_hold: list[Route] = []
    page.route("**/queue/join*", lambda route: on_hold.append(route))  # noqa: PLW0108 - playwright asks a function's arity
    with page.expect_request("**/queue/join*"):
        page.set_input_files("#picture input[type=file]", find_samples()[0].path)
    with page.expect_request("**/queue/join*"):
        page.click("#run-button")
    for route in on_hold[::order]:
        route.continue_()
        page.wait_for_timeout(100)
    page.unroute("**/queue/join*")
    page.wait_for_selector("[data-phase=done]")
    page.wait_for_timeout(300)
    assert page.locator("[data-mark=box]").count() == 1
    expect(page.locator("#raw-completion")).to_have_text(GOOD)
    expect(page.locator("#run-button")).to_be_enabled()


def test_another_picture_ends_the_run(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    scripted_app.policy.pieces = [GOOD[:20], GOOD[20:]]
    scripted_app.policy.go.clear()
    page = visit(scripted_app.url)
    choose_and_run(page)
    page.wait_for_selector("[data-phase=writing]")
    shown = page.locator(".stage-picture").get_attribute("alt")
    page.locator(".sample").nth(0).click()
    page.wait_for_selector("[data-phase=idle]")
    expect(page.locator(".stage-picture")).not_to_have_attribute("alt", shown or "")
    scripted_app.policy.go.set()
    expect(page.locator("#run-button")).to_be_enabled()
    expect(page.locator("#answer [data-phase]")).to_have_attribute("data-phase", "idle")
    assert page.locator("[data-mark]").count() == 0
    page.click("#run-button")
    page.wait_for_selector("[data-phase=done]")


def test_leaving_the_page_frees_the_models(scripted_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    scripted_app.policy.pieces = [GOOD[:20], GOOD[20:]]
    scripted_app.policy.go.clear()
    left = visit(scripted_app.url)
    choose_and_run(left)
    left.wait_for_selector("[data-phase=writing]")
    left.close()
    scripted_app.policy.go.set()
    page = visit(scripted_app.url)
    choose_and_run(page)
    page.wait_for_selector("[data-phase=done]")


@pytest.mark.parametrize("share", [1, 0.4])
@pytest.mark.parametrize("kind", ["holes and parts", "one pixel", "full frame", "empty", "noise"])
def test_masks_are_decoded_in_the_browser_as_they_were_encoded(
    scripted_app: ScriptedApp, visit: Callable[..., Page], kind: str, share: float
) -> None:
    mask = MASKS[kind]
    height, width = (round(side * share) for side in mask.shape)
    page = visit(scripted_app.url)
    pixels = page.evaluate(
        """async ([rle, width, height]) => {
            const { maskAt } = await import(new URL("studio/shared/rle.js", document.baseURI).href);
            return [...maskAt(rle, width, height)];
        }""",
        [encode_rle(mask), width, height],
    )
    # A canvas pixel looks at the picture pixel under its centre.
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
    assert np.array_equal(np.array(pixels, dtype=bool).reshape(height, width), mask[np.ix_(rows, columns)])


def test_models_that_cannot_be_loaded_are_named_and_the_embedded_ones_answer(
    visit: Callable[..., Page],
    scripted_app: ScriptedApp,  # which has set where gradio keeps its files
    tmp_path: Path,
) -> None:
    from segr1_app.ui import ModelHost, build_app, launch_options

    models = ModelHost(Settings(policy=str(tmp_path / "nothing-here")))
    models.start()
    page_server = build_app(models, tmp_path, scripted_app.store)
    port = free_port()
    page_server.launch(server_port=port, prevent_thread_lock=True, quiet=True, **launch_options())
    try:
        page = visit(f"http://127.0.0.1:{port}/")
        page.wait_for_selector(".lamp.is-ready")
        expect(page.locator(".header-failure")).to_contain_text("nothing-here")
    finally:
        page_server.close()
