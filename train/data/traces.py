"""Derive cold-start completions from masks: true, varied reasoning and the mask prompts of the objects.

Seg-R1 learns its answer format from FCoT, 1,500 pictures with written reasoning. Here every statement is computed
from picture and mask: the number of objects, their position, size and colour, and their contrast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from segr1_app.domain import Box, Mask, ObjectPrompt, Point, RgbPixels
from segr1_app.geometry import box_iou, deepest_point, mask_box
from train.data.nouns import plural

Lab: TypeAlias = npt.NDArray[np.float64]
"""Colours or distances in CIELAB."""

MAX_OBJECTS = 3
PART_SHARE = 0.2
"""A component counts as an object if its area is at least this fraction of the largest one's."""
SMALL, LARGE = 0.08, 0.3
"""Fractions of the picture between which an object is neither small nor large."""
BLENDS, STANDS_OUT = 12.0, 30.0
"""Distances in CIELAB between object and surroundings: below, it blends in; above, it stands out."""

COUNTS = {1: "one object", 2: "two objects", 3: "three objects"}
COLOURS = {
    "black": (20, 20, 20),
    "white": (240, 240, 240),
    "grey": (128, 128, 128),
    "red": (190, 40, 40),
    "orange": (225, 130, 40),
    "yellow": (225, 205, 60),
    "green": (70, 130, 60),
    "blue": (60, 100, 180),
    "purple": (120, 60, 140),
    "pink": (225, 150, 170),
    "brown": (110, 75, 50),
    "beige": (200, 180, 145),
}
"""Colour names with a typical RGB value each; a colour gets the name of the nearest one in CIELAB."""

INSTRUCTIONS = {
    "salient": (
        "identify and segment all the primary objects.",
        "segment the primary objects.",
        "segment the main object.",
        "segment the most salient object.",
        "identify and segment the salient objects.",
    ),
    "camouflaged": (
        "identify and segment the camouflaged object.",
        "segment the camouflaged object.",
        "segment the hidden animal.",
        "find and segment the concealed object.",
    ),
}
"""Instructions by the kind of picture for which they are mostly used."""
WORDINGS = ("segment the {which} object.", "segment the {which} one.", "find and segment the {which} object.")
"""Instructions for one of several objects."""
NOUN_WORDINGS = (
    "segment the {noun}.",
    "find and segment the {noun}.",
    "find the {noun}.",
    "segment all the {plural}.",
    "find and segment the {plural}.",
)
"""Instructions for everything of a kind."""
NAMED_WORDINGS = ("segment the {which} {noun}.", "find and segment the {which} {noun}.", "find the {which} {noun}.")
"""Instructions for one of several objects that also say what it is."""
ABSENCES = ("there is no {noun} in the picture.", "i see no {noun}.")
"""Reasoning when there is nothing of the kind."""
WHICH = ("left", "right", "top", "bottom", "largest", "smallest")
"""Words that select an object, in addition to the names of `COLOURS`."""


@dataclass(frozen=True, slots=True)
class Traits:
    """True statements about a foreground.

    Attributes:
        count: its objects, as words: "two objects", or "two lemons" if what they are is known.
        place: "top left", "left", "centre" and so on, by the third of the picture that contains its centroid.
        size: "small", "medium" or "large".
        colour, ground: names of its mean colour and of its surroundings'.
        contrast: "stands out from", "differs from" or "blends into" the surroundings.
    """

    count: str
    place: str
    size: str
    colour: str
    ground: str
    contrast: str


@dataclass(frozen=True, slots=True, eq=False)
class ForegroundMeasures:
    """The measurements behind the traits of a foreground.

    Attributes:
        x, y: its centroid, as fractions of the picture's width and height.
        share: fraction of the picture that it covers.
        colour, ground: its mean colour and its surroundings', in CIELAB.
    """

    x: float
    y: float
    share: float
    colour: Lab
    ground: Lab

    @property
    def contrast(self) -> float:
        """The distance in CIELAB between foreground and surroundings."""
        return float(np.linalg.norm(self.colour - self.ground))


@dataclass(frozen=True, slots=True)
class Trace:
    """A cold-start answer: reasoning, and prompts in the pixels of the mask."""

    reasoning: str
    objects: tuple[ObjectPrompt, ...]


