"""Latency of the canvas: from the click to the new mask on the screen, in a real browser."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from segr1_app.domain import ObjectPrompt, Point
from segr1_app.models.host import LoadedModels, ModelHost
from segr1_app.models.pipeline import Pipeline
from segr1_app.settings.config import Settings
from segr1_app.store import AnnotationStore
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.studio.recording import RunRecorder
from segr1_app.studio.sessions import CanvasSession, CanvasSessions
from segr1_app.ui.views import live_size
from tests.benchmarks.models import alternate
from tests.e2e.canvas_page import CanvasPage, upload
from tests.e2e.serving import CHROMIUM_FLAGS, find_chromium, serving
from tests.scenes import ellipse_scene

SIZES = ((640, 480), (4000, 3000))
# Clicks in the page itself, so that the time of the browser's remote control is not part of the figure: from the
# pointer going up to the frame in which the newest mask is drawn.
CLICK = """([x, y]) => new Promise((done) => {
  const frame = document.querySelector("#stage .stage-frame");
  const event = (type) => new PointerEvent(type, { bubbles: true, cancelable: true, pointerId: 1, isPrimary: true,
    pointerType: "mouse", button: 0, clientX: x, clientY: y });
  frame.setPointerCapture = () => {};
  frame.dispatchEvent(event("pointerdown"));
  const started = performance.now();
  const seen = new MutationObserver(() => {
    if (frame.getAttribute("aria-busy") !== "false") return;
    seen.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
  });
  seen.observe(frame, { attributeFilter: ["aria-busy"] });
  frame.dispatchEvent(event("pointerup"));
})"""


def click_overhead(pipeline: Pipeline, rounds: int) -> dict[str, float]:
    """Median milliseconds that the server needs for a click beyond the segmenter's decoding, for each size."""
    prompt = ObjectPrompt(None, (Point(200, 200, 1),))
    drawn = [
        {"box": None, "points": [asdict(point) for point in prompt.points], "name": "", "strokes": [], "start": None}
    ]
    figures = {}
    with tempfile.TemporaryDirectory() as name, AnnotationStore.open(Path(name)) as store:
        models = ModelHost(Settings(device="cpu"), lambda _: LoadedModels(pipeline, "cpu", ""))
        models.start()
        sessions = CanvasSessions()
        canvas = CanvasHandlers(models, Path(name), sessions, RunRecorder(store, models))
        for size in SIZES:
            picture, _ = ellipse_scene(*size, (0.5, 0.5), (0.25, 0.3))
            question = {"rev": 1, "picture": sessions.begin(CanvasSession(picture)), "objects": drawn}
            embedding = pipeline.segmenter.encode(picture)
            live = live_size(picture.size)
            found = alternate(
                lambda _, question=question: canvas.decode(question),
                lambda _, embedding=embedding, live=live: pipeline.segmenter.decode(embedding, [prompt], size=live),
                rounds,
            )
            figures[f"click on the server beyond decoding, {size[0]}x{size[1]}, ms"] = (found.ours - found.bare) * 1000
    return figures


def click_milliseconds(rounds: int) -> dict[str, float]:
    """Median and 95th percentile of the time from a click to its mask, for each size of picture."""
    figures = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        with serving(Path(folder)) as (url, _):
            page.goto(url)
            page.wait_for_selector(".lamp.is-ready", timeout=120_000)
            for size in SIZES:
                file = Path(folder) / f"{size[0]}.png"
                Image.fromarray(ellipse_scene(*size, (0.5, 0.5), (0.25, 0.3))[0].pixels).save(file)
                times = _clicks(upload(page, file, size), rounds)
                name = f"click to mask in the browser, {size[0]}x{size[1]}"
                figures[f"{name}, ms"] = statistics.median(times)
                figures[f"{name}, 95th, ms"] = float(np.percentile(times, 95))
        browser.close()
    return figures


def _clicks(canvas: CanvasPage, rounds: int) -> list[float]:
    """Milliseconds of each click: ten points, then a clear canvas, and so on; the first two clicks warm up."""
    # Well apart: a click on a point that is there already would choose that one and ask for no mask.
    places = [(x * canvas.size[0], y * canvas.size[1]) for y in (0.35, 0.65) for x in (0.2, 0.35, 0.5, 0.65, 0.8)]
    times: list[float] = []
    while len(times) < rounds + 2:
        times += [float(canvas.page.evaluate(CLICK, list(canvas.at(place)))) for place in places]
        canvas.clear()
    return times[2 : rounds + 2]
