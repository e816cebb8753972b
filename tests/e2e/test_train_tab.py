"""The Train tab: start, stop and resume a training in a real browser, promote its policy and roll that back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from segr1_app.files.json_files import write_json
from segr1_app.geometry import encode_rle
from segr1_app.images.pictures import picture_from_array
from segr1_app.store import AnnotationStore, Correction, RejectReason, Verdict
from segr1_app.studio.trainings import AFTER, BEFORE, CONFIG, METRICS, PICTURES, PROCESS, RESULT
from tests.e2e.conftest import switch_scheme
from tests.e2e.serving import serving
from tests.e2e.test_run_tab import LOAD_MS, LOWEST_CONTRAST

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TRAIN_MS = 600_000


def test_a_training_is_started_stopped_resumed_promoted_and_taken_back(
    real_app: str, visit: Callable[..., Page]
) -> None:
    page = visit(real_app)
    page.wait_for_selector(".lamp.is-ready", timeout=LOAD_MS)
    page.get_by_role("tab", name="Train").click()
    expect(page.locator(".train-empty")).to_be_visible()
    page.click("[data-action=plan]")
    expect(page.locator(".train-plan")).to_contain_text("no corrections", timeout=LOAD_MS)

    page.fill("#train-steps", "0")
    page.click("[data-action=start-training]")
    expect(page.locator("#train .notice")).to_contain_text("from 1 to")
    # What the page asks by itself does not wipe away what nobody has read yet.
    page.get_by_role("tab", name="Run").click()
    with page.expect_response(lambda response: "component_server" in response.url):
        page.get_by_role("tab", name="Train").click()
    expect(page.locator("#train .notice")).to_contain_text("from 1 to")
    page.fill("#train-steps", "1")
    page.click("[data-action=start-training]")
    state = page.locator(".train-state")
    expect(state).to_contain_text("Running")
    expect(page.locator("[data-action=start-training]")).to_be_disabled()
    page.click("[data-action=stop-training]")
    expect(state).to_contain_text("Stopped")
    page.click("[data-action=resume-training]")
    expect(state).to_contain_text("Running")
    # The training is not a child of the page: whoever opens another one finds it.
    again = visit(real_app)
    again.get_by_role("tab", name="Train").click()
    expect(again.locator(".train-state")).to_contain_text("Running")
    again.close()

    expect(state).to_have_text("Done · step 1 of 1", timeout=TRAIN_MS)
    expect(page.locator(".train-table")).to_contain_text("Original pairs")
    pictures = page.locator(".train-changes img")
    expect(pictures.first).to_be_visible()
    expect(page.locator(".train-changes")).to_contain_text("such as real photographs")
    pictures.last.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('.train-changes img')].every((image) => image.naturalWidth)")
    for width in (390, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            switch_scheme(page, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            ratio, text = page.evaluate(LOWEST_CONTRAST)
            assert ratio >= 4.5, (width, scheme, text)

    name = page.locator(".header-models .model-name").first
    expect(name).to_have_text("embedded policy")
    page.click("[data-action=promote]")
    expect(name).to_contain_text("/policy")
    page.wait_for_selector(".lamp.is-ready", timeout=LOAD_MS)
    expect(page.locator(".train-used")).to_have_text("The app uses this policy.")
    page.click("[data-action=go-back-policy]")
    expect(name).to_have_text("embedded policy")
    page.wait_for_selector(".lamp.is-ready", timeout=LOAD_MS)
    expect(page.locator("[data-action=go-back-policy]")).to_be_hidden()


def test_the_segmenter_is_proposed_trained_used_and_taken_back(visit: Callable[..., Page], tmp_path: Path) -> None:
    with AnnotationStore.open(tmp_path / "data") as store:
        picture = picture_from_array(np.zeros((40, 60, 3), np.uint8))
        task = store.add_task(store.add_picture(picture, "black.png"), "the cat")
        store.save(task.id, "ada", Correction(Verdict.REJECT, reason=RejectReason.SEGMENTER))
    with serving(tmp_path) as (url, _):
        page = visit(url)
        page.wait_for_selector(".lamp.is-ready", timeout=LOAD_MS)
        page.get_by_role("tab", name="Train").click()
        expect(page.locator(".train-proposal")).to_have_text(
            "1 mistake of the segmenter and 0 of the policy were corrected recently."
        )
        expect(page.locator("#train-learns")).to_have_value("segmenter")
        # What the visitor chooses is not changed by another proposal.
        page.select_option("#train-learns", "policy")
        page.get_by_role("tab", name="Run").click()
        page.get_by_role("tab", name="Train").click()
        expect(page.locator("#train-learns")).to_have_value("policy")
        page.select_option("#train-learns", "segmenter")
        page.fill("#train-steps", "1")
        page.click("[data-action=start-training]")
        expect(page.locator(".train-state")).to_have_text("Done · step 1 of 1", timeout=TRAIN_MS)
        expect(page.locator("#train-run option")).to_contain_text("· segmenter")
        expect(page.locator(".train-chart")).to_contain_text("Loss of a step")
        expect(page.locator(".train-table")).to_contain_text("Clicks to IoU .9")
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width

        policy, segmenter = page.locator(".header-models .model-name").all()
        expect(segmenter).to_have_text("embedded segmenter")
        page.get_by_role("button", name="Use this segmenter").click()
        expect(segmenter).to_contain_text("/segmenter")
        expect(policy).to_have_text("embedded policy")
        page.wait_for_selector(".lamp.is-ready", timeout=LOAD_MS)
        expect(page.locator(".train-used")).to_have_text("The app uses this segmenter.")
        expect(page.locator("[data-action=go-back-policy]")).to_be_hidden()
        page.get_by_role("button", name="Back to the previous segmenter").click()
        expect(segmenter).to_have_text("embedded segmenter")
        page.wait_for_selector(".lamp.is-ready", timeout=LOAD_MS)
        page.close()


def test_a_training_of_a_terminal_is_shown_the_worst_first_and_the_rest_when_asked_for(
    visit: Callable[..., Page], tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "runs" / "20260101-000000"
    write_json(folder / CONFIG, {"steps": 80})
    mask = encode_rle(np.eye(40, dtype=bool))
    rows = [{"image_id": f"{n}", "source": "mine", "instruction": "Segment it.", "mask": mask} for n in range(30)]
    for file, change in ((BEFORE, 0.0), (AFTER, 0.01)):
        answers = [row | {"iou": 0.5 + change * (number - 9)} for number, row in enumerate(rows)]
        write_json(folder / file, {"scores": {}, "answers": answers})
    write_json(folder / RESULT, {"after": {}})
    (folder / PICTURES).mkdir()
    for row in rows:
        Image.new("RGB", (40, 40)).save(folder / PICTURES / f"{row['image_id']}.jpg")
    stopped = folder.with_name("20250101-000000")
    write_json(stopped / CONFIG, {"steps": 80})
    write_json(stopped / PROCESS, {"pid": 2**22 + 1, "started": 0.0, "command": ["python", "-m", "train.grpo"]})
    (stopped / METRICS).write_text("".join(f'{{"step": {step}, "reward": 0.5}}\n' for step in (1, 2, 3)))
    with serving(tmp_path) as (url, _):
        page = visit(url)
        page.get_by_role("tab", name="Train").click()
        expect(page.locator(".train-state")).to_contain_text("Done")
        changes = page.locator(".train-changes li")
        expect(changes).to_have_count(24)
        expect(changes.first).to_contain_text("−0.09 IoU")
        page.get_by_role("button", name="Show all 30").click()
        expect(changes).to_have_count(30)
        expect(changes.last).to_contain_text("+0.20 IoU")
        expect(page.get_by_role("button", name="Show all 30")).to_be_hidden()
        expect(page.locator("[data-action=resume-training]")).to_be_hidden()

        # What a stop costs is said before it is resumed.
        lost = page.locator(".train-lost")
        expect(lost).to_be_hidden()
        page.select_option("#train-run", "20250101-000000")
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        expect(lost).to_have_text(
            "There is no checkpoint yet: Resume starts at the beginning, and the 3 steps are made again."
        )
        (stopped / "checkpoint-2").mkdir()
        page.get_by_role("tab", name="Run").click()
        page.get_by_role("tab", name="Train").click()
        expect(lost).to_have_text("Resume continues after step 2: the 1 step is made again.")
        page.close()
