"""The training views of a segmenter: an object, the window of the picture that the app would use, and prompts for it.

The windows of an object are chosen before the training, so that a frozen encoder encodes each of them once; the prompts
within them, and the corrective clicks, are drawn again at each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from segr1_app.domain import ImageSize, Mask, ObjectPrompt
from segr1_app.images.pictures import Picture
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.models.zoom import Window, prompt_in_window
from train.data.prompting import ANNOTATORS_STYLES, oracle_prompt, simulate_prompt
from train.data.rows import Example, Row
from train.scratch.segmenter_model import LOSS_STRIDE

VIEWS = 4
"""Windows of an object: one of an annotator's own prompt, or of an exact one, and others of simulated prompts."""
OWN_SHARE = 0.5
"""How often an object is shown with the prompt that its window was chosen for; else with a new one."""
_READ_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTarget:
    """An object of a row, in the picture's own pixels.

    Attributes:
        mask: the right mask, bool (height, width), not empty.
        prompt: an annotator's own prompt for it, if there is one.
    """

    mask: Mask
    prompt: ObjectPrompt | None


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One object as the model sees it.

    Attributes:
        picture: the whole picture.
        window: the part that the model sees; None for all of it.
        prompt: in pixels of the model's square input, S x S.
        truth: float32 (S/2, S/2), the share of foreground in each cell.
    """

    picture: Picture
    window: Window | None
    prompt: ObjectPrompt
    truth: npt.NDArray[np.float32]


def targets(example: Example) -> tuple[ObjectTarget, ...]:
    """The objects of a row, with the annotator's prompts where each object has one.

    Raises:
        ValueError: when the row has no mask.
    """
    truth = example.truth
    if truth.mask is None or not truth.mask.any():
        raise ValueError("a row without a mask has nothing to segment")
    masks = truth.objects or (truth.mask,)
    if len(masks) != len(truth.prompts):
        return tuple(ObjectTarget(mask, None) for mask in masks)
    return tuple(
        ObjectTarget(mask, prompt if prompt.box or prompt.points else None)
        for mask, prompt in zip(masks, truth.prompts, strict=True)
    )


class Viewer:
    """Draws views of rows; two viewers with the same seed and rows draw the same ones.

    Args:
        rows: what is trained on.
        segmenter: which windows it chooses, and of which size it sees them.
        seed: of all chance.
    """

    def __init__(self, rows: Sequence[Row], segmenter: Sam2Segmenter, seed: int) -> None:
        self._rows, self._segmenter, self._seed = rows, segmenter, seed
        self._read = lru_cache(_READ_AT_ONCE)(self._read_row)

    def draw(self, index: int, step: int, place: int) -> View:
        """A view of a row.

        Args:
            index: of the row.
            step, place: where in the training it is drawn, which decides object, window and prompt.

        Raises:
            SegR1Error: when the picture cannot be read.
        """
        example, objects = self._read(index)
        rng = np.random.default_rng((self._seed, step, place))
        number = int(rng.integers(len(objects)))
        target = objects[number]
        own = self._first_prompt(index, number, int(rng.integers(VIEWS)), target)
        size = example.picture.size
        window = self._segmenter.window(own, size)
        prompt = own if rng.random() < OWN_SHARE else simulate_prompt(target.mask, rng, ANNOTATORS_STYLES)
        side = self._segmenter.input_side
        shown = window or Window(0, 0, *size)
        return View(
            example.picture,
            window,
            prompt_in_window(prompt, shown, ImageSize(side, side)),
            truth_in_window(target.mask, shown, side // LOSS_STRIDE),
        )

    def _read_row(self, index: int) -> tuple[Example, tuple[ObjectTarget, ...]]:
        example = self._rows[index].load()
        return example, targets(example)

    def _first_prompt(self, index: int, number: int, view: int, target: ObjectTarget) -> ObjectPrompt:
        """The prompt that decides on a window: the same one for the same object and number of the view."""
        if view == 0:
            return target.prompt or oracle_prompt(target.mask)
        image = int(self._rows[index].image_id[:15], 16)
        rng = np.random.default_rng((self._seed, image, number, view))
        return simulate_prompt(target.mask, rng, ANNOTATORS_STYLES)


def truth_in_window(mask: Mask, window: Window, side: int) -> npt.NDArray[np.float32]:
    """A mask as it appears in a window of its picture, float32 (side, side): the share of foreground in each cell."""
    left, top, width, height = window
    part = mask[top : top + height, left : left + width].astype(np.float32)
    shrinks = part.shape[0] > side and part.shape[1] > side
    resized = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.clip(resized, 0, 1).astype(np.float32)
