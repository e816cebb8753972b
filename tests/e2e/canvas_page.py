"""A canvas in a browser, operated in pixels of the picture, which are converted to the browser's layout."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Request, expect

Point = tuple[float, float]


@dataclass
class CanvasPage:
    """The canvas of a page and the states that it sends to the server.

    Attributes:
        page: with a picture on the canvas under ``root``.
        size: of the picture.
        root: selector of the component.
    """

    page: Page
    size: tuple[int, int]
    root: str = "#stage"
    sent: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if "component_server" in request.url:
            body = request.post_data_json
            if body["fn_name"] == "decode":
                self.sent.append(body["data"])

    @property
    def frame(self) -> Any:
        return self.page.locator(f"{self.root} .stage-frame")

    def settle(self) -> None:
        """Wait until the newest edit is answered, and whatever else was done is drawn."""
        expect(self.frame).to_have_attribute("aria-busy", "false", timeout=30_000)
        # A task that has only just appeared cannot be decided yet.
        expect(self.page.locator(f"{self.root} .stage-frame[data-seen=false]")).to_have_count(0)
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The objects of the newest state that the server got."""
        self.settle()
        objects: list[dict[str, Any]] = self.sent[-1]["objects"]
        return objects

    @property
    def object(self) -> dict[str, Any]:
        """The only object."""
        (only,) = self.objects
        return only

    def at(self, place: Point) -> Point:
        """Where a place of the picture is on the screen."""
        box = self.page.locator(f"{self.root} .stage-picture").bounding_box()
        assert box is not None
        return box["x"] + place[0] * box["width"] / self.size[0], box["y"] + place[1] * box["height"] / self.size[1]

    def click(self, place: Point, **options: Any) -> None:
        self.page.mouse.click(*self.at(place), **options)
        self.settle()

    def drag(self, start: Point, *stops: Point, button: Any = "left") -> None:
        ways = [self.at(stop) for stop in stops]
        self.page.mouse.move(*self.at(start))
        self.page.mouse.down(button=button)
        for x, y in ways:
            self.page.mouse.move(x, y, steps=4)
        self.page.mouse.up(button=button)
        self.settle()

    def press(self, *keys: str) -> None:
        self.frame.focus()
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def scale(self) -> float:
        """Screen pixels per picture pixel."""
        box = self.page.locator(f"{self.root} .stage-picture").bounding_box()
        assert box is not None
        return float(box["width"] / self.size[0])

    def centre(self) -> Point:
        """The picture's place in the middle of the canvas."""
        box = self.frame.bounding_box()
        left, top = self.at((0, 0))
        scale = self.scale()
        return (box["x"] + box["width"] / 2 - left) / scale, (box["y"] + box["height"] / 2 - top) / scale

    def clear(self) -> None:
        """Back to an empty canvas with the first tool; the view stays."""
        for _ in range(len(self.objects)):
            self.press("Shift+Delete")
        self.press("v", "Escape")

    def painted(self) -> int:
        """How many pixels of the mask's layer are drawn on."""
        count: int = self.page.locator(f"{self.root} .stage-masks").evaluate(
            "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
            ".filter((v, i) => i % 4 === 3 && v).length"
        )
        return count


def upload(page: Page, file: Path, size: tuple[int, int]) -> CanvasPage:
    """The Run tab's canvas with a picture from a file."""
    canvas = CanvasPage(page, size)
    page.set_input_files("#picture input[type=file]", file)
    shown = page.locator("#stage .stage-picture")
    expect(shown).to_have_attribute("alt", f"Picture of {size[0]} by {size[1]} pixels", timeout=30_000)
    canvas.settle()
    return canvas
