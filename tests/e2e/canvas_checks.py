"""What every row of the list that `?` shows does to a canvas: one check each, by what reaches the server.

It is long because each row of that list has its own check.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from segr1_app.geometry import decode_rle
from tests.e2e.canvas_page import CanvasPage


class Near:
    """A place that the browser rounds to a screen pixel, compared within one."""

    def __init__(self, canvas: CanvasPage, *places: float) -> None:
        self.places, self.slack = places, 1 / canvas.scale() + 0.02

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | tuple) and np.allclose(self.places, other, rtol=0, atol=self.slack)

    def __repr__(self) -> str:
        return f"{self.places} within {self.slack:.2f}"

    __hash__ = None  # type: ignore[assignment]


def only_point(canvas: CanvasPage) -> tuple[list[float], int]:
    (point,) = canvas.object["points"]
    return [point["x"], point["y"]], point["label"]


def spots(canvas: CanvasPage) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Three places in sight, well apart on the screen, whatever the view: the middle, and to its sides."""
    x, y = (round(value, 1) for value in canvas.centre())
    across, down = min(60 / canvas.scale(), canvas.size[0] / 4), 24 / canvas.scale()
    return (x, y), (x - across, y - down), (x + 0.8 * across, y + down)


def check_click(c: CanvasPage) -> None:
    place, _, _ = spots(c)
    c.click(place)
    assert only_point(c) == (Near(c, *place), 1)


def check_negative(c: CanvasPage) -> None:
    place, other, _ = spots(c)
    c.click(place, button="right")
    assert only_point(c) == (Near(c, *place), 0)
    c.clear()
    c.page.keyboard.down("Shift")
    c.click(other)
    c.page.keyboard.up("Shift")
    assert only_point(c) == (Near(c, *other), 0)


def check_box(c: CanvasPage) -> None:
    _, a, b = spots(c)
    c.drag(b, a)
    assert c.object["box"] == Near(c, *a, *b)
    assert c.object["points"] == []


def check_drag_point(c: CanvasPage) -> None:
    place, a, b = spots(c)
    c.click(place)
    c.drag(place, a, b)
    assert only_point(c) == (Near(c, *b), 1)


def check_drag_edge(c: CanvasPage) -> None:
    (x, y), a, b = spots(c)
    c.drag(a, b)
    c.drag((a[0], y), (a[0] - 20 / c.scale(), y + 5 / c.scale()))
    assert c.object["box"] == Near(c, a[0] - 20 / c.scale(), a[1], *b)
    c.drag(b, (b[0] + 10 / c.scale(), b[1] - 6 / c.scale()))
    assert c.object["box"] == Near(c, a[0] - 20 / c.scale(), a[1], b[0] + 10 / c.scale(), b[1] - 6 / c.scale())
    assert c.object["points"] == [], f"around {x}"


def check_wheel(c: CanvasPage) -> None:
    _, place, _ = spots(c)
    where, before = c.at(place), c.scale()
    c.page.mouse.move(*where)
    c.page.mouse.wheel(0, -200)
    c.page.wait_for_timeout(100)
    c.settle()
    assert c.scale() > 1.2 * before
    assert c.at(place) == pytest.approx(where, abs=1)
    c.click(place)
    assert only_point(c) == (Near(c, *place), 1)
    c.page.mouse.wheel(0, 200)
    c.page.wait_for_timeout(100)
    c.settle()
    assert c.scale() == pytest.approx(before, rel=0.01)


def check_pan(c: CanvasPage) -> None:
    place, _, _ = spots(c)
    where = c.at(place)
    states = len(c.sent)
    c.frame.focus()
    c.page.keyboard.down(" ")
    c.drag(place, (place[0] + 50 / c.scale(), place[1] + 20 / c.scale()))
    c.page.keyboard.up(" ")
    assert c.at(place) == pytest.approx((where[0] + 50, where[1] + 20), abs=1.5)
    c.drag(place, (place[0] - 50 / c.scale(), place[1] - 20 / c.scale()), button="middle")
    assert c.at(place) == pytest.approx(where, abs=3)
    assert len(c.sent) == states, "looking is not an edit"
    c.click(place)
    assert only_point(c) == (Near(c, *place), 1)


