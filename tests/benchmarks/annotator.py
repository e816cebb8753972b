"""A simulated annotator, who corrects pictures through the HTTP API of a running app until each mask is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from gradio_client import Client, handle_file

from segr1_app.domain import Mask, Point
from segr1_app.files.json_files import read_json, write_json
from segr1_app.geometry import decode_rle
from segr1_app.images.masks import load_mask
from segr1_app.metrics import iou
from segr1_app.store import AnnotationStore
from tests.e2e.serving import serving
from train.data.pairs import Pair
from train.data.prompting import corrective_click, oracle_prompt

ANNOTATOR = "simulated"
ENOUGH = 0.9
"""IoU with the true mask that every correction has to reach."""
CLICKS = 3
"""Corrective clicks before the brush is taken."""


class Work(NamedTuple):
    """The effort of correcting some pictures.

    Attributes:
        count: pictures, those included that were corrected before.
        clicks: mean number of clicks in addition to box and first point, without those corrected before.
        painted: how many of these needed the brush.
        least: the smallest IoU of a saved mask with the ground truth.
    """

    count: int
    clicks: float
    painted: int
    least: float


def annotate(folder: Path, pairs: Sequence[Pair], instruction: str) -> Work:
    """Correct pictures in the app whose data folder is ``folder/data``; the result is cached there.

    Raises:
        AssertionError: when a saved mask is wrong.
    """
    done = folder / f"corrected-{len(pairs)}.json"
    if done.is_file():
        return Work(**read_json(done))
    folder.mkdir(parents=True, exist_ok=True)
    truths = {pair.image.name: load_mask(pair.mask) for pair in pairs}
    clicks, painted = [], 0
    with serving(folder) as (url, _):
        app = Client(url, verbose=False)
        app.predict([handle_file(pair.image) for pair in pairs], instruction, api_name="/add_pictures")
        while (task := app.predict(ANNOTATOR, "imported", api_name="/next_task"))["task"] is not None:
            drawn = draw(app, task["canvas"]["key"], truths[task["picture_name"]])
            app.predict(
                annotator=ANNOTATOR,
                task=task["task"],
                verdict="fix",
                objects=[drawn],
                prediction=task["prediction"],
                parent=task["parent"],
                api_name="/save_decision",
            )
            clicks.append(len(drawn["points"]) - 1)
            painted += bool(drawn["strokes"])
        work = Work(len(pairs), fmean(clicks) if clicks else 0.0, painted, _least(folder / "data", truths))
        assert work.least >= ENOUGH, work
        write_json(done, work._asdict())
    return work


def draw(app: Client, canvas: str, truth: Mask) -> dict[str, Any]:
    """What the annotator draws for an object, as the canvas would send it: box and point, clicks, then paint."""
    prompt = oracle_prompt(truth)
    assert prompt.box is not None
    points = list(prompt.points)
    for turn in range(CLICKS + 1):
        drawn = {"box": list(prompt.box.xyxy), "points": [_sent(point) for point in points]}
        (found,) = app.predict(canvas, [drawn], api_name="/segment")["masks"]
        mask = decode_rle(found["rle"]) if found["rle"] else np.zeros_like(truth)
        if iou(mask, truth) >= ENOUGH:
            return {**drawn, "strokes": []}
        click = corrective_click(mask, truth)
        if turn == CLICKS or click is None:
            break
        points.append(click)
    return {**drawn, "strokes": [*strokes(truth & ~mask, erase=False), *strokes(mask & ~truth, erase=True)]}


def strokes(region: Mask, *, erase: bool) -> list[dict[str, Any]]:
    """Paint the region row by row, each run of pixels with a brush one pixel wide."""
    edges = np.diff(np.pad(region.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    begins, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [
        {"erase": erase, "radius": 0.5, "path": [[int(left) + 0.5, int(y) + 0.5], [int(right) - 0.5, int(y) + 0.5]]}
        for (y, left), (_, right) in zip(begins, ends, strict=True)
    ]


def _sent(point: Point) -> dict[str, float]:
    return {"x": point.x, "y": point.y, "label": point.label}


def _least(home: Path, truths: Mapping[str, Mask]) -> float:
    """The smallest IoU of the stored masks of some pictures with the true ones."""
    found = []
    with AnnotationStore.open(home) as store:
        for feedback in store.feedback():
            truth = truths.get(store.picture_info(feedback.sha256).name)
            if truth is not None:
                assert feedback.mask is not None
                found.append(iou(feedback.mask, truth))
    assert len(found) == len(truths)
    return min(found)
