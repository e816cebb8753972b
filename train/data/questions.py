"""Write composed scenes to disk as pairs with individual instructions, for GRPO, which reads folders.

GRPO on plain requests alone makes a policy forget some of the words that select one of several objects (LOG.md), so its
last stage uses both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segr1_app.domain import ImageSize, Mask, RgbPixels
from segr1_app.files.atomic import whole_folder
from segr1_app.models.frames import resize_to_frame
from train.data.composing import compose, distinguishing_words, has_room
from train.data.layouts import INSTRUCTIONS_FILE
from train.data.pairs import PackedPairs, pack_pairs
from train.data.traces import WORDINGS, separate_objects
from train.scratch.policy_pictures import mask_in_frame

SIDE = 256
"""Longest side in pixels of the scenes, and of the pairs from which they are made."""
SCENES_SHARE = 0.25
"""Number of scenes to try, as a fraction of the number of pairs."""
ASKED = 3
"""Largest number of questions about a scene."""
QUALITY = 92
"""JPEG quality of the scenes."""


def question_folder(data: Sequence[Path], cache: Path, folder: Path, seed: int) -> Path | None:
    """A folder of questions about scenes composed of pairs, created unless it exists.

    Args:
        data: folders of pairs, as for `pack_pairs`.
        cache: the folder for packed pairs.
        folder: receives ``images/``, ``masks/`` and the instructions atomically.
        seed: the only source of randomness.

    Returns:
        ``folder``; None when no scene could be composed, for example if the pictures leave no room for other objects.

    Raises:
        DatasetError: as `pack_pairs`.
    """
    if folder.is_dir():
        return folder
    pairs = pack_pairs(data, SIDE, cache)
    rng = np.random.default_rng(seed)
    instructions: dict[str, str] = {}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(_NoQuestionsError), whole_folder(folder) as partial:
        for part in ("images", "masks"):
            (partial / part).mkdir()
        for number in range(max(round(SCENES_SHARE * len(pairs)), 1)):
            pixels, objects = _scene(pairs, rng)
            means = distinguishing_words(pixels, objects) if len(objects) > 1 else {}
            image = _encoded(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            for word in rng.permutation(list(means))[:ASKED].tolist():
                stem = f"{number:06}-{word}"
                (partial / "images" / f"{stem}.jpg").write_bytes(image)
                mask = objects[means[word]].astype(np.uint8) * 255
                (partial / "masks" / f"{stem}.png").write_bytes(_encoded(".png", mask))
                instructions[stem] = WORDINGS[rng.integers(len(WORDINGS))].format(which=word).capitalize()
        if not instructions:
            raise _NoQuestionsError
        (partial / INSTRUCTIONS_FILE).write_text(json.dumps(instructions, indent=1) + "\n", encoding="utf-8")
    return folder if instructions else None


class _NoQuestionsError(Exception):
    """No scene could be composed."""


def _scene(pairs: PackedPairs, rng: np.random.Generator) -> tuple[RgbPixels, list[Mask]]:
    """A random picture at its original aspect ratio, with pasted objects of others if there is room."""
    ground, *others = (int(index) for index in rng.choice(len(pairs), 3))
    pixels, mask = pairs.images[ground], pairs.masks[ground] > 127
    objects = separate_objects(mask) if mask.any() else []
    if has_room(objects):
        pixels, objects = compose(pixels, mask, [(pairs.images[i], pairs.masks[i]) for i in others], rng)
    width, height = (int(side) for side in pairs.sizes[ground] * SIDE / pairs.sizes[ground].max())
    size = ImageSize(max(width, 1), max(height, 1))
    return resize_to_frame(pixels, size), [mask_in_frame(part, size) for part in objects]


def _encoded(suffix: str, pixels: npt.NDArray[np.uint8], options: Sequence[int] = ()) -> bytes:
    _, data = cv2.imencode(suffix, pixels, options)
    return data.tobytes()
