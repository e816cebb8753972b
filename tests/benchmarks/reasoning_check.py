"""Check the statements of a completion about its object against a mask.

Only sentences as `train.data.traces` writes them can be read: the embedded policy writes such sentences, a large one
does not.

Words for amounts are vague: where "small" ends, "medium" has long begun. A statement fails when the object is plainly
otherwise: when its word would be another one even for an amount a little to either side of the true one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from segr1_app.domain import Mask, RgbPixels
from train.data.traces import (
    COLOURS,
    COUNTS,
    TEMPLATES,
    ForegroundMeasures,
    Lab,
    colour_distances,
    contrast_word,
    measure,
    place_word,
    separate_objects,
    size_word,
)

PLACE_PLAY, SHARE_PLAY, LAB_PLAY = 0.08, 1.5, 8.0
"""To either side of the true amount: of a centroid in fractions of the picture's side, of a foreground's share as a
factor, and of colours and contrast as a distance in CIELAB."""

_SENTENCES = tuple(
    re.compile(
        re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[a-z ]+)", re.escape(template)).replace(r"there\ is", "there (?:is|are)")
    )
    for template in TEMPLATES
)


def statements(reasoning: str) -> dict[str, str]:
    """The statements of a reasoning by trait; sentences of another form are ignored."""
    said: dict[str, str] = {}
    for sentence in re.findall(r"[^.]+\.", reasoning):
        forms = (pattern.fullmatch(sentence.strip()) for pattern in _SENTENCES)
        if found := next(filter(None, forms), None):
            said |= found.groupdict()
    return said


def check_reasoning(reasoning: str, pixels: RgbPixels, mask: Mask) -> dict[str, bool]:
    """Whether each statement is true of a mask: bool (height, width) of the picture; an empty one satisfies none."""
    said = statements(reasoning)
    if not mask.any():
        return dict.fromkeys(said, False)
    true = measure(pixels, mask)
    count = COUNTS[len(separate_objects(mask))]
    holds: dict[str, Callable[[str], bool]] = {
        # "Two objects" and "two lemons" say the same about their number.
        "count": lambda word: word.split()[0] == count.split()[0],
        "place": lambda word: word in _places(true),
        "size": lambda word: word in {size_word(true.share * factor) for factor in (1 / SHARE_PLAY, 1, SHARE_PLAY)},
        "colour": lambda word: _is_called(word, true.colour),
        "ground": lambda word: _is_called(word, true.ground),
        "contrast": lambda word: word in {contrast_word(true.contrast + play) for play in (-LAB_PLAY, 0, LAB_PLAY)},
    }
    return {name: holds[name](word) for name, word in said.items()}


def _places(true: ForegroundMeasures) -> set[str]:
    steps = (-PLACE_PLAY, 0, PLACE_PLAY)
    return {place_word(true.x + dx, true.y + dy) for dx in steps for dy in steps}


def _is_called(word: str, lab: Lab) -> bool:
    """Whether a colour's name is its nearest, or as good as that."""
    distances = dict(zip(COLOURS, colour_distances(lab), strict=True))
    return word in distances and distances[word] <= min(distances.values()) + LAB_PLAY
