"""The Annotate tab: a whole session in a real browser, and what the database holds afterwards; the same by the API."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from segr1_app.domain import Box, ObjectPrompt, Point
from segr1_app.geometry import decode_rle
from segr1_app.language.typed_text import one_line
from segr1_app.store import AnnotationStore, RejectReason, Verdict
from tests.e2e.annotate_page import (
    INSTRUCTION,
    REASONING,
    ROOT,
    SAID,
    SIZE,
    at_work,
    begin,
    bring_in,
    mask_file,
    open_tab,
    shown,
)
from tests.e2e.conftest import ScriptedApp

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BEFORE = ObjectPrompt(Box(150, 100, 330, 260), (Point(240, 180, 1),))
HOSTILE = '<img src=x onerror="window.hacked=1"> ${window.hacked=2} {{value}} \u202eabc \u0007 =1+1'


def test_a_whole_session(annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]) -> None:
    page = open_tab(visit, annotate_app.url)
    reply = bring_in(page, uploads, INSTRUCTION)
    assert reply.startswith("3 entries imported.")
    assert "text.png" in reply
    assert str(uploads[0].parent.parent) not in reply

    canvas = begin(page, HOSTILE[:60])
    assert page.locator(".job-instruction").text_content() == INSTRUCTION
    assert page.locator(".job-reasoning").text_content() == REASONING
    assert page.locator(f"{ROOT} [data-mark=box]").count() == 1

    canvas.click((200, 150))
    canvas.click((60, 60), button="right")
    canvas.drag((400, 20), (470, 100))
    assert canvas.object["box"] != [150, 100, 330, 260]
    canvas.press("Control+z")
    assert canvas.object["box"] == [150, 100, 330, 260]
    canvas.press("b")
    canvas.drag((420, 300), (450, 330))
    page.get_by_label("Comment").fill(HOSTILE)
    expect(page.locator("[data-action=accept]")).to_contain_text("Save fix")
    canvas.press("a")

    shown(canvas, 2)
    canvas.press("x")
    page.get_by_role("dialog", name="Why is it rejected?").wait_for()
    page.keyboard.press("4")
    shown(canvas, 3)
    expect(page.locator(f"{ROOT} .stage-reward")).to_contain_text("against the imported mask")
    slack = 1 / canvas.scale() + 0.02
    canvas.press("Enter")
    expect(page.locator(f"{ROOT} .notice")).to_contain_text("You have no tasks left")
    expect(page.locator(".job-count")).to_have_text("3 of 3 decided · 3 by you")
    assert page.evaluate("window.hacked") is None

    page.get_by_text("Export annotations").click()
    page.click("#export-button")
    expect(page.get_by_label("Notes")).to_have_value(re.compile("2 tasks exported"), timeout=20_000)
    with page.expect_download() as download:
        page.locator("#export-file a").first.click()
    check_export(Path(download.value.path()))
    check_session(annotate_app.store, slack)


def check_export(archive: Path) -> None:
    """COCO of the two tasks that have a mask."""
    with zipfile.ZipFile(archive) as content:
        (name,) = (each for each in content.namelist() if each.endswith(".json"))
        annotations = json.loads(content.read(name))["annotations"]
    assert len(annotations) == 2
    assert all(decode_rle(each["segmentation"]).shape == SIZE[::-1] for each in annotations)


def check_session(store: AnnotationStore, slack: float) -> None:
    """What `test_a_whole_session` did, to the pixel that a screen can show."""
    fixed, rejected, accepted = (store.current(task) for task in (1, 2, 3))
    assert fixed is not None
    assert rejected is not None
    assert accepted is not None
    assert fixed.annotator == " ".join(HOSTILE[:60].split())
    assert fixed.correction.comment == HOSTILE
    assert fixed.correction.verdict is Verdict.FIX
    assert fixed.before == (BEFORE,)
    (made,) = fixed.correction.objects
    assert made.prompt.box == BEFORE.box
    assert np.allclose([(p.x, p.y) for p in made.prompt.points], [(240, 180), (200, 150), (60, 60)], atol=slack)
    assert [point.label for point in made.prompt.points] == [1, 1, 0]
    assert len(fixed.change.added) == 2
    assert made.painted is not None
    assert made.mask[315, 435]
    assert fixed.correction.clicks == 5, "click, right click, drag, undo, stroke"
    assert fixed.correction.seconds > 0
    assert (rejected.correction.verdict, rejected.correction.reason) == (Verdict.REJECT, RejectReason.NO_OBJECT)
    assert accepted.correction.verdict is Verdict.ACCEPT
    assert accepted.policy_iou == 1
    assert accepted.completion == SAID
    assert store.task(2).picture_name == "escape<b>.png"
    assert list(store.verify()) == []


def test_a_draft_survives_a_reload_and_a_skip_goes_on(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads)
    page = canvas.page
    canvas.click((200, 150))
    canvas.press("n")
    canvas.click((400, 300))
    page.get_by_label("Comment").fill("half done")
    for _ in range(50):
        draft = annotate_app.store.get_draft(1, "Ada")
        if draft and "half done" in draft.content:
            break
        page.wait_for_timeout(100)
    before = canvas.objects
    page.reload()
    page.get_by_role("tab", name="Annotate").click()
    shown(canvas, 1)
    expect(page.get_by_label("Comment")).to_have_value("half done")
    assert canvas.objects == before
    canvas.press("s")
    shown(canvas, 2)
    assert annotate_app.store.task(1).open
    assert annotate_app.store.heads(1)["Ada"].correction.verdict is Verdict.SKIP
    assert annotate_app.store.get_draft(1, "Ada") is None


def test_the_last_edit_before_the_page_is_left_is_in_the_draft(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads[:1])
    page = canvas.page
    before = canvas.object["points"]
    # In one go: no timer of the page comes to its turn between the edit and the leaving.
    with page.expect_navigation():
        page.evaluate(
            """(root) => {
                const frame = document.querySelector(`${root} .stage-frame`);
                frame.dispatchEvent(new KeyboardEvent("keydown", { key: "p", bubbles: true }));
                location.reload();
            }""",
            ROOT,
        )
    page.get_by_role("tab", name="Annotate").click()
    shown(canvas, 1)
    assert len(canvas.object["points"]) == len(before) + 1
    assert annotate_app.store.get_draft(1, "Ada") is not None


def test_keys_decide_wherever_one_clicked(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    store = annotate_app.store
    canvas = at_work(visit, annotate_app.url, uploads)
    page = canvas.page
    accept, comment = page.locator("[data-action=accept]"), page.get_by_label("Comment")
    canvas.press("Escape")
    page.locator(".job-instruction").click()
    page.keyboard.press("p")
    assert len(canvas.object["points"]) == 2
    expect(accept).to_contain_text("Save fix")
    page.keyboard.press("Control+z")
    expect(accept).to_contain_text("Accept")
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Delete")
    canvas.settle()
    expect(accept).to_contain_text("Accept")

    page.get_by_role("button", name="Edit the instruction").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Edit the instruction")).to_be_visible()
    page.keyboard.press("Escape")
    comment.click()
    page.keyboard.type("axs")
    page.keyboard.press("Escape")
    expect(canvas.frame).to_be_focused()
    expect(comment).to_have_value("axs")
    comment.click()
    page.keyboard.press("Control+Enter")
    shown(canvas, 2)
    comment.click()
    page.keyboard.type("xsa")
    page.keyboard.down("Control")
    page.keyboard.down("s")
    shown(canvas, 3)
    page.keyboard.down("s")  # held down: no press of its own
    page.keyboard.up("s")
    page.keyboard.up("Control")
    expect(canvas.frame).to_have_attribute("aria-disabled", "false")
    page.keyboard.press("Escape")
    page.locator(".job-instruction").click()
    page.keyboard.press("Enter")
    expect(page.locator(f"{ROOT} .notice")).to_contain_text("You have no tasks left")
    decided = [store.current(task) for task in (1, 2, 3)]
    assert [each and (each.correction.verdict, each.correction.comment) for each in decided] == [
        (Verdict.ACCEPT, "axs"),
        (Verdict.ACCEPT, "xsa"),
        (Verdict.ACCEPT, ""),
    ]


def test_skipping_a_decided_task_leaves_it_as_it_is(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    canvas = at_work(visit, annotate_app.url, uploads)
    page = canvas.page
    canvas.press("a")
    shown(canvas, 2)
    page.get_by_role("tab", name="Review").click()
    page.get_by_role("button", name="Open in Annotate").click()
    shown(canvas, 1)
    canvas.click((200, 150))
    canvas.press("s")
    shown(canvas, 2)
    (accepted,) = annotate_app.store.history(1)
    assert accepted.correction.verdict is Verdict.ACCEPT
    assert annotate_app.store.get_draft(1, "Ada") is None


def test_two_people_never_hold_one_task_and_a_stale_save_is_refused_with_a_choice(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    first = at_work(visit, annotate_app.url, uploads)
    page = first.page
    other = open_tab(visit, annotate_app.url)
    other.fill("#annotator-name", "Bea")
    other.click("[data-action=start]")
    expect(other.locator(".job-picture")).to_contain_text("Task 2 ·", timeout=30_000)

    again = begin(open_tab(visit, annotate_app.url), "Ada")
    again.click((200, 150))
    again.press("a")
    shown(again, 3)
    first.click((300, 200))
    first.press("a")
    dialog = page.get_by_role("dialog", name="Saved in the meantime")
    expect(dialog).to_be_visible()
    assert len(annotate_app.store.history(1)) == 1
    page.keyboard.press("2")
    expect(dialog).to_be_hidden()
    shown(first, 3)
    older, newer = annotate_app.store.history(1)
    assert (older.annotator, newer.annotator, newer.parent_id) == ("Ada", "Ada", older.id)


def test_the_instruction_is_edited_and_a_picture_gets_a_further_task(
    annotate_app: ScriptedApp, visit: Callable[..., Page], uploads: list[Path]
) -> None:
    store = annotate_app.store
    canvas = at_work(visit, annotate_app.url, uploads[:1])
    page = canvas.page
    canvas.click((200, 150))
    other = one_line(HOSTILE)
    page.get_by_role("button", name="Edit the instruction").click()
    page.fill("#task-instruction", other)
    page.get_by_role("button", name="Change the instruction").click()
    expect(page.locator(".job-instruction")).to_have_text(other, timeout=30_000)
    canvas.settle()
    assert store.task(1).instruction == other
    assert len(canvas.object["points"]) == 1, "what was drawn for the old words is given up"
    assert store.prediction(store.task(1).prediction_id or 0).prediction.instruction == other

    # The further task takes the place of the first one, whose draft is kept.
    canvas.click((200, 150))
    page.get_by_role("button", name="Edit the instruction").click()
    page.fill("#task-instruction", "Segment the nest.")
    page.get_by_role("button", name="Add as another task of this picture").click()
    shown(canvas, 2)
    assert [task.instruction for task in store.tasks_of(store.task(1).sha256)] == [other, "Segment the nest."]
    assert (store.holder(1), store.holder(2)) == (None, "Ada")
    canvas.press("a")
    shown(canvas, 1)
    assert len(canvas.object["points"]) == 2
    assert store.current(2) is not None

    page.get_by_role("button", name="Edit the instruction").click()
    page.fill("#task-instruction", "Segment  the nest.")
    page.get_by_role("button", name="Change the instruction").click()
    expect(page.locator(f"{ROOT} .notice")).to_contain_text("already has a task with that instruction")
    assert store.task(1).instruction == other
    assert page.evaluate("window.hacked") is None


def test_the_api_drives_a_whole_session(annotate_app: ScriptedApp, uploads: list[Path], tmp_path: Path) -> None:
    mask = tmp_path / uploads[0].name
    mask.write_bytes(mask_file())
    client = Client(annotate_app.url, verbose=False)
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert [name for name, endpoint in endpoints.items() if not endpoint["description"]] == []
    with pytest.raises(AppError, match="'form' takes one of 'coco'"):
        client.predict("paper", api_name="/export")
    reply = client.predict([handle_file(str(path)) for path in uploads[:2]], INSTRUCTION, api_name="/add_pictures")
    assert reply == (
        "3 entries imported. New: 3 pictures, 3 tasks, 1 ground-truth mask, 0 boxes, 0 points; 0 duplicates."
    )
    task = client.predict("Ada", "imported", api_name="/next_task")
    assert task["task"] == 1
    masked = [handle_file(str(uploads[0]))], INSTRUCTION, [handle_file(str(mask))]
    assert client.predict(*masked, api_name="/add_pictures") == (
        "1 entry imported. New: 0 pictures, 0 tasks, 1 ground-truth mask, 0 boxes, 0 points; 1 duplicate."
    )
    assert annotate_app.store.ground_truth(annotate_app.store.task(1).sha256, INSTRUCTION) is not None
    reply = client.predict("ada/nests", INSTRUCTION, 10, api_name="/add_dataset")
    assert "works offline" in reply, "as the tests do"
    blank = {"box": [10, 10, 90, 90], "points": [], "name": "egg", "strokes": [], "start": None}
    made = client.predict(task["canvas"]["key"], [blank], api_name="/segment")
    assert decode_rle(made["masks"][0]["rle"]).shape == SIZE[::-1]
    assert "No target yet" not in made["reward"]["text"]
    client.predict("Ada", 1, {"objects": [blank]}, api_name="/put_draft")
    assert client.predict("Ada", "imported", api_name="/next_task")["draft"] == {"objects": [blank]}
    saved = client.predict(
        annotator="Ada",
        task=1,
        verdict="accept",
        objects=[blank],
        comment="by machine",
        prediction=task["prediction"],
        parent=task["parent"],
        api_name="/save_decision",
    )
    assert saved["verdict"] == "fix"
    assert saved["progress"]["own"] == 1
    stale = client.predict(annotator="Ada", task=1, verdict="skip", objects=[], api_name="/save_decision")
    assert stale["stale"] == saved["revision"]
    (entry,) = client.predict(1, api_name="/history")
    assert (entry["comment"], entry["current"]) == ("by machine", True)
    assert client.predict("Ada", api_name="/progress")["open"] == 2
    for arguments in ({"verdict": "maybe"}, {"verdict": "reject"}, {"verdict": "fix", "objects": [{}]}):
        with pytest.raises(AppError):
            client.predict(**{"annotator": "Ada", "task": 2, "objects": [], **arguments}, api_name="/save_decision")
    with pytest.raises(AppError, match="Enter your name first"):
        client.predict("  ", "imported", api_name="/next_task")
    assert client.predict("Ada", 1, api_name="/open_task")["decided"] is True
    with pytest.raises(AppError, match="Ada is working on this task"):
        client.predict("Bea", 1, "the nest", api_name="/set_instruction")
    added = client.predict("Bea", 1, "the nest", api_name="/add_task")
    assert (added["instruction"], added["decided"]) == ("the nest", False)
    assert client.predict("Bea", added["task"], "the twigs", api_name="/set_instruction")["instruction"] == "the twigs"
