"""Masks as polygons and back, by pycocotools and by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from segr1_app.domain import Mask
from segr1_app.metrics import iou
from segr1_app.store.exchange.polygons import Corners, join_parts, mask_polygons


def by_coco(rings: list[Corners], shape: tuple[int, int]) -> Mask:
    flat = [[float(value) for corner in ring for value in corner] for ring in rings]
    decoded: Mask = coco.decode(coco.merge(coco.frPyObjects(flat, *shape))).astype(bool)
    return decoded


def holed() -> Mask:
    mask = np.zeros((60, 80), bool)
    mask[5:50, 5:60] = True
    mask[10:20, 10:20] = mask[12:30, 25:35] = mask[35:45, 12:50] = mask[40, 55] = False
    mask[14:18, 28:32] = True
    mask[52:58, 65:78] = True
    return mask


def shapes() -> dict[str, Mask]:
    pixel, full, corner = np.zeros((9, 9), bool), np.ones((30, 40), bool), np.zeros((6, 6), bool)
    pixel[4, 4] = True
    corner[1:3, 1:3] = corner[3:5, 3:5] = True
    y, x = np.mgrid[:200, :300]
    ring = ((x - 150) ** 2 + (y - 100) ** 2 < 90**2) & ((x - 140) ** 2 + (y - 100) ** 2 > 40**2)
    return {"holes": holed(), "pixel": pixel, "full": full, "corner": corner, "ring": ring}


@pytest.mark.parametrize("name", sorted(shapes()))
def test_pycocotools_draws_the_very_mask(name: str) -> None:
    mask = shapes()[name]
    assert iou(by_coco(mask_polygons(mask), mask.shape), mask) == 1.0
    assert iou(by_coco([join_parts(mask_polygons(mask))], mask.shape), mask) >= 0.98


def test_each_part_is_a_polygon_and_an_empty_mask_none() -> None:
    assert len(mask_polygons(holed())) == 3
    assert mask_polygons(np.zeros((5, 5), bool)) == []
    assert mask_polygons(np.ones((2, 3), bool)) == [[(0, 0), (3, 0), (3, 2), (0, 2)]]


@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 0.9]))
def test_any_mask_is_drawn_again(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    rings = mask_polygons(mask)
    # Scaled up, where the width of OpenCV's own outline no longer matters.
    drawn = np.zeros((height * 16, width * 16), np.uint8)
    for ring in rings:
        cv2.fillPoly(drawn, [np.array(ring) * 16], 255)
    assert np.array_equal(drawn[8::16, 8::16] > 0, mask)
