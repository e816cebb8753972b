"""The Annotate tab's own keys: each is in the list of `?`, and stores what is on the canvas, wherever one looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from segr1_app.store import RejectReason, Verdict
from tests.e2e.annotate_page import bring_in
from tests.e2e.canvas_checks import CHECKS, TOUCHED
from tests.e2e.canvas_page import CanvasPage
from tests.e2e.conftest import ScriptedApp, ScriptedPolicy
from tests.e2e.test_canvas import SIZES
from tests.scenes import ellipse_scene

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROOT = "#annotate"
DECIDED = {
    "a": (Verdict.FIX, None),
    "Enter": (Verdict.FIX, None),
    "Control+Enter": (Verdict.FIX, None),
    "x": (Verdict.REJECT, RejectReason.GROUNDING),
    "s": (Verdict.SKIP, None),
}
"""What each key makes of a task whose prompts were changed; a reject is answered with the second reason."""
ROWS = {"A or Enter", "Ctrl+Enter", "X", "S", "U", "J", "K", "D", "T", "Shift+T", "Shift+F", "1–9"}


@pytest.mark.parametrize("zoomed", [False, True], ids=["whole", "zoomed and panned"])
@pytest.mark.parametrize("shape", ["wide", "tall"])
def test_every_decision_key_stores_the_canvas(
    open_studio: Callable[[ScriptedPolicy], ScriptedApp],
    visit: Callable[..., Page],
    tmp_path: Path,
    shape: str,
    zoomed: bool,
) -> None:
    size = SIZES[shape]
    files = [tmp_path / f"{number}.png" for number in range(len(DECIDED))]
    for seed, file in enumerate(files):
        Image.fromarray(ellipse_scene(*size, (0.5, 0.5), (0.2, 0.2), seed=seed)[0].pixels).save(file)
    policy = ScriptedPolicy(["<think> nothing </think>"] * len(DECIDED))
    policy.go.set()
    app = open_studio(policy)
    page = visit(app.url, 1280, 900)
    page.get_by_role("tab", name="Annotate").click()
    bring_in(page, files, "Identify and segment the egg.")
    canvas = CanvasPage(page, size, ROOT)
    page.fill("#annotator-name", "Ada")
    page.click("[data-action=start]")

    seen = {}
    for task, key in enumerate(DECIDED, start=1):
        expect(page.locator(".job-picture")).to_contain_text(f"Task {task} ·", timeout=30_000)
        canvas.settle()
        if task == 1:
            canvas.press("?")
            assert set(page.locator(f"{ROOT} .key-list dt").all_inner_texts()) == set(CHECKS) | TOUCHED | ROWS
            canvas.press("Escape")
        if zoomed:
            canvas.press("+", "+", "+", "+", "+")
            x, y = canvas.centre()
            canvas.drag((x, y), (x + 40 / canvas.scale(), y - 25 / canvas.scale()), button="middle")
        x, y = canvas.centre()
        step = 30 / canvas.scale()
        canvas.drag((x - 2 * step, y - step), (x + 2 * step, y + step))
        canvas.click((x + step, y))
        canvas.click((x - step, y), button="right")
        seen[task] = canvas.object
        assert seen[task]["box"] == pytest.approx([x - 2 * step, y - step, x + 2 * step, y + step], abs=step / 25)
        assert [(each["x"], each["label"]) for each in seen[task]["points"]] == [
            (pytest.approx(x + step, abs=step / 25), 1),
            (pytest.approx(x - step, abs=step / 25), 0),
        ]
        # Not `press`, which waits for the canvas: after the last decision there is nothing on it.
        page.keyboard.press(key)
        if key == "x":
            page.get_by_role("dialog", name="Why is it rejected?").wait_for()
            page.keyboard.press("2")
    expect(page.locator(f"{ROOT} .notice")).to_contain_text("You have no tasks left")

    for task, wanted in zip(seen, DECIDED.values(), strict=True):
        (revision,) = app.store.history(task)
        (made,) = revision.correction.objects
        assert (revision.correction.verdict, revision.correction.reason) == wanted
        assert made.prompt.box is not None
        assert list(made.prompt.box.xyxy) == seen[task]["box"]
        assert [asdict(point) for point in made.prompt.points] == seen[task]["points"]