def check_marks(c: CanvasPage) -> None:
    place, a, b = spots(c)
    c.drag(a, b)
    c.click(place)
    x1, y1, x2, y2 = c.object["box"]
    status = c.page.locator(f"{c.root} .stage-status")
    c.press("Escape", "m")
    left, top, right, bottom = (int(edge + 0.5) for edge in (x1, y1, x2, y2))
    expect(status).to_have_text(f"Box from {left}, {top} to {right}, {bottom}")
    c.press("ArrowRight")
    assert c.object["box"] == pytest.approx([x1 + 1, y1, x2 + 1, y2])
    c.press("m")
    expect(status).to_contain_text("Positive point 1 of 1, at ")
    c.press("f")
    assert only_point(c) == (Near(c, *place), 0)
    c.press("Shift+m", "Delete")
    assert c.object["box"] is None
    assert only_point(c) == (Near(c, *place), 0)


def check_flip(c: CanvasPage) -> None:
    c.click(spots(c)[0])
    c.press("f")
    assert only_point(c)[1] == 0
    c.press("f")
    assert only_point(c)[1] == 1


def check_delete(c: CanvasPage) -> None:
    place, a, b = spots(c)
    c.drag(a, b)
    c.click(place)
    c.press("Delete")
    assert c.object["points"] == []
    assert c.object["box"] == Near(c, *a, *b)
    c.click((a[0], place[1]))
    c.press("Backspace")
    assert c.object["box"] is None


def check_arrow(key: str, dx: int, dy: int) -> Callable[[CanvasPage], None]:
    def check(c: CanvasPage) -> None:
        place, a, b = spots(c)
        c.click(place)
        (x, y), _ = only_point(c)
        c.press(key)
        assert only_point(c)[0] == pytest.approx([x + dx, y + dy])
        c.press(f"Shift+{key}")
        assert only_point(c)[0] == pytest.approx([x + 11 * dx, y + 11 * dy])
        c.clear()
        c.drag(a, b)
        x1, y1, x2, y2 = c.object["box"]
        c.press(key)
        assert c.object["box"] == pytest.approx([x1 + dx, y1 + dy, x2 + dx, y2 + dy])

    return check


def check_middle(key: str, label: int) -> Callable[[CanvasPage], None]:
    def check(c: CanvasPage) -> None:
        c.press(key)
        assert only_point(c) == (Near(c, *c.centre()), label)

    return check


def check_objects(c: CanvasPage) -> None:
    place, a, b = spots(c)
    c.click(place)
    c.press("n")
    c.click(a)
    assert [len(each["points"]) for each in c.objects] == [1, 1]
    c.press("Tab")
    c.click(b)
    assert [len(each["points"]) for each in c.objects] == [2, 1]
    c.press("Shift+Tab", "Delete")
    assert [len(each["points"]) for each in c.objects] == [2, 1], "no point was chosen in the other object"
    c.press("Shift+Delete")
    assert [len(each["points"]) for each in c.objects] == [2]


def check_refine(c: CanvasPage) -> None:
    _, a, b = spots(c)
    c.press("b")
    c.drag(a, b)
    strokes = c.object["strokes"]
    assert len(strokes) == 1
    c.press("v", "r")
    assert c.object["strokes"] == []
    start = decode_rle(c.object["start"])
    (x, y), scale = strokes[0]["path"][0], start.shape[1] / c.size[0]
    assert start[int(y * scale), int(x * scale)]


