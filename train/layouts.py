"""Where data sets keep their images and masks: plain ``images/`` and ``masks/``, and the layouts in which the usual
sets of camouflaged and salient objects are given out.

Of a set with a training and a test part, only the training part is ever read here: nothing trains on a benchmark by
being pointed at its folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segr1_app.domain import DatasetError
from train.pairs import PairListing, find_pairs
from train.scenes import Kind


@dataclass(frozen=True, slots=True)
class Layout:
    """A way of keeping pairs: two folders below the data set's own, and what kind of object it holds."""

    name: str
    images: str
    masks: str
    kind: Kind = "salient"


LAYOUTS = (
    Layout("images and masks", "images", "masks"),
    Layout("COD10K-v3", "Train/Image", "Train/GT_Object", "camouflaged"),
    Layout("CAMO", "Images/Train", "GT", "camouflaged"),
    Layout("DIS5K", "DIS-TR/im", "DIS-TR/gt"),
    Layout("DUTS", "DUTS-TR/DUTS-TR-Image", "DUTS-TR/DUTS-TR-Mask"),
    Layout("DUTS", "DUTS-TR-Image", "DUTS-TR-Mask"),
    Layout("HKU-IS", "imgs", "gt"),
    Layout("ECSSD", "images", "ground_truth_mask"),
)
CAMOUFLAGED_NAMES = ("camo", "cod10k", "nc4k", "chameleon")
"""Beginnings of folder names, in lower case, that tell of camouflaged objects where the layout does not."""


@dataclass(frozen=True, slots=True)
class PairFolder:
    """A data set found: its name (the folder's), its layout, the kind of its objects, and what it holds."""

    name: str
    layout: Layout
    kind: Kind
    listing: PairListing


def find_pair_folder(folder: Path) -> PairFolder:
    """Recognise a data set by its folders.

    Raises:
        DatasetError: when there is no such folder, it follows no known layout, or nothing in it can be paired.
    """
    if not folder.is_dir():
        raise DatasetError(f"There is no folder '{folder}': give --data folders of images and masks.")
    for layout in LAYOUTS:
        images, masks = folder / layout.images, folder / layout.masks
        if images.is_dir() and masks.is_dir():
            name = folder.resolve().name
            camouflaged = layout.kind == "camouflaged" or name.lower().startswith(CAMOUFLAGED_NAMES)
            return PairFolder(name, layout, "camouflaged" if camouflaged else "salient", find_pairs(images, masks))
    known = "; ".join(f"{layout.name}: {layout.images} + {layout.masks}" for layout in LAYOUTS)
    raise DatasetError(f"'{folder}' follows no layout that is known ({known}).")
