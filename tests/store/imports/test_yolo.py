"""Rows of YOLO that are not what they look like: boxes with track numbers, coordinates in pixels, oriented boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segr1_app.store import AnnotationStore
from tests.store.imports.files import CAT, box_mask, bring, prompts, truth
from tests.store.imports.test_particulars import yolo

OBLIQUE = "0 .5 .25 .75 .5 .5 .75 .25 .5"
"""A row of YOLO with the four corners of an oblique rectangle."""


def yolo_rows(folder: Path, *rows: str) -> Path:
    picture = yolo(folder, "names: [cat]")
    (folder / "labels" / "a.txt").write_text("\n".join(rows))
    return picture


@pytest.mark.parametrize(
    "row",
    [
        "0 .4 .5 .2 .3 .91 1",
        "0 .4 .5 .2 .3 .91 7",
        "0 .2 .2 .6 .2 .6 .7 .2 .7 .91 7",
        "0 .2 .2 .6 .2 .6 .7 .2 .7 .91 1",
        "0 0 0 40 0 40 30 0 30",
        "0 .2 .2 .6 .2 .6 -.3 .2 .7",
        "0 1 1 2 2",
    ],
    ids=["tracked box 1", "tracked box 7", "tracked polygon 7", "tracked polygon 1", "pixels", "negative", "pixel box"],
)
def test_numbers_of_yolo_that_are_no_coordinates_are_refused(store: AnnotationStore, tmp_path: Path, row: str) -> None:
    picture = yolo_rows(tmp_path, row)
    reported = bring(store, tmp_path).left_out
    assert len(reported) == 1
    assert "line 1" in reported[0]
    assert truth(store, picture, CAT) is None
    assert not prompts(store, picture)


def test_a_polygon_of_yolo_may_end_at_the_lower_edge(store: AnnotationStore, tmp_path: Path) -> None:
    picture = yolo_rows(tmp_path, "0 .25 .5 .75 .5 .75 1 .25 1", "0 .25 0 .5 0 .5 .25 .25 .25")
    assert not bring(store, tmp_path).left_out
    assert np.array_equal(truth(store, picture, CAT), box_mask(16, 24, 48, 48) | box_mask(16, 0, 32, 12))


def test_oriented_boxes_of_yolo_become_prompts(store: AnnotationStore, tmp_path: Path) -> None:
    picture = yolo_rows(tmp_path, OBLIQUE, "0 .1 .1 .2 .1 .2 .2 .1 .2")
    report = bring(store, tmp_path)
    assert not report.left_out
    assert "oriented boxes" in " ".join(report.notices)
    assert truth(store, picture, CAT) is None
    assert (16, 12, 48, 36) in prompts(store, picture)


def test_one_polygon_of_yolo_makes_the_others_polygons(store: AnnotationStore, tmp_path: Path) -> None:
    picture = yolo_rows(tmp_path, OBLIQUE, "0 .1 .1 .2 .1 .2 .2")
    assert not bring(store, tmp_path).left_out
    assert truth(store, picture, CAT) is not None
