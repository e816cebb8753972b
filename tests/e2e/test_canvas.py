"""The canvas by real input: each row of the list that `?` shows, by what reaches the server and the database."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Response, Route, expect

from segr1_app.store import AnnotationStore
from tests.e2e.canvas_checks import CHECKS, TOUCHED, Near, only_point
from tests.e2e.canvas_page import CanvasPage, upload
from tests.e2e.conftest import ScriptedApp
from tests.scenes import ellipse_scene

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SERVER = re.compile("component_server")
SIZES = {"wide": (1600, 400), "tall": (300, 1200), "small": (96, 64)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for name, (width, height) in SIZES.items():
        Image.fromarray(ellipse_scene(width, height, (0.5, 0.5), (0.25, 0.3))[0].pixels).save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in SIZES}


def run_without_answer(app: ScriptedApp, canvas: CanvasPage) -> None:
    """Ask the policy, which draws nothing: from now on what is saved goes into the database."""
    app.policy.pieces = ["<think> Nothing is there. </think>"]
    canvas.page.click("#run-button")
    canvas.page.wait_for_selector("[data-phase=done]", timeout=30_000)
    canvas.settle()


def check_stored(store: AnnotationStore, canvas: CanvasPage) -> None:
    """Save the canvas, and look for what is on it in the database."""

    def is_save(response: Response) -> bool:
        return '"fn_name":"save"' in (response.request.post_data or "")

    on_canvas = [each for each in canvas.objects if any(each[part] for part in ("box", "points", "strokes", "start"))]
    with canvas.page.expect_response(is_save, timeout=30_000) as answer:
        canvas.press("Control+s")
    saved = re.search(r"as revision (\d+) of", answer.value.json()["message"])
    assert saved is not None
    stored = store.revision(int(saved[1])).correction.objects
    assert [made.prompt.box and list(made.prompt.box.xyxy) for made in stored] == [each["box"] for each in on_canvas]
    assert [[asdict(point) for point in made.prompt.points] for made in stored] == [
        each["points"] for each in on_canvas
    ]
    for made, each in zip(stored, on_canvas, strict=True):
        painted = any(not stroke["erase"] for stroke in each["strokes"])
        assert (made.painted is not None) is painted
        assert (made.refined_from is not None) is (each["start"] is not None)


def test_every_row_of_the_list_is_checked(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    canvas = upload(visit(scripted_app.url), pictures["small"], SIZES["small"])
    canvas.press("?")
    rows = canvas.page.locator(".key-list dt").all_inner_texts()
    assert set(rows) == set(CHECKS) | TOUCHED
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("zoomed", [False, True], ids=["whole", "zoomed and panned"])
@pytest.mark.parametrize("shape", ["wide", "tall"])
def test_every_gesture_and_key(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path], shape: str, zoomed: bool
) -> None:
    canvas = upload(visit(scripted_app.url, 1280, 900), pictures[shape], SIZES[shape])
    run_without_answer(scripted_app, canvas)
    if zoomed:
        canvas.press("+", "+", "+", "+", "+")
        x, y = canvas.centre()
        canvas.drag((x, y), (x + 40 / canvas.scale(), y - 25 / canvas.scale()), button="middle")
    for row, check in CHECKS.items():
        canvas.clear()
        try:
            check(canvas)
            check_stored(scripted_app.store, canvas)
        except AssertionError as error:
            raise AssertionError(f"{row}: {error}") from error


def test_the_reward_of_a_large_picture_is_exact_once_one_pauses(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    canvas = upload(visit(scripted_app.url, 1280, 900), pictures["wide"], SIZES["wide"])
    run_without_answer(scripted_app, canvas)
    canvas.drag((400, 60), (1200, 340))
    canvas.press("b")
    canvas.drag((700, 200), (900, 200))
    note = canvas.page.locator(".reward-note")
    expect(note).to_have_text("Your prompts, against what you painted.", timeout=20_000)
    assert canvas.sent[-1]["exact"]
    assert "exact" not in canvas.sent[-2]


def drag_by(canvas: CanvasPage, place: tuple[float, float], *ways: tuple[int, int], button: Any = "left") -> None:
    """Press at a place and let go elsewhere, as many screen pixels away."""
    x, y = canvas.at(place)
    canvas.page.mouse.move(x, y)
    canvas.page.mouse.down(button=button)
    for dx, dy in ways:
        canvas.page.mouse.move(x + dx, y + dy, steps=2)
    canvas.page.mouse.up(button=button)
    canvas.settle()


def test_a_click_that_wanders_is_a_click(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    canvas = upload(visit(scripted_app.url), pictures["wide"], SIZES["wide"])
    canvas.drag((200, 60), (900, 340))
    box = canvas.object["box"]
    drag_by(canvas, (400, 200), (6, 6))
    drag_by(canvas, (500, 200), (6, 0), button="right")
    drag_by(canvas, (600, 200), (40, 30), button="right")
    canvas.page.keyboard.down("Shift")
    drag_by(canvas, (700, 200), (-6, 5))
    canvas.page.keyboard.up("Shift")
    drag_by(canvas, (800, 200), (60, 4))
    drag_by(canvas, (1000, 200), (60, 40), (3, 3))
    points = canvas.object["points"]
    assert np.allclose(
        [(point["x"], point["y"]) for point in points],
        [(400, 200), (500, 200), (600, 200), (700, 200), (800, 200), (1000, 200)],
        atol=1 / canvas.scale() + 0.02,
    )
    assert [point["label"] for point in points] == [1, 0, 0, 0, 1, 1]
    assert canvas.object["box"] == box
    assert canvas.page.locator("#stage [data-mark=box]").count() == 1
    drag_by(canvas, (1100, 200), (9, 9))
    assert canvas.object["box"] == Near(canvas, 1100, 200, 1100 + 9 / canvas.scale(), 200 + 9 / canvas.scale())


def test_escape_gives_up_a_drag(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    canvas = upload(visit(scripted_app.url), pictures["wide"], SIZES["wide"])
    canvas.click((400, 200))
    before = canvas.object
    for start in ((200, 60), (400, 200)):
        for tool in ("v", "b"):
            canvas.press(tool)
            canvas.page.mouse.move(*canvas.at(start))
            canvas.page.mouse.down()
            canvas.page.mouse.move(*canvas.at((900, 340)), steps=3)
            canvas.page.keyboard.press("Escape")
            canvas.page.mouse.move(*canvas.at((1000, 340)), steps=3)
            canvas.page.mouse.up()
            assert canvas.object == before
    expect(canvas.frame).to_be_focused()
    canvas.press("Control+z")
    assert canvas.object["points"] == [], "what was given up is not a step of undo"


def test_keys_work_wherever_one_clicked(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    canvas = upload(visit(scripted_app.url), pictures["wide"], SIZES["wide"])
    page, keyboard = canvas.page, canvas.page.keyboard
    canvas.press("Escape")
    keyboard.press("p")
    assert len(canvas.object["points"]) == 1
    page.locator(".header-line h1").click()
    keyboard.press("p")
    assert len(canvas.object["points"]) == 2
    x = canvas.object["points"][1]["x"]
    keyboard.press("ArrowRight")
    assert canvas.object["points"][1]["x"] == pytest.approx(x + 1)
    keyboard.press("Control+z")
    keyboard.press("Control+z")
    assert len(canvas.object["points"]) == 1
    # With the pointer over the picture, Space moves it from here, too.
    where = canvas.at((800, 200))
    page.mouse.move(*where)
    keyboard.down(" ")
    canvas.drag((800, 200), (880, 200))
    keyboard.up(" ")
    assert canvas.at((800, 200))[0] > where[0] + 20

    states = len(canvas.sent)
    page.get_by_role("button", name="Brush").focus()
    keyboard.press("Enter")
    expect(canvas.frame).to_have_attribute("data-tool", "brush")
    keyboard.press("v")
    page.get_by_label("Instruction").focus()
    keyboard.type("pf")
    page.locator(".header-line h1").click()
    keyboard.press("?")
    keyboard.press("p")
    keyboard.press("Escape")
    page.get_by_role("tab", name="Review").click()
    keyboard.press("p")
    page.get_by_role("tab", name="Run").click()
    canvas.settle()
    assert len(canvas.sent) == states


def test_the_list_of_keys_is_read_to_its_end(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    canvas = upload(visit(scripted_app.url, 1280, 800), pictures["small"], SIZES["small"])
    canvas.press("?")
    chips = canvas.page.locator(".key-list kbd").evaluate_all("all => all.map(each => each.getClientRects().length)")
    assert set(chips) == {1}
    for width, height in ((1280, 800), (390, 640)):
        canvas.page.set_viewport_size({"width": width, "height": height})
        for row in canvas.page.locator(".key-list dd").all():
            row.scroll_into_view_if_needed()
            place = row.bounding_box()
            assert place is not None
            assert place["y"] >= 0
            assert place["y"] + place["height"] <= height
            assert place["x"] + place["width"] <= width


def test_what_a_finger_has_no_keys_for(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    canvas = upload(visit(scripted_app.url, 390, 844, touch=True), pictures["wide"], SIZES["wide"])
    page, group = canvas.page, canvas.page.get_by_role("group", name="Selection")
    expect(group).to_be_hidden()

    def tap(name: str) -> None:
        button = page.get_by_role("button", name=name)
        place = button.bounding_box()
        assert place is not None
        assert min(place["width"], place["height"]) >= 44
        button.tap()
        canvas.settle()

    def touch(x: float, y: float) -> None:
        canvas.frame.scroll_into_view_if_needed()
        page.touchscreen.tap(*canvas.at((x, y)))
        canvas.settle()

    tools = page.locator("#stage .stage-tools").evaluate("e => e.offsetHeight")
    touch(800, 200)
    assert only_point(canvas) == (Near(canvas, 800, 200), 1)
    assert page.locator("#stage .stage-tools").evaluate("e => e.offsetHeight") == tools, (
        "the buttons have their room already"
    )
    tap("Flip the point")
    assert only_point(canvas)[1] == 0
    tap("Delete the point or box")
    assert canvas.object["points"] == []
    expect(group).to_be_hidden()
    tap("Brush")
    touch(400, 200)
    tap("Larger brush")
    touch(800, 200)
    tap("Smaller brush")
    touch(1200, 200)
    first, second, third = (stroke["radius"] for stroke in canvas.object["strokes"])
    assert (second, third) == (pytest.approx(1.25 * first), pytest.approx(first))
    tap("Remove the object")
    assert canvas.object["strokes"] == []


def test_fast_clicks_lose_none(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    canvas = upload(visit(scripted_app.url), pictures["wide"], SIZES["wide"])
    places = [(200 + 60 * index, 100 + 10 * (index % 7)) for index in range(20)]
    for x, y in [canvas.at(place) for place in places]:
        canvas.page.mouse.click(x, y)
    points = [(point["x"], point["y"]) for point in canvas.object["points"]]
    assert np.allclose(points, places, atol=1 / canvas.scale() + 0.02)
    assert len(canvas.sent) <= len(places) + 1


def test_a_late_answer_is_dropped(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    """The masks of an edit that was undone while the server thought must not come up afterwards."""
    canvas = upload(visit(scripted_app.url), pictures["wide"], SIZES["wide"])
    held: list[Route] = []

    def hold(route: Route) -> None:
        if held:
            route.continue_()
        held.append(route)

    canvas.page.route(SERVER, hold)
    canvas.page.mouse.click(*canvas.at((800, 200)))
    canvas.page.wait_for_timeout(100)
    canvas.page.keyboard.press("Control+z")
    canvas.page.wait_for_timeout(100)
    assert len(held) == 1
    held[0].continue_()
    canvas.settle()
    assert canvas.object["points"] == []
    assert canvas.painted() == 0


def test_a_server_that_is_gone_is_said_and_nothing_is_lost(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    canvas = upload(visit(scripted_app.url), pictures["wide"], SIZES["wide"])
    canvas.page.route(SERVER, lambda route: route.fulfill(json={"error": "gone"}))
    canvas.page.mouse.click(*canvas.at((800, 200)))
    expect(canvas.page.locator("#stage .stage-status")).to_contain_text("did not answer")
    canvas.page.unroute(SERVER)
    canvas.click((700, 200))
    assert len(canvas.object["points"]) == 2
    expect(canvas.page.locator("#stage .stage-status")).to_have_text("")


def test_hostile_names_are_text(
    scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]
) -> None:
    hostile = '<img src=x onerror="window.hacked=1">${window.hacked=2}{{value}}\u202eabc</script>'
    canvas = upload(visit(scripted_app.url), pictures["wide"], SIZES["wide"])
    canvas.click((800, 200))
    field = canvas.page.get_by_label("Class of object 1")
    field.fill(hostile)
    field.press("Tab")
    assert canvas.object["name"] == hostile
    canvas.press("Control+s")
    expect(canvas.page.locator("#stage .stage-results a").first).to_be_visible(timeout=20_000)
    expect(field).to_have_value(hostile)
    assert canvas.page.evaluate("window.hacked") is None
    # Typing a name is not a shortcut.
    field.fill("")
    field.press_sequentially("bfn")
    expect(canvas.frame).to_have_attribute("data-tool", "prompt")


def test_fingers(scripted_app: ScriptedApp, visit: Callable[..., Page], pictures: dict[str, Path]) -> None:
    """Tap, hold, drag, and two fingers that zoom and move, as a touch screen reports them."""
    canvas = upload(visit(scripted_app.url, 390, 844), pictures["wide"], SIZES["wide"])
    run_without_answer(scripted_app, canvas)
    canvas.frame.scroll_into_view_if_needed()
    session = canvas.page.context.new_cdp_session(canvas.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    tapped = canvas.at((800, 200))
    touch("touchStart", tapped)
    touch("touchEnd")
    canvas.settle()
    assert only_point(canvas) == (Near(canvas, 800, 200), 1)
    touch("touchStart", canvas.at((400, 100)))
    canvas.page.wait_for_timeout(600)
    touch("touchEnd")
    assert [point["label"] for point in canvas.object["points"]] == [1, 0]
    states, scale = len(canvas.sent), canvas.scale()
    a, b = canvas.at((600, 200)), canvas.at((1000, 200))
    touch("touchStart", a)
    touch("touchStart", a, b)
    for step in range(1, 6):
        touch("touchMove", (a[0] - 6 * step, a[1]), (b[0] + 6 * step, b[1]))
    touch("touchEnd")
    canvas.settle()
    assert canvas.scale() > 1.3 * scale
    assert canvas.object["box"] is None
    assert len(canvas.object["points"]) == 2
    assert len(canvas.sent) <= states + 1
    check_stored(scripted_app.store, canvas)
