"""The Run tab as a person meets it: real Chromium, real server, real embedded models."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from segr1_app.geometry import decode_rle
from segr1_app.studio.samples import find_samples
from tests.e2e.serving import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHOTOGRAPH = next(sample.path for sample in find_samples() if sample.title == "Flower")
SCREENSHOT = ROOT / "assets" / "screenshots" / "run-light.png"
LOAD_MS = 120_000
RUN_MS = 60_000

PLACE = "e => { const r = e.getBoundingClientRect(); return [r.x + scrollX, r.y + scrollY, r.width, r.height]; }"

# The lowest contrast between a visible text and what lies behind it (WCAG 2.2, success criterion 1.4.3), with the text.
LOWEST_CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => rgb.slice(0, 3)
    .map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.querySelector(".gradio-container"), NodeFilter.SHOW_TEXT);
  let worst = [21, ""];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || element.closest(":disabled, [aria-disabled=true], style, script")) continue;
    if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, text];
  }
  return worst;
}"""


def upload(page: Page, file: Path) -> None:
    page.set_input_files("#picture input[type=file]", file)


def run_to_the_end(page: Page) -> None:
    page.click("#run-button")
    page.wait_for_selector("[data-phase=done]", timeout=LOAD_MS + RUN_MS)


def downloaded(page: Page, name: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("link", name=f"Download {name}").click()
    return Path(download.value.path()).read_bytes()


def test_a_photograph_becomes_reasoning_prompts_and_a_mask(real_app: str, visit: Callable[..., Page]) -> None:
    page = visit(real_app, 1440, 900)
    upload(page, PHOTOGRAPH)
    page.wait_for_selector(".lamp.is-ready", timeout=LOAD_MS)
    expect(page.locator(".header-models")).to_have_text("embedded policy + embedded segmenter on cpu")
    # In one line; what the models understand is said where it is asked for.
    assert page.locator("#header").evaluate("e => e.offsetHeight") <= 40
    for summary, details in (("About", ".header-note"), ("What can be asked", ".understands p")):
        expect(page.locator(details)).to_be_hidden()
        page.get_by_text(summary, exact=True).click()
        expect(page.locator(details)).to_contain_text("understands")
    page.locator("h1").first.click()
    expect(page.locator(".header-note")).to_be_hidden()

    # The embedded policy writes for a fifth of a second: whoever only looks now and then may miss it.
    page.evaluate(
        """() => {
          const [stage, reasoning] = ["[data-phase]", "#reasoning"].map((each) => document.querySelector(each));
          window.written = [];
          new MutationObserver(() => {
            if (stage.dataset.phase === "writing") window.written.push(reasoning.textContent);
          }).observe(document.body, { attributes: true, childList: true, characterData: true, subtree: true });
        }"""
    )
    page.click("#run-button")
    page.wait_for_selector("[data-phase=done]", timeout=RUN_MS)
    reasoning = page.locator("#reasoning").text_content() or ""
    assert len(reasoning) > 20
    written = page.evaluate("window.written")
    assert written, "the reasoning came in one piece"
    assert all(reasoning.startswith(text.strip()) for text in written)

    assert page.locator("[data-mark=box]").count() >= 1
    assert page.locator("[data-mark=positive]").count() >= 1
    painted = page.locator(".stage-masks").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 === 3 && v > 0)"
    )
    assert painted
    assert re.fullmatch(r"\d+ %", page.locator(".confidence").first.inner_text())
    assert "–" not in page.locator(".answer-times").inner_text()
    assert (page.locator("#raw-completion").text_content() or "").lstrip().startswith("<think>")

    with Image.open(PHOTOGRAPH) as photograph:
        size = photograph.size
    mask = Image.open(io.BytesIO(downloaded(page, "Mask")))
    overlay = Image.open(io.BytesIO(downloaded(page, "Overlay")))
    record = json.loads(downloaded(page, "JSON"))
    assert mask.size == overlay.size == size
    pixels = np.asarray(mask)
    assert set(np.unique(pixels)) == {0, 255}
    assert np.array_equal(decode_rle(record["mask"]), pixels == 255)

    if os.environ.get("SEGR1_SCREENSHOT"):
        page.get_by_text("What can be asked", exact=True).click()
        page.evaluate("scrollTo(0, 0)")
        page.mouse.move(5, 5)
        SCREENSHOT.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOT)


