"""Files that Datumaro writes, in every shared format, are imported with their masks and names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segr1_app.store import AnnotationStore
from tests.store.imports.files import HEIGHT, WIDTH, box_mask, bring, truths

pytestmark = pytest.mark.slow
CAT, DOG = box_mask(8, 6, 40, 30), box_mask(44, 32, 60, 46)
FORMATS = [
    "datumaro",
    "coco_instances",
    "coco_panoptic",
    "voc_segmentation",
    "cvat",
    "cityscapes",
    "camvid",
    "kitti_segmentation",
]


def dataset(dm: Any) -> Any:
    """Two pictures in two splits, with a cat and a dog each."""
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    items = [
        dm.DatasetItem(
            id=f"deep/{split}",
            subset=split,
            media=dm.Image.from_numpy(data=pixels // divisor),
            annotations=[dm.Mask(CAT, label=1, id=1, group=1), dm.Mask(DOG, label=2, id=2, group=2)],
        )
        for split, divisor in (("train", 1), ("val", 2))
    ]
    categories = {
        dm.AnnotationType.label: dm.LabelCategories.from_iterable(["background", "cat", "dog"]),
        dm.AnnotationType.mask: dm.MaskCategories.generate(3),
    }
    return dm.Dataset.from_iterable(items, categories=categories)


@pytest.mark.parametrize("form", FORMATS)
def test_what_datumaro_writes_is_imported(store: AnnotationStore, tmp_path: Path, form: str) -> None:
    datumaro = pytest.importorskip("datumaro")
    dataset(datumaro).export(str(tmp_path / "in"), form, save_media=True)
    account = bring(store, tmp_path / "in")
    assert account.left_out == []
    assert (account.pictures, account.truths) == (2, 4)
    for (_, words), mask in truths(store).items():
        wanted = {"Identify and segment the cat.": CAT, "Identify and segment the dog.": DOG}[words]
        assert np.array_equal(mask, wanted)
