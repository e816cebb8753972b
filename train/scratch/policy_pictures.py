"""The pictures that the policy is trained on, and the questions about them: single, side by side, or composed.

A question is the plain request for all of the foreground, or asks for one of several objects by a word, for everything
of a kind by its noun, or for something that is not there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from segr1_app.domain import ImageSize, Mask, RgbPixels
from segr1_app.geometry import policy_frame
from segr1_app.models.frames import resize_to_frame
from train.data.augment import augment
from train.data.composing import distinguishing_words, has_room, paste, put_beside
from train.data.nouns import plural
from train.data.pairs import PackedPairs
from train.data.traces import INSTRUCTIONS, NAMED_WORDINGS, NOUN_WORDINGS, WORDINGS, separate_objects
from train.scratch.policy_model import PolicyShape, min_area

IGNORED = -100
"""The label of what is ignored by the loss."""
STRETCHED, STRETCH = 0.3, 0.6
"""Probability of showing a picture at a changed aspect ratio, and the largest factor (its natural logarithm): few
photographs are square or long, and the policy has to know where every frame ends.
"""
MOST_QUESTIONS = 7
"""Number of questions about a scene of several objects."""
OTHER_KIND = 0.25
"""Probability of using the instructions for the other kind of picture."""
BESIDE, SAME_KIND = 0.5, 0.2
"""Probability of showing a picture that has a noun beside another one, and of both showing things of one kind."""
BY_NAME = 0.5
"""Probability of naming what one of several objects is: "the left lemon" instead of "the left object"."""


@dataclass(frozen=True, slots=True, eq=False)
class PictureNames:
    """What is known of the objects of packed pairs, beyond their masks.

    Attributes:
        nouns: all nouns.
        kinds: int64 (N,), every pair's noun, an index of ``nouns``; `IGNORED` where it is not known.
        features: float32 (N, F), what a classifier sees in every pair's object, rows of length 1; F may be 0.
        pasted: the pairs whose objects may be pasted into other pictures.
    """

    nouns: tuple[str, ...]
    kinds: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    pasted: npt.NDArray[np.int64]

    @classmethod
    def none(cls, count: int) -> PictureNames:
        """Nothing is known of this many pairs."""
        return cls((), np.full(count, IGNORED), np.zeros((count, 0), np.float32), np.arange(count))

    def noun(self, pair: int) -> str:
        """A pair's noun; empty if it is not known."""
        return self.nouns[self.kinds[pair]] if self.kinds[pair] != IGNORED else ""


class PictureQuestion(NamedTuple):
    """An instruction about a picture, and the part of its foreground to which it refers.

    Attributes:
        instruction: in lower case.
        asked: bool (H, W); empty if there is no such object.
        noun: what the object is, or would be; empty if it is not known.
    """

    instruction: str
    asked: Mask
    noun: str = ""


class AugmentedPicture(NamedTuple):
    """An augmented picture in the policy's frame, and questions about it.

    Attributes:
        pixels: uint8 (H, W, 3) RGB.
        objects: at least one, bool (H, W) each.
        questions: the plain request for all of the foreground, then others.
        sources: the pair that every object is from.
    """

    pixels: RgbPixels
    objects: tuple[Mask, ...]
    questions: tuple[PictureQuestion, ...]
    sources: tuple[int, ...]

    @property
    def mask(self) -> Mask:
        """All of the foreground, the target of the plain request: bool (H, W)."""
        return self.questions[0].asked


