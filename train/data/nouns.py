"""What the pictures of data sets show, by a noun each; and which of these pictures are never trained on.

Nouns stand in ``nouns.csv`` beside ``images/`` and ``masks/``, with the columns "stem" and "noun". Some data sets show
things of one kind, or name them in the stems of their files.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from segr1_app.domain import DatasetError
from train.data.pairs import Pair, find_pairs

NOUNS_FILE: Final = "nouns.csv"
NAMED_BY_STEM: Final[dict[str, dict[str, str]]] = {
    "balloon": {"": "balloon"},
    "caltech_animals": {"elephant": "elephant", "emu": "emu", "flamingo": "flamingo", "rhino": "rhinoceros"},
    "oxford_pets": {"Abyssinian": "cat", "Bengal": "cat", "american_bulldog": "dog"},
    "pennfudan": {"": "person"},
}
"""By the name of a data set's folder: what its pictures show, by the beginning of their stems."""
FEWEST: Final = 8
"""Pictures below which a noun is not taught."""
IRREGULAR: Final = {
    "fish": "fish",
    "mouse": "mice",
    "child": "children",
    "man": "men",
    "person": "people",
    "sheep": "sheep",
    "sunglasses": "sunglasses",
    "woman": "women",
}
"""Plurals of words that do not follow the rules of `plural`."""
SYNONYMS: Final = {
    "car": ("automobile", "taxi", "jeep", "limousine", "convertible"),
    "cat": ("kitten", "kitty"),
    "cup": ("mug", "teacup"),
    "dog": ("puppy", "hound", "bulldog", "terrier"),
    "fish": ("goldfish",),
    "frog": ("toad",),
    "hat": ("cap", "sombrero"),
    "hippopotamus": ("hippo",),
    "ladybug": ("ladybird",),
    "laptop": ("notebook",),
    "monkey": ("ape", "chimpanzee", "gorilla"),
    "motorcycle": ("motorbike",),
    "person": ("man", "woman", "child", "boy", "girl", "pedestrian"),
    "rabbit": ("bunny", "hare"),
    "refrigerator": ("fridge",),
    "rhinoceros": ("rhino",),
    "screen": ("monitor", "television"),
    "sofa": ("couch",),
    "bag": ("handbag", "backpack", "purse"),
    "bicycle": ("bike",),
    "boat": ("ship", "yacht", "canoe"),
    "burger": ("hamburger", "cheeseburger"),
    "turtle": ("tortoise",),
    "violin": ("fiddle",),
}
"""Words that mean something of a kind, or nearly, by its noun."""

Split = Literal["train", "validation", "report"]
SPLITS: Final[tuple[Split, ...]] = ("validation", "report", "train", "train", "train", "train", "train", "train")
"""By the remainder of a picture's hash: an eighth each to tune on and to report on."""


@dataclass(frozen=True, slots=True)
class NamedPair:
    """A pair whose object has a name."""

    dataset: str
    pair: Pair
    noun: str
    split: Split


def named_pairs(folders: Sequence[Path]) -> list[NamedPair]:
    """The pairs of data sets that have a noun, without nouns of fewer than `FEWEST` pictures.

    Raises:
        DatasetError: when pairs or nouns cannot be read.
    """
    found = [
        NamedPair(folder.resolve().name, pair, nouns[pair.stem], split_of(pair.image))
        for folder in folders
        if (pairs := find_pairs(folder / "images", folder / "masks").pairs) and (nouns := _nouns(folder, pairs))
        for pair in pairs
        if pair.stem in nouns
    ]
    counts = Counter(named.noun for named in found)
    return [named for named in found if counts[named.noun] >= FEWEST]


def split_of(image: Path) -> Split:
    """What a picture is used for, by a hash of its file: a copy of it elsewhere is used for the same.

    Raises:
        DatasetError: when it cannot be read.
    """
    try:
        digest = hashlib.sha256(image.read_bytes()).digest()
    except OSError as error:
        raise DatasetError(f"'{image}' cannot be read: {error}") from error
    return SPLITS[digest[0] % len(SPLITS)]


def plural(noun: str) -> str:
    """The plural of a noun of one or several words."""
    *before, last = noun.split(" ")
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = f"{last[:-1]}ies"
    else:
        last += "s"
    return " ".join([*before, last])


def synonyms_of(nouns: Sequence[str]) -> dict[str, str]:
    """The synonyms of nouns, and their plurals, each with what it stands for."""
    return {form(other): form(noun) for noun in nouns for other in SYNONYMS.get(noun, ()) for form in (str, plural)}


def _nouns(folder: Path, pairs: Sequence[Pair]) -> dict[str, str]:
    """The nouns of a data set by stem; empty if it has none."""
    path = folder / NOUNS_FILE
    if not path.is_file():
        kinds = NAMED_BY_STEM.get(folder.resolve().name, {})
        return {pair.stem: noun for pair in pairs for start, noun in kinds.items() if pair.stem.startswith(start)}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"stem", "noun"} <= set(rows.fieldnames or ()):
                raise DatasetError(f"'{path}' needs the columns 'stem' and 'noun'.")
            nouns = {row["stem"]: row["noun"] or "" for row in rows}
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"'{path}' cannot be read: {error}") from error
    for stem, noun in nouns.items():
        if not noun or not all(word.isascii() and word.isalpha() and word.islower() for word in noun.split(" ")):
            raise DatasetError(f"'{path}' names '{stem}' '{noun}': write a noun of lower-case words, a to z.")
    return nouns