def write_trace(pixels: RgbPixels, mask: Mask, rng: np.random.Generator, noun: str = "") -> Trace:
    """A trace of a picture and its non-empty mask; wording and points are random, the facts are not.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        mask: bool (H, W), the foreground.
        rng: the only source of randomness.
        noun: what its objects are; empty if it is not known, or they are of different kinds.

    Raises:
        ValueError: for an empty mask.
    """
    parts = separate_objects(mask)
    return Trace(
        _reasoning(foreground_traits(pixels, mask, len(parts), noun), rng),
        tuple(_prompt(part, mask, rng) for part in parts),
    )


def separate_objects(mask: Mask) -> list[Mask]:
    """The objects of a mask, from left to right: its larger components, each with the small ones inside its box.

    Components whose boxes overlap are one object, and so is a foreground of more than `MAX_OBJECTS` components: a mask
    alone does not show what belongs together, and one box around everything is never wrong.

    Raises:
        ValueError: for an empty mask.
    """
    if not mask.any():
        raise ValueError("an empty mask has no objects")
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    large = 1 + np.flatnonzero(areas >= PART_SHARE * areas.max())
    boxes = [_stat_box(stats[index]) for index in large]
    if len(large) > MAX_OBJECTS or any(box_iou(a, b) for i, a in enumerate(boxes) for b in boxes[:i]):
        return [mask]
    if len(large) == 1:
        return [mask]
    return [labels == large[i] for i in np.argsort([box.x1 for box in boxes])]


def absence(noun: str, rng: np.random.Generator) -> str:
    """The reasoning of an answer that there is nothing of this kind."""
    return ABSENCES[rng.integers(len(ABSENCES))].format(noun=noun)


def foreground_traits(pixels: RgbPixels, mask: Mask, count: int, noun: str = "") -> Traits:
    """The traits of a foreground of ``count`` objects, of this kind if it is known."""
    found = measure(pixels, mask)
    return Traits(
        count=count_words(count, noun),
        place=place_word(found.x, found.y),
        size=size_word(found.share),
        colour=colour_word(found.colour),
        ground=colour_word(found.ground),
        contrast=contrast_word(found.contrast),
    )


def measure(pixels: RgbPixels, mask: Mask) -> ForegroundMeasures:
    """The measurements of a non-empty foreground."""
    height, width = mask.shape
    cover, around = mask.view(np.uint8), _surroundings(mask)
    moments = cv2.moments(cover, binaryImage=True)
    area = moments["m00"]
    colour = cv2.mean(pixels, cover)[:3]
    return ForegroundMeasures(
        x=(moments["m10"] / area + 0.5) / width,
        y=(moments["m01"] / area + 0.5) / height,
        share=area / mask.size,
        colour=to_lab(colour),
        ground=to_lab(cv2.mean(pixels, around.view(np.uint8))[:3] if around.any() else colour),
    )


def count_words(count: int, noun: str = "") -> str:
    """A number of objects, or of things of a kind, in words."""
    if not noun:
        return COUNTS[count]
    number = COUNTS[count].split()[0]
    return f"{number} {noun if count == 1 else plural(noun)}"


def place_word(x: float, y: float) -> str:
    """The word for a centroid's position, given as fractions of the picture's width and height."""
    vertical = ("top", "", "bottom")[min(int(3 * y), 2)]
    horizontal = ("left", "", "right")[min(int(3 * x), 2)]
    return " ".join(part for part in (vertical, horizontal) if part) or "centre"


def size_word(share: float) -> str:
    """The word for a fraction of the picture."""
    return "small" if share < SMALL else "large" if share > LARGE else "medium"


def contrast_word(distance: float) -> str:
    """The words for a distance in CIELAB."""
    return "blends into" if distance < BLENDS else "stands out from" if distance > STANDS_OUT else "differs from"


def colour_word(lab: Lab) -> str:
    """The name of the nearest of `COLOURS`."""
    return list(COLOURS)[int(colour_distances(lab).argmin())]


def colour_distances(lab: Lab) -> Lab:
    """The distances of a colour from each of `COLOURS`, in their order."""
    distances: Lab = np.linalg.norm(_NAMED - lab, axis=1)
    return distances