def test_a_sample_a_preset_and_the_keyboard(real_app: str, visit: Callable[..., Page]) -> None:
    page = visit(real_app)
    page.get_by_role("button", name="Sample picture: Cheetah", exact=True).click()
    expect(page.locator(".stage-picture")).to_have_attribute("alt", "Picture of 256 by 256 pixels")
    page.get_by_role("button", name="Camouflaged object").click()
    instruction = page.get_by_label("Instruction")
    expect(instruction).to_have_value(re.compile("camouflaged"))
    instruction.press("Control+Enter")
    page.wait_for_selector("[data-phase=done]", timeout=LOAD_MS + RUN_MS)
    expect(page.locator(".stage-picture")).to_have_attribute("alt", re.compile("with [1-9]"))

    # Another picture forgets the last answer.
    page.get_by_role("button", name="Sample picture: Flower").click()
    page.wait_for_selector("[data-phase=idle]")
    expect(page.locator(".stage-picture")).to_have_attribute("alt", "Picture of 640 by 427 pixels")
    assert page.locator("[data-mark]").count() == 0


def test_layers_can_be_hidden(real_app: str, visit: Callable[..., Page]) -> None:
    page = visit(real_app)
    page.locator(".sample").nth(1).click()
    page.wait_for_selector(".stage-frame:not([hidden])")
    run_to_the_end(page)
    for name, layer in (("Masks", ".stage-masks"), ("Prompts", ".stage-marks")):
        button = page.get_by_role("button", name=name, exact=True)
        expect(page.locator(layer)).to_be_visible()
        look = "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).textDecorationLine]"
        pressed, _ = button.evaluate(look)
        button.click()
        page.mouse.move(5, 5)
        released, line = button.evaluate(look)
        assert pressed != released
        assert line == "none"
        expect(button).to_have_attribute("aria-pressed", "false")
        expect(page.locator(layer)).to_be_hidden()


@pytest.mark.parametrize("content", [b"This is not a picture.\n", b"\x89PNG\r\n\x1a\n" + bytes(64), b""])
def test_what_is_not_a_picture_is_refused(
    real_app: str, visit: Callable[..., Page], tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(content)
    page = visit(real_app)
    upload(page, file)
    notice = page.locator("#answer .notice")
    expect(notice).to_be_visible()
    message = notice.inner_text()
    assert message.endswith(".")
    assert "Traceback" not in message
    page.click("#run-button")
    page.wait_for_selector("[data-phase=failed]")
    expect(notice).to_have_text(message)


def test_run_without_a_picture_says_what_to_do(real_app: str, visit: Callable[..., Page]) -> None:
    page = visit(real_app)
    page.click("#run-button")
    expect(page.locator("#answer .notice")).to_contain_text("no picture yet")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_every_width_and_scheme_is_legible(real_app: str, visit: Callable[..., Page], width: int, scheme: str) -> None:
    page = visit(real_app, width, 844, scheme)
    page.wait_for_selector(".lamp.is-ready", timeout=LOAD_MS)
    page.locator(".sample").nth(1).click()
    page.wait_for_selector(".stage-frame:not([hidden])")
    place = page.locator("#stage .stage-mat").evaluate(PLACE)
    run_to_the_end(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#stage .stage-mat").evaluate(PLACE) == place, "the picture moved while it worked"
    ratio, text = page.evaluate(LOWEST_CONTRAST)
    assert ratio >= 4.5, text


def test_everything_that_takes_the_focus_has_a_name(real_app: str, visit: Callable[..., Page]) -> None:
    page = visit(real_app)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(".gradio-container :is(button, a, textarea, input, summary)")]
        .filter((e) => e.checkVisibility({ visibilityProperty: true }) && e.type !== "file")
        .filter((e) => !e.getAttribute("aria-label") && !e.innerText.trim() && !e.title && !e.labels?.length)
        .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
