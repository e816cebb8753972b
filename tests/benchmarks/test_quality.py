"""The parts of the quality table: masks without a model, means, goals, and its place in a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segr1_app.domain import Box, ImageSize
from segr1_app.geometry import mask_box
from segr1_app.metrics import iou
from tests.benchmarks.baselines import GRABCUT_SIDE, centred_box, ellipse, filled, from_middle, from_truth, grab_cut
from tests.benchmarks.quality import CLICKED, ORACLE, PAIR, SETS, Score, goal_table, put_between, table
from tests.scenes import ellipse_scene

ROWS = (PAIR, ORACLE, *CLICKED.values())


def results(camouflaged: float, *salient: tuple[float, int]) -> dict[str, dict[str, Score]]:
    """The same score in every row: that of camouflaged pictures, and score and count of each salient set."""
    scores = [(camouflaged, 10), *salient]
    return {
        name: dict.fromkeys(ROWS, Score(value, value, count, 1.0, 0.5))
        for name, (value, count) in zip(SETS, scores, strict=True)
    }


class TestBaselines:
    def test_a_centred_box_lies_in_the_middle(self) -> None:
        assert centred_box(ImageSize(200, 100), 0.5) == Box(50, 25, 150, 75)

    def test_an_ellipse_fills_its_box_as_circles_fill_squares(self) -> None:
        picture, _ = ellipse_scene(320, 240, (0.5, 0.5), (0.2, 0.2))
        box = Box(40, 30, 240, 190)
        assert ellipse(box, picture).sum() / filled(box, picture).sum() == pytest.approx(np.pi / 4, abs=0.005)
        assert not (ellipse(box, picture) & ~filled(box, picture)).any()

    @pytest.mark.parametrize("size", [(200, 150), (640, 480)], ids=["as it is", "made smaller"])
    def test_grabcut_finds_what_stands_out(self, size: tuple[int, int]) -> None:
        picture, truth = ellipse_scene(*size, (0.55, 0.5), (0.2, 0.25))
        assert (max(size) > GRABCUT_SIDE) == (size[0] == 640)
        for answer in (from_truth(grab_cut), from_middle(grab_cut, 0.8)):
            mask = answer(picture, truth)
            assert mask.shape == truth.shape
            assert iou(mask, truth) > 0.9 > iou(filled(centred_box(picture.size, 0.8), picture), truth)
            assert np.array_equal(mask, answer(picture, truth)), "chance is seeded"

    def test_grabcut_takes_a_box_without_an_outside_for_the_answer(self) -> None:
        picture, _ = ellipse_scene(300, 200, (0.5, 0.5), (0.2, 0.2))
        assert grab_cut(Box(0, 0, 300, 200), picture).all()

    def test_an_empty_truth_has_no_box(self) -> None:
        picture, truth = ellipse_scene(100, 80, (0.5, 0.5), (0.2, 0.2))
        assert mask_box(from_truth(filled)(picture, truth)) == mask_box(truth)
        assert not from_truth(filled)(picture, np.zeros_like(truth)).any()


class TestTables:
    def test_a_row_per_predictor_and_a_column_per_set(self) -> None:
        lines = table(results(0.25, (0.5, 1), (0.5, 1), (0.5, 1))).splitlines()
        assert lines[0] == f"| IoU / S-measure | {' | '.join(SETS)} |"
        assert len(lines) == 2 + len(ROWS) + 2
        assert f"| {PAIR} | 0.250 / 0.250 | 0.500 / 0.500 | 0.500 / 0.500 | 0.500 / 0.500 |" in lines

    def test_a_goal_is_held_against_the_mean_over_pictures_not_over_sets(self) -> None:
        first = goal_table(results(0.6, (0.9, 80), (0.1, 10), (0.1, 10))).splitlines()[2]
        assert first.endswith("| 0.740 of 0.740: reached | 0.600 of 0.600: reached |")
        first = goal_table(results(0.59, (0.9, 10), (0.1, 80), (0.1, 10))).splitlines()[2]
        assert first.endswith("| 0.180 of 0.740: **missed** | 0.590 of 0.600: **missed** |")

    def test_a_text_is_put_where_its_marks_are(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("before\n<!-- here -->\nold \\1\n<!-- /here -->\nafter\n")
        put_between(page, "here", r"| new \1 |")
        assert page.read_text() == "before\n<!-- here -->\n\n| new \\1 |\n\n<!-- /here -->\nafter\n"
        with pytest.raises(AssertionError, match="no place for there"):
            put_between(page, "there", "")
