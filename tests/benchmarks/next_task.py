"""Latency of the next task: from the key that saves to the next picture and mask, in a browser."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from segr1_app.store import AnnotationStore
from tests.benchmarks.models import INSTRUCTION, scene
from tests.e2e.serving import CHROMIUM_FLAGS, find_chromium, serving

SIZES = ((640, 480), (4000, 3000))
LOOKING_MS = 4000
"""How long a picture is looked at, meanwhile the one after it is prepared; nobody decides much faster."""
WARM_UP = 2
# Timed in the page itself, as the clicks are: from the key going down to the frame in which the next picture and its
# mask are drawn. The canvas is busy until it has asked the server for the mask, so the embedding is there by then, too.
NEXT = """() => new Promise((done) => {
  const [frame, picture, about] = [".stage-frame", ".stage-picture", ".job-picture"]
    .map((each) => document.querySelector(`#annotate ${each}`));
  const before = about.textContent;
  const started = performance.now();
  const look = () => {
    const there = about.textContent !== before && frame.getAttribute("aria-busy") === "false" && picture.complete;
    if (there) setTimeout(() => done(performance.now() - started));
    else requestAnimationFrame(look);
  };
  frame.dispatchEvent(new KeyboardEvent("keydown", { key: "a", bubbles: true }));
  requestAnimationFrame(look);
})"""


def next_task_milliseconds(rounds: int) -> dict[str, float]:
    """Median time from accepting a task to the next one, for each size; every round shows another picture."""
    figures = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        for width, height in SIZES:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                with AnnotationStore.open(folder / "data") as store:
                    for seed in range(rounds + WARM_UP + 1):
                        store.add_task(store.add_picture(scene(width, height, seed), f"{seed}.png"), INSTRUCTION)
                with serving(folder) as (url, _):
                    page = browser.new_page(viewport={"width": 1440, "height": 900})
                    page.goto(url)
                    times = _accept_all(page, rounds)
                    page.close()
            figures[f"next task in the browser, {width}x{height}, ms"] = statistics.median(times)
        browser.close()
    return figures


def _accept_all(page: Page, rounds: int) -> list[float]:
    page.wait_for_selector(".lamp.is-ready", timeout=120_000)
    page.get_by_role("tab", name="Annotate").click()
    page.fill("#annotator-name", "Ada")
    page.click("[data-action=start]")
    expect(page.locator("#annotate .stage-frame")).to_have_attribute("aria-busy", "false", timeout=60_000)
    times = []
    for _ in range(rounds + WARM_UP):
        page.wait_for_timeout(LOOKING_MS)
        times.append(float(page.evaluate(NEXT)))
    return times[WARM_UP:]