def vocabulary(nouns: Sequence[str] = ()) -> tuple[str, ...]:
    """Every word of traces and instructions, sorted; with those about things of these kinds, if there are any."""
    texts = [*COUNTS.values(), *COLOURS, *(text for group in INSTRUCTIONS.values() for text in group)]
    texts += [*WHICH, *(_without_fields(wording) for wording in WORDINGS)]
    texts += ["top left right bottom centre small medium large blends into stands out differs from are"]
    texts += [_without_fields(template) for template in TEMPLATES]
    if nouns:
        texts += [*nouns, *map(plural, nouns)]
        texts += [_without_fields(text) for text in (*NOUN_WORDINGS, *NAMED_WORDINGS, *ABSENCES)]
    letters = "".join(c if c.isalpha() else " " for c in " ".join(texts))
    return tuple(sorted(set(letters.split())))


_OPENINGS = (
    "there is {count} at the {place}.",
    "i see {count} at the {place} of the picture.",
    "the foreground lies at the {place}: {count}.",
    "at the {place} there is {count}.",
)
_LOOKS = (
    "it is {colour} and {contrast} the {ground} background.",
    "its {colour} colour {contrast} the {ground} background.",
    "the {colour} region {contrast} its {ground} surroundings.",
)
_SIZES = ("it is {size}.", "its size is {size}.", "it covers a {size} part of the picture.")
TEMPLATES = (*_OPENINGS, *_LOOKS, *_SIZES)
"""All sentence templates, in an order in which the first match is the right one."""


def _reasoning(traits: Traits, rng: np.random.Generator) -> str:
    """An opening, then appearance and size in either order."""
    fields = {name: getattr(traits, name) for name in Traits.__slots__}
    later = [_LOOKS[rng.integers(len(_LOOKS))], _SIZES[rng.integers(len(_SIZES))]]
    if rng.random() < 0.5:
        later.reverse()
    text = " ".join([_OPENINGS[rng.integers(len(_OPENINGS))], *later]).format(**fields)
    return text if traits.count.startswith(COUNTS[1].split()[0]) else text.replace("there is", "there are")


def _prompt(part: Mask, mask: Mask, rng: np.random.Generator) -> ObjectPrompt:
    """The box, the deepest point, one or two more points inside, and up to two near the box but outside the mask."""
    box = mask_box(part)
    assert box is not None
    height, width = part.shape
    eroded = cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    inside = eroded if eroded.any() else part
    points = [Point(*deepest_point(part), 1), *_draw(inside, int(rng.integers(1, 3)), 1, rng)]
    margin_x, margin_y = (box.x2 - box.x1) * 0.15 + 1, (box.y2 - box.y1) * 0.15 + 1
    near = np.zeros_like(part)
    near[
        int(max(box.y1 - margin_y, 0)) : int(min(box.y2 + margin_y, height)),
        int(max(box.x1 - margin_x, 0)) : int(min(box.x2 + margin_x, width)),
    ] = True
    beside = near & ~cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    points += _draw(beside, int(rng.integers(0, 3)), 0, rng)
    return ObjectPrompt(box, tuple(points))


def _draw(region: Mask, count: int, label: int, rng: np.random.Generator) -> list[Point]:
    candidates = np.flatnonzero(region)
    if not len(candidates):
        return []
    drawn = rng.choice(candidates, count)
    return [Point(float(i % region.shape[1]) + 0.5, float(i // region.shape[1]) + 0.5, label) for i in drawn]


def _surroundings(mask: Mask) -> Mask:
    """A ring around the mask, a tenth of the picture wide."""
    reach = 2 * max(max(mask.shape) // 20, 2) + 1
    ring: Mask = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool) & ~mask
    return ring


def to_lab(rgb: npt.ArrayLike) -> Lab:
    """An RGB colour, 0 to 255, in CIELAB: float (3,)."""
    pixel = (np.asarray(rgb, np.float32) / 255).reshape(1, 1, 3)
    lab: Lab = cv2.cvtColor(pixel, cv2.COLOR_RGB2LAB).reshape(3).astype(np.float64)
    return lab


_NAMED = np.stack([to_lab(value) for value in COLOURS.values()])


def _stat_box(stat: Sequence[int]) -> Box:
    left, top, width, height = (float(value) for value in list(stat)[:4])
    return Box(left, top, left + width, top + height)


def _without_fields(template: str) -> str:
    """A template without its ``{fields}``."""
    return "".join(piece.split("}")[-1] for piece in template.split("{"))
