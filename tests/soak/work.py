"""What clients do all day: annotate, review, run the models, and administer; each for as long as the server lives."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from segr1_app.images.pictures import Picture, picture_from_array
from segr1_app.store.exchange.formats import FORMATS
from tests.scenes import ellipse_scene
from tests.soak.client import Client
from tests.soak.ledger import Save

SIZES: Final = ((1280, 960), (1280, 960), (1280, 960), (4000, 3000))
"""Sizes of the pictures that are annotated: every fourth is as large as a telephone takes them."""
SQUARE: Final = 4
VERDICTS: Final = ("accept", "fix", "fix", "reject", "skip")


def scene(number: int, size: tuple[int, int]) -> Picture:
    """A picture of even squares, which compress fast: the time of the soak is the server's."""
    centre = (0.3 + 0.05 * (number % 9), 0.4 + 0.04 * (number % 5))
    small, _ = ellipse_scene(size[0] // SQUARE, size[1] // SQUARE, centre, (0.15, 0.2), seed=number)
    return picture_from_array(small.pixels.repeat(SQUARE, axis=0).repeat(SQUARE, axis=1))


def png(picture: Picture) -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    Image.fromarray(picture.pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


@dataclass
class Annotator:
    """Takes tasks, clicks, keeps drafts, and decides.

    Args:
        client: their page.
        rng: chooses what they do.
        tasks: how many there are.
    """

    client: Client
    rng: random.Random
    tasks: int
    saved: int = 0

    def turn(self) -> None:
        """One task from its first look to its decision; an open one first, then any."""
        ask, name = self.client.ask, self.client.name
        held = ask("annotate", "next_task", annotator=name, order="imported")
        if held.get("task") is None:
            held = ask("annotate", "open_task", annotator=name, task=self.rng.randint(1, self.tasks))
        if "failure" in held or held.get("task") is None:
            return  # somebody else holds it
        width, height = held["canvas"]["image_size"]
        drawn: dict[str, Any] = {"box": None, "points": [], "name": "", "strokes": [], "start": None}
        for click in range(self.rng.randint(2, 6)):
            place = {"x": self.rng.randrange(width), "y": self.rng.randrange(height), "label": int(click % 3 != 2)}
            drawn["points"].append(place)
            self.client.click("annotate", held["canvas"]["key"], [drawn])
            if self.rng.random() < 0.5:
                ask("annotate", "put_draft", annotator=name, task=held["task"], content={"objects": [drawn]})
        if self.rng.random() < 0.3:
            path = [[self.rng.randrange(width), self.rng.randrange(height)] for _ in range(8)]
            drawn["strokes"].append({"erase": False, "radius": 12, "path": path})
        self._decide(held, drawn)

    def _decide(self, held: dict[str, Any], drawn: dict[str, Any]) -> None:
        verdict = self.rng.choice(VERDICTS)
        self.saved += 1
        comment = f"{self.client.name}, {self.saved}, on {held['parent']}"
        unanswered = self.client.ledger.unanswered
        unanswered.add(comment)
        reply = self.client.ask(
            "annotate",
            "save_decision",
            annotator=self.client.name,
            task=held["task"],
            verdict=verdict,
            objects=[drawn] if verdict in ("accept", "fix") else [],
            reason="grounding" if verdict == "reject" else None,
            comment=comment,
            seconds=7.5,
            clicks=len(drawn["points"]),
            prediction=held["prediction"],
            parent=held["parent"],
        )
        unanswered.discard(comment)
        if "revision" in reply:
            self.client.ledger.saves.add(Save(reply["revision"], held["task"], self.client.name, comment))


@dataclass
class Reviewer:
    """Looks through what was decided, compares, chooses and restores."""

    client: Client
    rng: random.Random

    def turn(self) -> None:
        """One decided task."""
        ask = self.client.ask
        listed = ask("review", "decided_tasks", verdict=self.rng.choice(("", "fix", "accept"))).get("tasks")
        ask("progress", "statistics")
        if not listed:
            time.sleep(0.2)
            return
        task = self.rng.choice(listed)["task"]
        seen = ask("review", "review_task", task=task)
        if "failure" in seen:
            return
        ask("review", "compare", task=task, first=seen["first"], second=seen["second"])
        revision = self.rng.choice(seen["revisions"])["revision"]
        kind = self.rng.random()
        if kind < 0.3:
            ask("review", "make_current", reviewer=self.client.name, task=task, revision=revision)
        elif kind < 0.4:
            ask("review", "restore", reviewer=self.client.name, revision=revision)
        self.client.call("progress", self.client.name)


@dataclass
class Visitor:
    """Uploads pictures, has the models run on them, and corrects the answer."""

    client: Client
    rng: random.Random

    def turn(self) -> None:
        """One picture."""
        size = self.rng.choice(((640, 480), (1600, 1200)))
        file = self.client.upload("scene.png", png(scene(self.rng.randrange(1000), size)))
        if self.rng.random() < 0.5:
            self.client.call("predict", file, "Find the largest object.", "quick")
            return
        # A run sends only the values that changed; the last message need not hold the canvas.
        shown = self.client.call("show", file)
        self.client.call("run", file, "Find the largest object.", "quick")
        key = (shown or [{}])[0].get("key")
        drawn = {"box": None, "points": [{"x": size[0] // 2, "y": size[1] // 2, "label": 1}]}
        if key and "failure" not in self.client.click("stage", key, [drawn]):
            self.client.ask("stage", "save", picture=key, objects=[drawn], annotator=self.client.name)


@dataclass
class Admin:
    """Imports, exports, looks at trainings and at the sync, and trains once."""

    client: Client
    rng: random.Random
    begun: bool = False

    def turn(self) -> None:
        """One thing that an admin does; then a pause."""
        if not self.begun:
            self.begun = "failure" not in self.client.ask("train", "start_training", steps=2)
        kind = self.rng.random()
        if kind < 0.4:
            self.client.call("export", self.rng.choice(list(FORMATS)), "", "none")
        elif kind < 0.7:
            file = self.client.upload("more.png", png(scene(self.rng.randrange(1000), (640, 480))))
            self.client.call("add_pictures", [file], "Find the largest object.")
        self.client.ask("train", "training_state")
        self.client.ask("header", "sync_state")
        time.sleep(self.rng.uniform(0.5, 1.5))


Worker = Annotator | Reviewer | Visitor | Admin


def workers(new: Callable[[str], Client], tasks: int) -> list[Worker]:
    """Two thirds of twenty-four clients annotate; the others review, run, and administer."""
    made: list[Worker] = [Annotator(new(f"annotator {n}"), random.Random(n), tasks) for n in range(16)]
    made += [Reviewer(new(f"reviewer {n}"), random.Random(100 + n)) for n in range(4)]
    made += [Visitor(new(f"visitor {n}"), random.Random(200 + n)) for n in range(3)]
    return [*made, Admin(new("admin"), random.Random(300))]
