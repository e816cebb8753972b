"""The tables of the segmenter's demonstration, and the scores of one object by the real segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from segr1_app.settings.config import DEFAULT_SEGMENTER
from tests.benchmarks.annotator import Work
from tests.benchmarks.photographs import ELSEWHERE, Run, Scores
from tests.benchmarks.segmenter_photographs import object_scores, table
from tests.benchmarks.test_photographs import write_kind
from train.data.pairs import Pair

WORK = Work(100, 2.0, 10, 0.91)


def scores(stems: Sequence[str], iou: float, clicks: float = 2.0) -> Scores:
    return {stem: {"iou": iou, "clicks": clicks} for stem in stems}


def test_the_tables_have_every_set_and_every_pair(tmp_path: Path) -> None:
    stems = ["a", "b", "c"]
    kind = write_kind(tmp_path / "films", stems)
    sets = {"films": {0: scores(stems, 0.5, 4), 30: scores(stems, 0.6, 3), 100: scores(stems, 0.7, 2)}}
    for name in ELSEWHERE:
        sets[name] = dict.fromkeys((0, 30, 100), scores(["x", "y"], 0.8))
    pairs = {"films": {number: scores(stems, 0.1 * number) for number in range(4)}}
    lines = table(kind, [Run(sets, WORK)], [Run(pairs, WORK)]).splitlines()
    assert "| films, IoU from an exact box and point | 0.500 | 0.600 | **+0.100**" in lines[2]
    assert "| films, clicks to IoU .9 | 4.000 | 3.000 | **-1.000**" in lines[3]
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:8]] == [
        f"{name}, {label}"
        for name in ("films", *ELSEWHERE)
        for label in ("IoU from an exact box and point", "clicks to IoU .9")
    ]
    assert [line.split(" | ")[0].strip("| ") for line in lines[11:]] == [
        "nothing",
        "policy",
        "segmenter",
        "policy and segmenter",
    ]
    assert "| policy and segmenter | 0.300 | **+0.300**" in lines[-1]


def test_an_object_that_is_plain_to_see_needs_no_click(tmp_path: Path) -> None:
    pixels, mask = np.full((120, 160, 3), 30, np.uint8), np.zeros((120, 160), np.uint8)
    pixels[30:90, 40:110], mask[30:90, 40:110] = (220, 180, 40), 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    kept = tmp_path / "scores.json"
    found = object_scores(DEFAULT_SEGMENTER, [Pair("a", tmp_path / "a.png", tmp_path / "mask.png")], kept)
    assert found["a"]["iou"] > 0.9
    assert found["a"]["clicks"] == 0
    # What is known is not scored again.
    assert object_scores(tmp_path / "no segmenter", [], kept) == found
