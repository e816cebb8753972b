"""Latency of the page: from starting the app to the first page, and from Run to text and mask; and its memory."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import psutil
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from segr1_app.studio.samples import find_samples
from tests.e2e.serving import CHROMIUM_FLAGS, find_chromium, serving


def page_seconds(rounds: int) -> dict[str, float]:
    """Seconds until the first page and until the models, medians from Run to text and to mask, and the app's memory.

    Every round shows another picture of 640x480, so that no cache is hit.
    """
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        page = browser.new_page()
        started = time.perf_counter()
        with serving(Path(folder)) as (url, process):
            page.goto(url)
            page.wait_for_selector("[data-phase=idle]")
            first_page = time.perf_counter() - started
            page.wait_for_selector(".lamp.is-ready", timeout=120_000)
            models = time.perf_counter() - started
            runs = [_run(page, _photograph(Path(folder), turn)) for turn in range(-1, rounds)][1:]
            memory = psutil.Process(process.pid).memory_info().rss
        browser.close()
    return {
        "first page in a browser, s": first_page,
        "models ready, s": models,
        "Run to first text in the browser, s": statistics.median(text for text, _ in runs),
        "Run to mask in the browser, s": statistics.median(mask for _, mask in runs),
        "resident memory of the app, MiB": memory / 2**20,
    }


def _photograph(folder: Path, turn: int) -> Path:
    """A 640x480 crop of a sample, another one each time."""
    samples = find_samples()
    file = folder / f"photograph-{turn}.png"
    with Image.open(samples[turn % len(samples)].path) as image:
        image.convert("RGB").resize((640, 480), box=(0, 0, image.width - turn - 1, image.height - turn - 1)).save(file)
    return file


def _run(page: Page, photograph: Path) -> tuple[float, float]:
    shown = page.locator(".stage-picture").get_attribute("src")
    page.set_input_files("#picture input[type=file]", photograph)
    page.wait_for_function("old => document.querySelector('.stage-picture').getAttribute('src') !== old", arg=shown)
    started = time.perf_counter()
    page.click("#run-button")
    page.wait_for_function("document.querySelector('#raw-completion').textContent.length > 0")
    text = time.perf_counter() - started
    page.wait_for_selector("[data-phase=done]", timeout=60_000)
    return text, time.perf_counter() - started