def check_clean(c: CanvasPage) -> None:
    (x, y), half = spots(c)[0], 1.25 * max(c.size) / 50
    c.press("b")
    corners = [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    c.drag(*corners, corners[0])
    c.press("v")
    layer, status = (c.page.locator(f"{c.root} .{name}") for name in ("stage-masks", "stage-status"))
    rough = layer.evaluate("c => c.toDataURL()")
    c.press("c")
    expect(status).to_contain_text("small holes filled")
    assert c.object["clean"]
    assert layer.evaluate("c => c.toDataURL()") != rough
    c.press("c")
    expect(status).to_have_text("")
    assert not c.object["clean"]
    assert layer.evaluate("c => c.toDataURL()") == rough
    c.press("Control+z")
    assert c.object["clean"]


def check_paint(key: str, erase: bool) -> Callable[[CanvasPage], None]:
    def check(c: CanvasPage) -> None:
        _, a, b = spots(c)
        c.press(key)
        expect(c.page.locator(f"{c.root} .stage-frame")).to_have_attribute("data-tool", "eraser" if erase else "brush")
        c.drag(a, b)
        (stroke,) = c.object["strokes"]
        assert stroke["erase"] is erase
        assert stroke["path"][0] == Near(c, *a)
        assert stroke["path"][-1] == Near(c, *b)
        assert (c.painted() > 0) is not erase
        c.press("v")
        c.click(a)
        assert len(c.object["strokes"]) == 1
        assert only_point(c) == (Near(c, *a), 1)

    return check


def check_lasso(key: str, erase: bool) -> Callable[[CanvasPage], None]:
    def check(c: CanvasPage) -> None:
        (x, _), a, b = spots(c)
        c.press(key)
        expect(c.page.locator(f"{c.root} .stage-frame")).to_have_attribute("data-tool", "cut" if erase else "lasso")
        c.drag(a, (b[0], a[1]), b, (a[0], b[1]))
        (area,) = c.object["strokes"]
        assert (area["erase"], area["radius"]) == (erase, None)
        assert [area["path"][0], area["path"][-1]] == [Near(c, *a), Near(c, a[0], b[1])]
        assert len(area["path"]) == 4, "what lies between the corners is left out"
        assert (c.painted() > 0) is not erase
        c.press("Control+z")
        assert c.object["strokes"] == []
        # The same by corners: a click on the first one closes it.
        for place in (a, (b[0], a[1]), b, (x, b[1]), a):
            c.click(place)
        (area,) = c.object["strokes"]
        assert area["path"] == [Near(c, *a), Near(c, b[0], a[1]), Near(c, *b), Near(c, x, b[1])]

    return check


def check_polygon(c: CanvasPage) -> None:
    (x, y), a, b = spots(c)
    corners = c.page.locator(f"{c.root} [data-mark=corner]")
    c.press("l")
    before = c.objects
    for place in (a, (b[0], a[1]), b, (x, y)):
        c.click(place)
    expect(corners).to_have_count(4)
    c.press("Delete")
    expect(corners).to_have_count(3)
    # A drag moves a corner.
    c.drag(b, (b[0], y))
    assert c.objects == before, "an open polygon is no edit"
    c.press("Enter")
    expect(corners).to_have_count(0)
    assert c.object["strokes"][0]["path"] == [Near(c, *a), Near(c, b[0], a[1]), Near(c, b[0], y)]
    for place in (a, (b[0], a[1])):
        c.click(place)
    c.page.mouse.dblclick(*c.at(b))
    expect(corners).to_have_count(0)
    assert c.objects[0]["strokes"][1]["path"] == [Near(c, *a), Near(c, b[0], a[1]), Near(c, *b)]
    c.click(a)
    c.press("Escape")
    expect(corners).to_have_count(0)
    assert len(c.objects[0]["strokes"]) == 2


def check_brush_size(key: str, factor: float) -> Callable[[CanvasPage], None]:
    def check(c: CanvasPage) -> None:
        _, a, b = spots(c)
        c.press("b")
        c.click(a)
        c.press(key)
        c.click(b)
        first, second = (stroke["radius"] for stroke in c.object["strokes"])
        assert second == pytest.approx(first * factor)
        c.press("[" if key == "]" else "]")

    return check


def check_fit(c: CanvasPage) -> None:
    before = c.scale()
    c.press("+", "+", "0")
    frame = c.frame.bounding_box()
    assert c.scale() == pytest.approx(min(frame["width"] / c.size[0], frame["height"] / c.size[1]), rel=0.01)
    check_click(c)
    for _ in range(20):
        if c.scale() >= 0.99 * before:
            break
        c.press("+")


def check_fit_object(c: CanvasPage) -> None:
    before = c.scale()
    _, (left, top), (right, bottom) = spots(c)
    c.press("l")
    c.drag((left, top), (right, top), (right, bottom), (left, bottom))
    c.press("g")
    frame = c.frame.bounding_box()
    filling = 0.8 * min(frame["width"] / (right - left), frame["height"] / (bottom - top))
    # The mask that it fits is of the live size, which is coarser than a large picture.
    assert c.scale() == pytest.approx(min(filling, 32), rel=0.2)
    x, y = c.centre()
    assert left < x < right
    assert top < y < bottom
    c.press("0")
    for _ in range(20):
        if c.scale() >= 0.99 * before:
            break
        c.press("+")


def check_duplicate(c: CanvasPage) -> None:
    place, a, b = spots(c)
    c.press("Shift+N")
    assert len(c.objects) == 1, "nothing to copy"
    c.drag(a, b)
    c.press("Shift+N")
    first, second = c.objects
    assert first == second
    c.click(place)
    first, second = c.objects
    assert (len(first["points"]), len(second["points"])) == (0, 1)


def check_zoom(key: str, factor: float, back: str) -> Callable[[CanvasPage], None]:
    def check(c: CanvasPage) -> None:
        before = c.scale()
        c.press(key)
        assert c.scale() == pytest.approx(before * factor, rel=0.01)
        check_click(c)
        c.press(back)

    return check


def check_clear_prompts(c: CanvasPage) -> None:
    check_box(c)
    place, _, _ = spots(c)
    c.click(place)
    c.press("w")
    assert (c.object["box"], c.object["points"]) == (None, [])
    c.press("Control+z")
    assert c.object["box"] is not None


def check_answer(c: CanvasPage) -> None:
    check_click(c)
    edited = c.objects
    c.press("q")
    assert c.object["points"] == []
    c.press("Control+z")
    assert c.objects == edited


def check_one_to_one(c: CanvasPage) -> None:
    before, middle = c.scale(), c.centre()
    c.press("z")
    assert c.scale() == pytest.approx(1)
    assert c.centre() == pytest.approx(middle, abs=1)
    check_click(c)
    factor = np.log(before) / np.log(1.25)
    c.press(*["+" if factor > 0 else "-"] * abs(round(factor)))


def check_opacity(key: str, stronger: bool) -> Callable[[CanvasPage], None]:
    def opacity(c: CanvasPage, place: tuple[float, float]) -> int:
        frame, (x, y) = c.frame.bounding_box(), c.at(place)
        alpha: int = c.page.locator(f"{c.root} .stage-masks").evaluate(
            "(c, [x, y]) => c.getContext('2d').getImageData(x, y, 1, 1).data[3]", [x - frame["x"], y - frame["y"]]
        )
        return alpha

    def check(c: CanvasPage) -> None:
        place, a, b = spots(c)
        c.press("b", "]", "]", "]")
        c.drag(a, place, b)
        before = opacity(c, place)
        c.press(key)
        assert (opacity(c, place) > before) is stronger
        assert opacity(c, place) != before
        c.press("," if stronger else ".", "[", "[", "[")
        assert opacity(c, place) == before

    return check


def check_outline(c: CanvasPage) -> None:
    place, a, b = spots(c)
    c.press("b")
    c.drag(a, place, b)
    filled = c.painted()
    c.press("o")
    assert 0 < c.painted() < filled
    c.press("o")
    assert c.painted() == filled


def check_hide(c: CanvasPage) -> None:
    layer = c.page.locator(f"{c.root} .stage-masks")
    c.press("h")
    expect(layer).to_be_hidden()
    c.press("h")
    expect(layer).to_be_visible()
    assert c.object["points"] == []


def check_undo(c: CanvasPage) -> None:
    place, a, b = spots(c)
    c.click(place)
    c.drag(a, b)
    c.press("f")
    with_both = c.object
    c.press("Control+z")
    assert c.object["box"] is None
    c.press("Control+z")
    assert c.object["points"] == []
    c.press("Control+Shift+z", "Control+y")
    assert c.object == with_both


def check_save(c: CanvasPage) -> None:
    place, _, _ = spots(c)
    c.click(place)
    c.press("Control+s")
    link = c.page.locator(f"{c.root} .stage-results a", has_text="JSON")
    expect(link).to_be_visible(timeout=20_000)
    with c.page.expect_download() as download:
        link.click()
    record = json.loads(Path(download.value.path()).read_text())
    (point,) = record["objects"][0]["points"]
    assert [point["x"], point["y"]] == Near(c, *place)
    assert record["objects"][0]["labels"] == [1]
    assert decode_rle(record["mask"]).shape == (c.size[1], c.size[0])


def check_leave(c: CanvasPage) -> None:
    place, _, _ = spots(c)
    c.click(place)
    c.press("n")
    c.click(spots(c)[1])
    c.press("Escape")
    expect(c.frame).not_to_be_focused()
    c.page.keyboard.press("Tab")
    assert c.page.evaluate("document.activeElement.closest('.stage-tools') !== null")


def check_help(c: CanvasPage) -> None:
    c.press("?")
    expect(c.page.get_by_role("dialog")).to_be_visible()
    c.page.keyboard.press("Escape")
    expect(c.page.get_by_role("dialog")).to_be_hidden()


CHECKS: dict[str, Callable[[CanvasPage], None]] = {
    "Click": check_click,
    "Right click or Shift+Click": check_negative,
    "Drag": check_box,
    "Drag a point": check_drag_point,
    "Drag an edge or a corner": check_drag_edge,
    "Wheel": check_wheel,
    "Space+Drag or Middle button": check_pan,
    "M": check_marks,
    "Shift+M": check_marks,
    "F": check_flip,
    "W": check_clear_prompts,
    "Delete": check_delete,
    "←": check_arrow("ArrowLeft", -1, 0),
    "→": check_arrow("ArrowRight", 1, 0),
    "↑": check_arrow("ArrowUp", 0, -1),
    "↓": check_arrow("ArrowDown", 0, 1),
    "P": check_middle("p", 1),
    "Shift+P": check_middle("Shift+P", 0),
    "Tab": check_objects,
    "Shift+Tab": check_objects,
    "N": check_objects,
    "Shift+N": check_duplicate,
    "Shift+Delete": check_objects,
    "R": check_refine,
    "C": check_clean,
    "B": check_paint("b", False),
    "E": check_paint("e", True),
    "L": check_lasso("l", False),
    "Shift+L": check_lasso("Shift+L", True),
    "Double click or Enter": check_polygon,
    "V": check_paint("b", False),
    "[": check_brush_size("[", 0.8),
    "]": check_brush_size("]", 1.25),
    "0": check_fit,
    "G": check_fit_object,
    "Z": check_one_to_one,
    "+": check_zoom("+", 1.25, "-"),
    "−": check_zoom("-", 0.8, "+"),
    ",": check_opacity(",", False),
    ".": check_opacity(".", True),
    "O": check_outline,
    "H": check_hide,
    "Ctrl+Z": check_undo,
    "Ctrl+Shift+Z or Ctrl+Y": check_undo,
    "Q": check_answer,
    "Ctrl+S": check_save,
    "Esc": check_leave,
    "?": check_help,
}
TOUCHED = {"Tap or Hold", "Two fingers"}
