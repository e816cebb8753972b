"""The Review and Progress tabs: a whole review in a real browser, then a look into the database; the same by API."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Locator, Page, expect

from segr1_app.domain import Box, ImageSize, Mask, ObjectMask, ObjectPrompt, Point, Prediction
from segr1_app.metrics import iou
from segr1_app.store import AnnotatedObject, AnnotationStore, Correction, RejectReason, Verdict
from segr1_app.ui.handlers.review import LISTED
from tests.e2e.canvas_page import CanvasPage
from tests.e2e.conftest import ScriptedApp, ScriptedPolicy, switch_scheme
from tests.e2e.test_run_tab import LOWEST_CONTRAST, PLACE
from tests.scenes import ellipse_scene

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIZE = ImageSize(480, 360)
HOSTILE = '<img src=x onerror="window.hacked=1"> ${window.hacked=2} {{value}} \u202eabc \u0007 =1+1'
NAME = "<b>Ben</b> ${window.hacked=3}"
INSTRUCTION = "Identify the <i>egg</i> ${window.hacked=4}"
PROMPT = ObjectPrompt(Box(150, 100, 330, 260), (Point(240, 180, 1), Point(60, 60, 0)))


def egg(x: float = 0.5) -> Mask:
    """An upright ellipse in the middle of the picture, or beside it."""
    return ellipse_scene(*SIZE, (x, 0.5), (0.18, 0.22))[1]


POLICY, ANN, BEN = egg(), egg(0.45), egg(0.53)


def fixed(mask: Mask, comment: str = "", verdict: Verdict = Verdict.FIX) -> Correction:
    return Correction(verdict, (AnnotatedObject(PROMPT, mask),), comment=comment, seconds=12.3, clicks=4)


def fill(store: AnnotationStore) -> None:
    """Task 1: predicted, fixed by Ann and by somebody with a name like markup. Task 2: rejected by Ann."""
    prediction = Prediction(
        image_size=SIZE,
        instruction=INSTRUCTION,
        completion="<think> An egg. </think>",
        policy_size=SIZE,
        reasoning="An egg.",
        objects=(PROMPT,),
        problems=(),
        well_formed=True,
        masks=(ObjectMask(POLICY, 0.9),),
        mask=POLICY,
        seconds={},
        policy_id="scripted policy",
        segmenter_id="segmenter",
    )
    for seed in range(2):
        sha256 = store.add_picture(ellipse_scene(*SIZE, (0.5, 0.5), (0.18, 0.22), seed)[0], f"egg<b>{seed}.png")
        task = store.add_task(sha256, INSTRUCTION)
        store.add_prediction(task.id, prediction, "c0ffee")
    store.save(2, "Ann", Correction(Verdict.REJECT, reason=RejectReason.NO_OBJECT), prediction_id=2)
    store.save(1, "Ann", fixed(ANN), prediction_id=1)
    store.save(1, NAME, fixed(BEN, HOSTILE), prediction_id=1)


@pytest.fixture
def review_app(open_studio: Callable[[ScriptedPolicy], ScriptedApp]) -> ScriptedApp:
    app = open_studio(ScriptedPolicy())
    fill(app.store)
    return app


def open_tab(visit: Callable[..., Page], url: str, tab: str = "Review") -> Page:
    page = visit(url, 1280, 900)
    page.get_by_role("tab", name=tab).click()
    return page


def compared(page: Page, first: str, second: str, value: float) -> None:
    """Wait until two masks are shown whose IoU is this."""
    expect(page.locator(".legend-iou")).to_have_text(f"IoU {value:.3f}", timeout=20_000)
    expect(page.locator(".pane.is-first .pane-title")).to_contain_text(first)
    expect(page.locator(".pane.is-second .pane-title")).to_contain_text(second)


def revision(page: Page, number: int) -> Locator:
    return page.locator(f"[data-key='revision {number}']")


def colour_at(page: Page, pane: str, place: tuple[float, float]) -> list[int]:
    """What is drawn over a place of the picture: red, green, blue and opacity, each up to 255."""
    found: list[int] = page.locator(f".pane.is-{pane}").evaluate(
        """(pane, [x, y]) => {
            const sheet = pane.querySelector("canvas");
            const frame = sheet.getBoundingClientRect();
            const picture = pane.querySelector("img").getBoundingClientRect();
            const u = (picture.left + x * picture.width - frame.left) * devicePixelRatio;
            const v = (picture.top + y * picture.height - frame.top) * devicePixelRatio;
            return [...sheet.getContext("2d").getImageData(u, v, 1, 1).data];
        }""",
        place,
    )
    return found


def test_a_whole_review(review_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    store = review_app.store
    page = open_tab(visit, review_app.url)
    compared(page, "Policy, prediction 1", "revision 3, current", iou(POLICY, BEN))
    assert [each.text_content() for each in page.locator(".review-task-title").all()] == [INSTRUCTION] * 2
    assert page.locator(".review-detail h2").text_content() == INSTRUCTION
    assert revision(page, 3).locator(".history-who bdi").first.text_content() == NAME
    assert revision(page, 3).locator(".history-comment").text_content() == HOSTILE
    expect(revision(page, 3)).to_contain_text("4 clicks · 12.3 s")
    expect(revision(page, 3)).to_contain_text(f"IoU with the policy’s mask {iou(POLICY, BEN):.2f}")
    expect(page.locator(".review-alike")).to_contain_text(f"Agreement {iou(ANN, BEN):.2f}")
    assert page.locator("#review :is(img[src=x], script, i, .history b)").count() == 0

    # Two people instead of the policy and one of them: what is drawn is what the masks are.
    revision(page, 2).get_by_role("radio", name="A: revision 2 by Ann").check()
    compared(page, "Ann, revision 2", NAME, iou(ANN, BEN))
    red, _, blue, opacity = colour_at(page, "difference", (0.29, 0.5))
    assert opacity > 200, "only Ann has it"
    assert blue > red
    red, _, blue, opacity = colour_at(page, "difference", (0.69, 0.5))
    assert opacity > 200, "only Ben has it"
    assert red > blue
    assert colour_at(page, "difference", (0.49, 0.5))[:3] == [255] * 3
    assert colour_at(page, "difference", (0.1, 0.1)) == [0] * 4
    assert colour_at(page, "first", (0.69, 0.5))[3] == 0
    shares = page.locator(".legend dd").all_text_contents()
    assert shares[2] == f"{100 * iou(ANN, BEN):.1f} %"
    assert sum(float(share.removesuffix(" %")) for share in shares) == pytest.approx(100, abs=0.2)

    # Nobody reviews without a name.
    revision(page, 2).get_by_role("button", name="Make current").click()
    expect(page.locator("#review .notice")).to_have_text("Enter your name first.")
    assert store.choice(1) is None
    page.fill("#reviewer-name", " Rea  <i>R</i> ")
    revision(page, 2).get_by_role("button", name="Make current").click()
    status = page.locator(".review-status")
    expect(status).to_have_text("Revision 2 is current, whatever is saved later.")
    expect(page.locator("#review .notice")).to_be_hidden()
    expect(revision(page, 2).locator(".badge")).to_have_text("Current, chosen by Rea <i>R</i>")
    chosen = store.choice(1)
    assert chosen is not None
    assert (chosen.revision_id, chosen.reviewer, store.task(1).current_id) == (2, "Rea <i>R</i>", 2)

    revision(page, 3).get_by_role("button", name="Restore").click()
    expect(status).to_have_text("Revision 3 is restored as revision 4, but revision 2 stays current.")
    expect(revision(page, 4)).to_contain_text("restored from revision 3")
    expect(revision(page, 3).get_by_role("button", name="Restore")).to_be_focused()
    revision(page, 2).get_by_role("button", name="Undo the choice").click()
    expect(status).to_have_text("The choice is undone; revision 4 is current.")
    restored = store.current(1)
    assert restored is not None
    assert (restored.id, restored.annotator, restored.origin_id) == (4, "Rea <i>R</i>", 3)
    assert (restored.mask == BEN).all()
    assert restored.correction.comment == HOSTILE
    assert page.evaluate("window.hacked") is None
    assert list(store.verify()) == []


def test_a_list_is_narrowed_and_goes_on(review_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    store = review_app.store
    for seed in range(2, LISTED + 1):
        sha256 = store.add_picture(ellipse_scene(*SIZE, (0.5, 0.5), (0.18, 0.22), seed)[0], f"{seed}.png")
        store.save(store.add_task(sha256, INSTRUCTION).id, "Cem", fixed(POLICY, verdict=Verdict.ACCEPT))
    page = open_tab(visit, review_app.url)
    tasks = page.locator(".review-task")
    expect(tasks).to_have_count(LISTED)
    expect(page.locator("#review .job-count")).to_have_text(f"{LISTED + 1} tasks decided")
    page.get_by_role("button", name="More tasks").click()
    expect(tasks).to_have_count(LISTED + 1)
    expect(page.get_by_role("button", name="More tasks")).to_be_hidden()
    page.select_option("#review-annotator", "Ann")
    expect(tasks).to_have_count(2)
    expect(page.locator("#review .job-count")).to_have_text(f"2 tasks of {LISTED + 1} tasks decided")
    page.select_option("#review-verdict", "reject")
    expect(tasks).to_have_count(1)
    tasks.click()
    expect(page.locator(".review-detail .job-picture")).to_have_text("Task 2 · egg<b>1.png")
    expect(revision(page, 1)).to_contain_text("No object: what is asked for is not there")
    expect(page.locator(".pane.is-second .pane-foot")).to_have_text("No mask")
    page.select_option("#review-verdict", "skip")
    expect(page.locator(".review-empty")).to_have_text("No decided task matches.")


def test_a_stale_restore_is_refused_with_a_choice(review_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    store = review_app.store
    page = open_tab(visit, review_app.url)
    compared(page, "Policy", "revision 3", iou(POLICY, BEN))
    page.fill("#reviewer-name", "Ann")
    newer = store.save(1, "Ann", fixed(POLICY), parent_id=2)
    revision(page, 3).get_by_role("button", name="Restore").click()
    dialog = page.get_by_role("dialog", name="Saved in the meantime")
    expect(dialog).to_be_visible()
    assert len(store.history(1)) == 3
    page.keyboard.press("2")
    expect(page.locator(".review-status")).to_contain_text("restored as revision 5, now the current one")
    assert store.revision(5).parent_id == newer.id


def test_a_decided_task_is_corrected_again(review_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    store = review_app.store
    spot = np.zeros_like(BEN)
    spot[300:340, 20:60] = True
    brushed = Correction(Verdict.FIX, (AnnotatedObject(PROMPT, BEN, painted=spot),), comment="a spot")
    saved = store.save(1, "Cat", brushed, prediction_id=1)
    page = open_tab(visit, review_app.url)
    compared(page, "Policy", f"revision {saved.id}", iou(POLICY, BEN | spot))
    page.fill("#reviewer-name", "Rea")
    canvas = CanvasPage(page, SIZE, "#annotate")  # before anything is drawn on it: it notes what is sent
    page.get_by_role("button", name="Open in Annotate").click()
    expect(page.locator("#annotate .notice")).to_contain_text("has already been decided", timeout=20_000)
    expect(page.locator("#annotator-name")).to_have_value("Rea")
    assert store.holder(1) == "Rea"
    canvas.settle()
    assert canvas.object["painted"] is not None
    canvas.click((200, 150))
    # After a reload, the reviewer continues with it.
    drawn = canvas.objects
    page.reload()
    page.get_by_role("tab", name="Annotate").click()
    expect(page.locator("#annotate .notice")).to_contain_text("has already been decided", timeout=20_000)
    assert canvas.objects == drawn
    canvas.press("a")
    expect(page.locator("#annotate .notice")).to_contain_text("You have no tasks left", timeout=20_000)
    made = store.heads(1)["Rea"]
    assert (made.correction.verdict, len(made.correction.prompts[0].points)) == (Verdict.FIX, 3)
    assert (made.parent_id, made.origin_id) == (None, saved.id)
    painted = made.correction.objects[0].painted
    assert painted is not None
    assert np.array_equal(painted, spot)
    page.get_by_role("tab", name="Review").click()
    expect(revision(page, made.id).locator(".badge")).to_have_text("Current")


def test_three_pictures_move_as_one(review_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    page = open_tab(visit, review_app.url)
    compared(page, "Policy", "revision 3", iou(POLICY, BEN))

    def views() -> set[str]:
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return {str(each.evaluate("e => e.style.transform")) for each in page.locator("#review .stage-picture").all()}

    (whole,) = views()
    page.get_by_role("button", name="Zoom in").click()
    (nearer,) = views()
    assert nearer != whole
    page.locator(".pane.is-difference .pane-frame").focus()
    page.keyboard.press("ArrowLeft")
    assert views() != {nearer}
    page.keyboard.press("0")
    assert views() == {whole}
    box = page.locator(".pane.is-second .pane-frame").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    (zoomed,) = views()
    assert zoomed != whole
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 40, steps=3)
    page.mouse.up()
    assert views() != {zoomed}
    page.get_by_role("button", name="Prompts").click()
    expect(page.locator("#review [data-mark]")).to_have_count(0)


def test_progress_says_what_the_store_counts(review_app: ScriptedApp, visit: Callable[..., Page]) -> None:
    page = open_tab(visit, review_app.url, "Progress")
    expect(page.locator(".progress-done")).to_have_text("2 of 2 tasks decided")
    rows = page.locator(".progress-table tr:has(th[scope=row])")
    assert [rows.nth(index).locator("th").text_content() for index in range(4)] == [
        "Everybody",
        NAME,
        "Ann",
        "scripted policy · c0ffee",
    ]
    ann = rows.nth(2)
    expect(ann.locator("[data-column=Decided]")).to_have_text("2")
    expect(ann.locator(".verdict-bar")).to_have_attribute("aria-label", "Accepted 0, Fixed 1, Rejected 1, Skipped 0")
    expect(ann.locator("[data-column='Clicks each']")).to_have_text("2.0")
    expect(ann.locator("[data-column='IoU gained']")).to_have_text(f"{1 - iou(POLICY, ANN):.3f}")
    expect(page.locator(".progress-pairs li")).to_have_text(f"{NAME} and Ann{iou(ANN, BEN):.3f}")
    parts = [
        float(row.locator("[data-column=Decided] .figure-bar").evaluate("e => e.style.getPropertyValue('--part')"))
        for row in (rows.nth(1), ann)
    ]
    decided = [int(row.locator("[data-column=Decided]").inner_text()) for row in (rows.nth(1), ann)]
    assert parts == pytest.approx([count / max(decided) for count in decided])
    assert rows.nth(0).locator(".figure-bar").count() == 0
    titles = [text.split("up to")[0].strip() for text in page.locator(".chart figcaption").all_inner_texts()]
    assert titles == ["Decided per day", "Per hour", "Clicks each", "Seconds each", "IoU gained"]
    expect(page.locator(".chart-plot").first).to_have_attribute("aria-label", re.compile("^Decided per day: .* 3$"))
    assert page.evaluate("window.hacked") is None
    assert page.locator("#progress :is(b, i, script)").count() == 0


@pytest.mark.parametrize("tab", ["Review", "Progress"])
def test_the_tabs_are_legible_and_hold_still(review_app: ScriptedApp, visit: Callable[..., Page], tab: str) -> None:
    page = open_tab(visit, review_app.url, tab)
    if tab == "Review":
        compared(page, "Policy", "revision 3", iou(POLICY, BEN))
    else:
        expect(page.locator(".progress-table")).to_be_visible()
    for width in (390, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        if tab == "Progress":
            whole = "e => e.scrollWidth <= e.clientWidth && e.getBoundingClientRect().right <= innerWidth"
            assert page.locator(".progress-table").evaluate(whole), width
        for name in ("Run", "Annotate", "Review", "Progress", "Guide"):
            expect(page.get_by_role("tab", name=name)).to_be_in_viewport()
        for scheme in ("light", "dark"):
            switch_scheme(page, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            ratio, text = page.evaluate(LOWEST_CONTRAST)
            assert ratio >= 4.5, (width, scheme, text)
    if tab == "Review":
        page.set_viewport_size({"width": 1280, "height": 900})
        places = [page.locator(f".pane.is-{pane} .pane-frame").evaluate(PLACE) for pane in ("first", "difference")]
        page.fill("#reviewer-name", "Rea")
        revision(page, 2).get_by_role("radio", name="A: revision 2").check()
        compared(page, "Ann", "revision 3", iou(ANN, BEN))
        revision(page, 2).get_by_role("button", name="Restore").click()
        expect(page.locator(".review-status")).to_contain_text("restored as revision 4")
        assert places == [
            page.locator(f".pane.is-{pane} .pane-frame").evaluate(PLACE) for pane in ("first", "difference")
        ], "the pictures moved while it worked"


def test_the_api_drives_a_whole_review(review_app: ScriptedApp) -> None:
    store = review_app.store
    client = Client(review_app.url, verbose=False)
    listed = client.predict("", "", None, api_name="/decided_tasks")
    assert [each["task"] for each in listed["tasks"]] == [1, 2]
    reply = client.predict(1, api_name="/review_task")
    assert (reply["first"], reply["second"]) == ("prediction 1", "revision 3")
    assert [each["revision"] for each in client.predict(1, api_name="/history")] == [3, 2]
    found = client.predict(1, "revision 2", "revision 3", api_name="/compare")
    assert found["iou"] == iou(ANN, BEN)
    assert client.predict("Rea", 1, 2, api_name="/make_current") == {"current": 2, "chosen_by": "Rea"}
    restored = client.predict("Rea", 3, None, api_name="/restore")
    assert restored == {"revision": 4, "current": 2}
    assert client.predict("Rea", 3, None, api_name="/restore")["stale"] == 4
    assert client.predict("Rea", 1, None, api_name="/make_current")["current"] == store.task(1).current_id == 4
    assert client.predict(api_name="/statistics")["total"]["done"] == 4
    for arguments, endpoint in (
        ((99,), "/review_task"),
        ((1, "policy", "revision 2"), "/compare"),
        (("", 1, 2), "/make_current"),
        (("Rea", 1, 1), "/make_current"),
        (("Rea", 99), "/restore"),
    ):
        with pytest.raises(AppError):
            client.predict(*arguments, api_name=endpoint)
    assert list(store.verify()) == []
