"""The page with a policy behind a server: its requests, "no such object", a server that fails, and Stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from segr1_app.domain import ImageSize
from segr1_app.language.protocol_files import find_protocol
from segr1_app.studio.samples import find_samples
from tests.e2e.serving import serving
from tests.policy_server import Served, policy_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY = "sk-very-secret"
PHOTOGRAPH = next(sample.path for sample in find_samples() if sample.title == "Flower")
SIZE = ImageSize(640, 427)
RUN_MS = 60_000


@pytest.fixture(scope="module")
def app(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Served, Path]]:  # noqa: ARG001
    """The address of ``python app.py`` with a policy behind a server, the server, and the page's log."""
    folder = tmp_path_factory.mktemp("served")
    with policy_server() as server:
        where = ["--policy-server", server.url, "--policy", "cfcamo/cfcamo-rl-full", "--models", "embedded"]
        with serving(folder, *where, "--device", "cpu", SEGR1_POLICY_KEY=KEY) as (url, _):
            yield url, server, folder / "app.log"


def ask(page: Page, words: str) -> None:
    page.set_input_files("#picture input[type=file]", PHOTOGRAPH)
    page.get_by_label("Instruction").fill(words)
    page.wait_for_selector(".lamp.is-ready", timeout=RUN_MS)
    page.click("#run-button")


def test_what_it_was_asked_and_that_there_is_no_such_object(
    app: tuple[str, Served, Path], visit: Callable[..., Page]
) -> None:
    url, server, log = app
    server.mode, server.say = "good", lambda *_: "<think> only grass </think> <no_camouflage>"
    page = visit(url)
    ask(page, "the <b>moth</b> & its twin")
    page.wait_for_selector("[data-phase=done]", timeout=RUN_MS)
    notice = page.locator("#answer .notice")
    expect(notice).to_have_text("No such object. The policy answers that the picture does not show it.")
    assert page.locator("[data-mark]").count() == 0
    expect(page.locator(".answer-section").filter(has=page.get_by_label("Objects"))).to_be_hidden()
    expect(page.locator(".answer-section").filter(has_text="Prompts as written")).to_be_visible()

    asked = page.locator("#asked")
    expect(asked).not_to_be_visible()
    page.get_by_text("What the policy was asked").click()
    request = find_protocol("cfcamo").request(SIZE, "the <b>moth</b> & its twin")
    assert asked.locator("pre").all_text_contents() == [text for _, text in request.asked]
    assert asked.locator("h3").all_inner_texts() == ["System", "User, after the picture"]
    sent = server.asked[-1]["messages"]
    assert sent[0]["content"][0]["text"] == request.system
    assert sent[1]["content"][1]["text"] == request.text

    # An abstention that is not in the form asked for is one as well, and the page says what is wrong with it.
    server.say = lambda *_: "<no_camouflage/>"
    page.click("#run-button")
    expect(notice).to_contain_text("<think> is missing", timeout=RUN_MS)
    expect(notice).to_contain_text("No such object.")
    assert server.headers[-1]["authorization"] == f"Bearer {KEY}"
    assert KEY not in log.read_text() + page.content()


def test_a_server_that_fails_is_a_sentence_and_the_page_goes_on(
    app: tuple[str, Served, Path], visit: Callable[..., Page]
) -> None:
    url, server, _ = app
    server.mode = "html"
    page = visit(url)
    ask(page, "the moth")
    notice = page.locator("#answer .notice")
    expect(notice).to_contain_text(f"The server at {server.url} is not a policy server", timeout=RUN_MS)
    server.mode, server.say = "good", lambda *_: "<think> there </think> <bbox>[100,100,900,900]</bbox>"
    page.click("#run-button")
    page.wait_for_selector("[data-phase=done]", timeout=RUN_MS)
    expect(notice).to_be_hidden()
    assert page.locator("[data-mark=box]").count() == 1


def test_a_server_that_is_silent_is_stopped_and_the_page_goes_on(
    app: tuple[str, Served, Path], visit: Callable[..., Page]
) -> None:
    url, server, _ = app
    server.mode, server.pause, before = "silent", 0.0, server.broken_off
    page = visit(url)
    ask(page, "the moth")
    deadline = time.monotonic() + RUN_MS / 1000
    while not server.at_work and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    page.click("#stop-button")
    page.wait_for_selector("[data-phase=stopped]")
    expect(page.locator("#run-button")).to_be_enabled(timeout=RUN_MS)
    while server.at_work and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (server.at_work, server.broken_off) == (0, before + 1)
    server.mode, server.say = "good", lambda *_: "<think> there </think> <bbox>[100,100,900,900]</bbox>"
    page.click("#run-button")
    page.wait_for_selector("[data-phase=done]", timeout=RUN_MS)


def test_stop_ends_the_answer_at_the_server(app: tuple[str, Served, Path], visit: Callable[..., Page]) -> None:
    url, server, _ = app
    server.mode, server.pause, before = "endless", 0.05, server.broken_off
    server.say = lambda *_: "<think> on and on "
    page = visit(url)
    ask(page, "the moth")
    page.wait_for_selector("[data-phase=writing]", timeout=RUN_MS)
    page.click("#stop-button")
    page.wait_for_selector("[data-phase=stopped]")
    deadline = time.monotonic() + 10
    while server.at_work and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (server.at_work, server.broken_off) == (0, before + 1)
