"""Camouflaged and salient object benchmarks: the test parts, in their original folders.

Camouflaged sets are usually distributed in one archive, as ``NAME/Imgs`` and ``NAME/GT``; the layouts of the authors'
own archives are supported too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from segr1_app.domain import DatasetError, ImageSize
from train.data.pairs import Pair, find_pairs, read_mask
from train.evaluation.benchmarks.question import Question, QuestionSet, Target

SHARED: Final = (
    ("Imgs", "GT"),
    ("Image", "GT"),
    ("images", "masks"),
    ("images", "ground_truth_mask"),
    ("imgs", "gt"),
    ("im", "gt"),
)
"""Folders of images and masks that any of the sets may have."""
OWN: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "CHAMELEON": (),
    "CAMO": (("Images/Test", "GT"),),
    "COD10K": (("Test/Image", "Test/GT_Object"),),
    "NC4K": (),
    "DUTS-TE": (("DUTS-TE-Image", "DUTS-TE-Mask"),),
    "DUT-OMRON": (
        # With and without a folder named after the archive.
        ("DUT-OMRON-image/DUT-OMRON-image", "pixelwiseGT-new-PNG/pixelwiseGT-new-PNG"),
        ("DUT-OMRON-image", "pixelwiseGT-new-PNG"),
    ),
    "ECSSD": (),
    "HKU-IS": (),
    "PASCAL-S": (("datasets/imgs/pascal", "datasets/masks/pascal"),),
}
"""The folders of each set's own archive; they come before `SHARED`."""
PUBLISHED: Final[Mapping[str, int]] = {
    "CHAMELEON": 76,
    "CAMO": 250,
    "COD10K": 2026,
    "NC4K": 4121,
    "DUTS-TE": 5019,
    "DUT-OMRON": 5168,
    "ECSSD": 1000,
    "HKU-IS": 4447,
    "PASCAL-S": 850,
}
"""Number of pictures scored in published tables."""
NOT_CAMOUFLAGED: Final = "COD10K-NonCAM-"
"""File name prefix of COD10K's test pictures without a camouflaged object, which published tables leave out."""


def read_foreground(name: str, folder: Path) -> QuestionSet:
    """One question for each image of a set that has a mask with the same name.

    Args:
        name: the set's name, a key of `OWN`.
        folder: the set's folder, or its parent.

    Raises:
        DatasetError: when no layout fits, or nothing can be paired.
    """
    for base in (folder, folder / name):
        for images, masks in (*OWN[name], *SHARED):
            if not ((base / images).is_dir() and (base / masks).is_dir()):
                continue
            listing = find_pairs(base / images, base / masks)
            scored = [pair for pair in listing.pairs if not pair.stem.startswith(NOT_CAMOUFLAGED)]
            if not scored:
                raise DatasetError(f"No image in '{base / images}' shows a camouflaged object.")
            return QuestionSet(
                tuple(Question(pair.stem, pair.image, "", partial(_target, pair)) for pair in scored),
                {
                    "layout": f"{images} + {masks}",
                    "published_count": PUBLISHED[name],
                    "without_camouflaged_object": len(listing.pairs) - len(scored),
                    "images_without_mask": len(listing.unpaired_images),
                    "masks_without_image": len(listing.unpaired_masks),
                },
            )
    known = "; ".join(f"{images} + {masks}" for images, masks in (*OWN[name], *SHARED))
    raise DatasetError(f"'{folder}' does not contain {name} in a known layout ({known}).")


def _target(pair: Pair, image_wh: ImageSize) -> Target:
    return Target(read_mask(pair, image_wh))
