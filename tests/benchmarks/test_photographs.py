"""The parts of the demonstration on photographs that determine its table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from segr1_app.domain import ImageSize
from segr1_app.metrics import iou
from segr1_app.studio.edits import read_objects
from tests.benchmarks.annotator import Work, strokes
from tests.benchmarks.photographs import ELSEWHERE, Kind, Run, Scores, caption, change, table

WIDTH, HEIGHT = 40, 30


def write_kind(folder: Path, stems: Sequence[str], groups: dict[str, str] | None = None) -> Kind:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for stem in stems:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images" / f"{stem}.png")
        Image.new("L", (WIDTH, HEIGHT), 255).save(folder / "masks" / f"{stem}.png")
    if groups is not None:
        (folder / "groups.json").write_text(json.dumps(groups), encoding="utf-8")
    return Kind.read(folder)


def test_paint_is_exactly_the_region() -> None:
    rng = np.random.default_rng(0)
    region = rng.random((HEIGHT, WIDTH)) < 0.4
    size = ImageSize(WIDTH, HEIGHT)
    (edited,) = read_objects([{"box": None, "points": [], "strokes": strokes(region, erase=False)}], size)
    painted, erased = edited.layers(size, size)
    assert painted is not None
    assert iou(painted, region) == 1.0
    assert erased is None
    assert all(stroke["erase"] for stroke in strokes(region, erase=True))


def test_no_group_is_on_both_sides_and_every_one_is_scored_by_one_of_three_seeds(tmp_path: Path) -> None:
    stems = [f"{number:02}" for number in range(24)]
    kind = write_kind(tmp_path / "films", stems, {stem: f"film {int(stem) // 3}" for stem in stems})
    scored = []
    for seed in range(3):
        to_correct, unseen = kind.split(seed)
        sides = [{kind.groups[pair.stem] for pair in side} for side in (to_correct, unseen)]
        assert not sides[0] & sides[1]
        assert len(to_correct) + len(unseen) == len(stems)
        scored += [pair.stem for pair in unseen]
    assert sorted(scored) == stems
    assert kind.split(0) == kind.split(0)
    alone = write_kind(tmp_path / "alone", stems)
    assert [len(side) for side in alone.split(0)] == [16, 8]


def scores(stems: Sequence[str], value: float) -> Scores:
    return {stem: {"iou": value, "s_measure": value, "format": 1.0} for stem in stems}


def test_the_table_has_every_set_and_the_interval_draws_groups(tmp_path: Path) -> None:
    """Two films of ten frames, one of which improves: the frames of a film are not independent."""
    stems = [f"{number:02}" for number in range(20)]
    kind = write_kind(tmp_path / "films", stems, {stem: f"film {int(stem) // 10}" for stem in stems})
    after = {stem: {"iou": 0.5 + 0.2 * (stem < "10"), "s_measure": 0.5, "format": 1.0} for stem in stems}
    sets = {"films": {0: scores(stems, 0.5), 30: after, 100: after}}
    for name in ELSEWHERE:
        sets[name] = dict.fromkeys((0, 30, 100), scores(["a", "b"], 0.8))
    runs = [Run(sets, Work(100, 2.0, 10, 0.91))]
    assert change(kind, runs, "films", 100, "iou") == "**+0.100** [+0.000, +0.200]"
    assert change(kind, [*runs, *runs], "films", 100, "iou").endswith(" (+0.100, +0.100)")
    lines = table(kind, runs).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [
        *(f"{name}, {label}" for name in sets for label in ("IoU", "S-measure")),
        "films, format rate",
    ]
    assert len({line.count("|") for line in lines}) == 1
    assert "| films, IoU | 0.500 | 0.600 |" in lines[2]
    assert "20 pictures in 2 groups" in caption(kind, runs)
    assert "0.91" in caption(kind, runs)


def test_pictures_without_a_group_stand_alone(tmp_path: Path) -> None:
    kind = write_kind(tmp_path / "films", ["a", "b", "c"], {"a": "one"})
    assert kind.groups == {"a": "one", "b": "b", "c": "c"}
