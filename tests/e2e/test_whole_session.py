"""A whole session with the real server and models: run, correct, decide, review, export; then what is on disk."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from segr1_app.geometry import decode_rle
from segr1_app.store import AnnotationStore, RejectReason, Revision, Verdict
from tests.e2e.annotate_page import bring_in
from tests.e2e.canvas_page import CanvasPage, upload
from tests.e2e.serving import serving
from tests.scenes import ellipse_scene

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIZE = (480, 360)
INSTRUCTION = "Identify and segment the camouflaged object."
MODELS_MS = 120_000
TOLD = (
    r"^2 tasks exported\.\nNot in this format: prompts, reasoning .* but the one that counts\.\n"
    r"Painted layers become part of the mask \(1 time\)\n"
    r"Rejected tasks have no mask and are left out \(1 time\)$"
)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"egg{seed}.png" for seed in range(3)]
    for seed, file in enumerate(files):
        Image.fromarray(ellipse_scene(*SIZE, (0.5, 0.5), (0.18, 0.22), seed)[0].pixels).save(file)
    return files


def run_and_correct(page: Page, picture: Path) -> float:
    """The Run tab; returns how far a stored place may be from where the pointer was."""
    canvas = upload(page, picture, SIZE)
    page.fill("#instruction textarea", INSTRUCTION)
    page.click("#run-button")
    page.wait_for_selector("[data-phase=done]", timeout=2 * MODELS_MS)
    canvas.click((40, 40))
    canvas.click((440, 320), button="right")
    predicted = canvas.object["box"]
    canvas.drag((20, 300), (120, 345))
    assert canvas.object["box"] != predicted
    canvas.press("Control+z")
    assert canvas.object["box"] == predicted
    canvas.press("b")
    canvas.drag((380, 40), (440, 60))
    canvas.press("Control+s")
    expect(page.locator("#stage")).to_contain_text("Saved 1 object as revision 1 of task 1.", timeout=30_000)
    return 1 / canvas.scale() + 0.02


def accept_one_and_reject_the_next(page: Page) -> None:
    canvas = CanvasPage(page, SIZE, "#annotate")
    page.fill("#annotator-name", "Ada")
    page.click("[data-action=start]")
    expect(page.locator(".job-picture")).to_contain_text("Task 2 · egg1.png", timeout=60_000)
    canvas.settle()
    canvas.press("a")
    expect(page.locator(".job-picture")).to_contain_text("Task 3 · egg2.png", timeout=60_000)
    canvas.settle()
    canvas.press("x")
    page.get_by_role("dialog", name="Why is it rejected?").wait_for()
    page.keyboard.press("2")
    expect(page.locator("#annotate .notice").first).to_contain_text("You have no tasks left", timeout=60_000)
    expect(page.locator("#annotate .job-count")).to_have_text("3 of 3 decided · 2 by you")


def review(page: Page) -> None:
    """Make the visitor's correction of the first task the current one."""
    page.get_by_role("tab", name="Review").click()
    expect(page.locator(".review-task")).to_have_count(3, timeout=30_000)
    page.locator("[data-task='1']").click()
    first = page.locator("[data-key='revision 1']")
    expect(first).to_contain_text("visitor", timeout=30_000)
    page.fill("#reviewer-name", "Rea")
    first.get_by_role("button", name="Make current").click()
    expect(page.locator(".review-status")).to_have_text("Revision 1 is current, whatever is saved later.")


def export(page: Page) -> Path:
    page.get_by_role("tab", name="Annotate").click()
    page.get_by_text("Export annotations").click()
    page.click("#export-button")
    expect(page.get_by_label("Notes")).to_have_value(re.compile(TOLD), timeout=30_000)
    with page.expect_download() as download:
        page.locator("#export-file a").first.click()
    return Path(download.value.path())


def test_a_whole_session_and_what_is_left_of_it(
    pictures: list[Path], tmp_path: Path, visit: Callable[..., Page]
) -> None:
    with serving(tmp_path) as (url, _):
        page = visit(url, 1440, 900)
        slack = run_and_correct(page, pictures[0])
        page.get_by_role("tab", name="Annotate").click()
        account = "New: 2 pictures, 2 tasks, 0 ground-truth masks, 0 boxes, 0 points; 0 duplicates."
        assert bring_in(page, pictures[1:], INSTRUCTION) == f"2 entries imported. {account}"
        accept_one_and_reject_the_next(page)
        review(page)
        archive = export(page)
        with AnnotationStore.open(tmp_path / "data") as store:
            assert list(store.verify()) == []
            histories = [store.history(task.id) for task in store.tasks()]
            assert [len(history) for history in histories] == [1, 1, 1]
            (corrected,), (accepted,), (rejected,) = histories
            check_correction(corrected, slack)
            assert (accepted.annotator, accepted.correction.verdict) == ("Ada", Verdict.ACCEPT)
            assert (accepted.policy_iou, accepted.change.added) == (1, ())
            assert accepted.correction.prompts == accepted.before
            assert (rejected.annotator, rejected.correction.verdict) == ("Ada", Verdict.REJECT)
            assert rejected.correction.reason is RejectReason.GROUNDING
            choice = store.choice(1)
            assert choice is not None
            assert (choice.revision_id, choice.reviewer) == (corrected.id, "Rea")
        check_export(archive, [corrected, accepted])
        page.context.close()  # before the server goes, which it would complain of


def check_correction(made: Revision, slack: float) -> None:
    """A click inside, one outside, a box that was taken back and a stroke, all on top of the prediction."""
    assert (made.annotator, made.correction.verdict) == ("visitor", Verdict.FIX)
    (before,), (after,) = made.before, made.correction.objects
    assert after.prompt.box == before.box
    assert after.prompt.points[: len(before.points)] == before.points
    added = after.prompt.points[len(before.points) :]
    assert [point.label for point in added] == [1, 0]
    assert np.allclose([(point.x, point.y) for point in added], [(40, 40), (440, 320)], rtol=0, atol=slack)
    assert made.change.added == added
    assert after.painted is not None
    assert after.painted[50, 410]
    assert after.painted[40, 380]
    assert not after.painted[90, 410]
    assert after.mask[50, 410]
    assert made.completion.startswith("<think>")
    assert made.policy_iou is not None
    assert made.policy_iou < 1


def check_export(archive: Path, counting: list[Revision]) -> None:
    """COCO with the two masks that count, to the pixel."""
    with zipfile.ZipFile(archive) as content:
        (annotations,) = [name for name in content.namelist() if name.endswith(".json") and "instances_" in name]
        coco = json.loads(content.read(annotations))
        files = {Path(name).name for name in content.namelist()}
    assert {each["file_name"].split("/")[-1] for each in coco["images"]} <= files
    masks = [decode_rle(each["segmentation"]) for each in coco["annotations"]]
    assert len(masks) == len(counting)
    assert all(np.array_equal(mask, made.mask) for mask, made in zip(masks, counting, strict=True))