class PictureMaker:
    """Draws augmented pictures of packed pairs, and questions about them.

    Args:
        pairs: packed at any size.
        shape: the policy's shape.
        composed: as for `BatchMaker`.
        names: what is known of the pairs' objects.
    """

    def __init__(self, pairs: PackedPairs, shape: PolicyShape, composed: float, names: PictureNames) -> None:
        self._pairs, self._shape, self._composed, self._names = pairs, shape, composed, names
        self._kinds, counts = np.unique(names.kinds[names.kinds != IGNORED], return_counts=True)
        self._members = {int(kind): np.flatnonzero(names.kinds == kind) for kind in self._kinds}
        # Rare nouns are asked for more often than they occur.
        self._frequencies = np.sqrt(counts) / max(np.sqrt(counts).sum(), 1)

    def draw(self, index: int, cells: int, rng: np.random.Generator) -> AugmentedPicture:
        """An augmented pair in the policy's frame, mostly at its original aspect ratio."""
        view = pixels, mask = augment(self._pairs.images[index], self._pairs.masks[index], rng)
        size = ImageSize(*(int(side) for side in self._pairs.sizes[index]))
        objects, sources = separate_objects(mask), [index]
        if self._names.noun(index) and rng.random() < BESIDE:
            other = self._named(rng, like=index if rng.random() < SAME_KIND else None)
            views = [view, augment(self._pairs.images[other], self._pairs.masks[other], rng)]
            ratios = [float(np.divide(*self._pairs.sizes[one])) for one in (index, other)]
            pixels, objects, size = put_beside(views, ratios, rng)
            sources = [index, other]
        elif has_room(objects) and rng.random() < self._composed:
            # Objects without a noun next to one that has one would leave open what is absent.
            named = bool(self._names.noun(index))
            others = [self._named(rng) if named else int(rng.choice(self._names.pasted)) for _ in range(2)]
            pasted = [(self._pairs.images[i], self._pairs.masks[i]) for i in others]
            pixels, objects, owners = paste(pixels, mask, pasted, rng)
            sources = [[index, *others][owner] for owner in owners]
        else:
            sources *= len(objects)
        frame = self._frame(size, cells, rng)
        pixels, objects = resize_to_frame(pixels, frame), [mask_in_frame(part, frame) for part in objects]
        questions = self._questions(pixels, objects, sources, rng)
        return AugmentedPicture(pixels, tuple(objects), tuple(questions), tuple(sources))

    def _frame(self, size: ImageSize, cells: int, rng: np.random.Generator) -> ImageSize:
        """The policy's frame of a picture, whose aspect ratio is sometimes changed."""
        grid, (width, height) = 2 * self._shape.patch, size
        if rng.random() < STRETCHED:
            width = max(round(width * math.exp(rng.uniform(-STRETCH, STRETCH))), 1)
        return policy_frame(
            ImageSize(width, height), grid=grid, min_pixels=min_area(cells * grid**2), max_pixels=cells * grid**2
        )

    def _named(self, rng: np.random.Generator, like: int | None = None) -> int:
        """A random pair that has a noun: that of the pair ``like``, or any."""
        kind = int(rng.choice(self._kinds, p=self._frequencies)) if like is None else int(self._names.kinds[like])
        return int(rng.choice(self._members[kind]))

    def _questions(
        self, pixels: RgbPixels, objects: Sequence[Mask], sources: Sequence[int], rng: np.random.Generator
    ) -> list[PictureQuestion]:
        """Questions about a picture: the plain request, then one about something that is there and one about
        something that is not, then others.
        """
        nouns = [self._names.noun(source) for source in sources]
        whole: Mask = np.any(objects, axis=0)
        plain = PictureQuestion(self._instruction(sources[0], rng), whole, nouns[0] if len({*nouns}) == 1 else "")
        present = [
            PictureQuestion(_noun_wording(noun, rng), _union(objects, nouns, noun), noun)
            for noun in rng.permutation(sorted({*nouns} - {""})).tolist()
        ]
        absent = [] if "" in nouns else self._absent(nouns, whole, rng)
        which = []
        means = distinguishing_words(pixels, objects) if len(objects) > 1 and rng.random() < self._composed else {}
        for word in rng.permutation(list(means)).tolist():
            noun = nouns[means[word]]
            texts = NAMED_WORDINGS if noun and rng.random() < BY_NAME else WORDINGS
            text = texts[rng.integers(len(texts))].format(which=word, noun=noun)
            which.append(PictureQuestion(text, objects[means[word]], noun))
        return [plain, *present[:1], *absent, *which[:2], *present[1:], *which[2:]][:MOST_QUESTIONS]

    def _absent(self, nouns: Sequence[str], whole: Mask, rng: np.random.Generator) -> list[PictureQuestion]:
        """A question about something that is not among these nouns; none if there are no others."""
        noun = self._names.noun(self._named(rng))
        if noun in nouns:
            return []
        return [PictureQuestion(_noun_wording(noun, rng), np.zeros_like(whole), noun)]

    def _instruction(self, index: int, rng: np.random.Generator) -> str:
        kinds = ["camouflaged", "salient"]
        camouflaged = str(self._pairs.datasets[index]).startswith("camo")
        texts = INSTRUCTIONS[kinds[camouflaged == (rng.random() < OTHER_KIND)]]
        return texts[rng.integers(len(texts))]


def mask_in_frame(mask: Mask, policy_wh: ImageSize) -> Mask:
    """A mask at the size of the policy's picture: bool (height, width), not empty unless the mask is."""
    covered = cv2.resize(mask.astype(np.uint8) * 255, policy_wh, interpolation=cv2.INTER_AREA)
    resized: Mask = covered > 127
    # The object is thinner than half a pixel of the frame: any pixel it touches becomes foreground.
    return resized if resized.any() else covered > 0


def _union(objects: Sequence[Mask], nouns: Sequence[str], wanted: str) -> Mask:
    """All objects of a noun: bool (H, W)."""
    union: Mask = np.any([part for part, noun in zip(objects, nouns, strict=True) if noun == wanted], axis=0)
    return union


def _noun_wording(noun: str, rng: np.random.Generator) -> str:
    return NOUN_WORDINGS[rng.integers(len(NOUN_WORDINGS))].format(noun=noun, plural=plural(noun))
