"""Make training rows from pairs, scenes and corrections, and split them before they are mixed.

A row identifies its picture by hash. Only the hash decides on which side of the split a picture is, so that no picture
is on both, whatever its source, and a held-out picture stays held out as the data grow.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from segr1_app.domain import DatasetError, Mask, PictureError
from segr1_app.images.pictures import Picture, load_picture
from segr1_app.language.protocol import TaskKind
from segr1_app.rewards import Truth
from segr1_app.studio.samples import find_samples
from train.data.doctor import find_copies, look_of, oddity
from train.data.layouts import find_pair_folder
from train.data.pairs import Pair, load_mask_values, read_pair, refuse_repeated
from train.data.scenes import INSTRUCTIONS, Kind, draw_scene
from train.data.traces import separate_objects

PAIR, SCENE, TRACE, PHOTOGRAPH = "pair", "scene", "trace", "photograph"
"""Verdicts of rows that are not annotators' decisions."""
PHOTOGRAPHS = "photographs"
"""The source of photographs without ground truth."""
ONE_CORRECTED = (
    "All corrections are of one picture. It is used for training and none is held out, so the effect on "
    "corrections cannot be measured: correct a second picture to measure it."
)
SCENES = 80
"""Number of generated scenes that replace a data set."""
_READERS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A row in memory: the picture, and what is known about the correct answer, in the picture's own pixels.

    Attributes:
        picture: the picture.
        truth: the correct answer.
        reasoning: the reasoning that a person or the policy wrote before the answer; empty if none.
    """

    picture: Picture
    truth: Truth
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row for training or scoring that is not loaded yet.

    Attributes:
        image_id: the picture's sha256.
        source: the data set it comes from; "feedback" for corrections.
        verdict: "pair", "scene", "trace", "photograph", or an annotator's decision.
        instruction: the instruction for the policy.
        load: reads it; raises a DatasetError, PictureError or StoreError when it changed or cannot be read.
        content_hash: the correction's content hash; empty for anything else.
        task: the kind of request; `TaskKind.FOREGROUND` for the standard instruction of its kind of data.
        unedited: whether it was accepted without edits, which is less informative than a correction.
        name: the file's name; empty for anything else.
        look: as for `look_of`; empty for generated pictures.
        share: fraction of the picture covered by its object, in [0, 1]; None while unknown.
        oddity: what is odd about its mask file; empty for nothing.
        truth: the number of the task whose imported ground truth it is; None for anything else.
    """

    image_id: str
    source: str
    verdict: str
    instruction: str
    load: Callable[[], Example]
    content_hash: str = ""
    unedited: bool = False
    task: TaskKind = TaskKind.FREE
    name: str = ""
    look: bytes = b""
    share: float | None = None
    oddity: str = ""
    truth: int | None = None

    @property
    def is_feedback(self) -> bool:
        return bool(self.content_hash)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that cannot be used for training, and the reason."""

    source: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class Collected:
    """Rows, and what was left out."""

    rows: tuple[Row, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def of(cls, found: Iterable[Row | LeftOut]) -> Collected:
        """Sort what was found into both, in order."""
        both = tuple(found)
        return cls(
            tuple(each for each in both if isinstance(each, Row)),
            tuple(each for each in both if isinstance(each, LeftOut)),
        )

    def __add__(self, other: Collected) -> Collected:
        return Collected(self.rows + other.rows, self.left_out + other.left_out)


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows for training, those held out, and what is left out.

    Raises:
        DatasetError: when there are only corrections to train on, or a picture is on both sides.
    """

    train: tuple[Row, ...]
    held_out: tuple[Row, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        if not any(not row.is_feedback for row in self.train):
            raise DatasetError(
                "No pairs are left to train on; corrections alone would make the policy forget the rest."
            )
        both = {row.image_id for row in self.train} & {row.image_id for row in self.held_out}
        if both:
            raise DatasetError(f"{len(both)} pictures are both in training and held out.")

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of both sides."""
        return self.train + self.held_out

    @property
    def corrections(self) -> tuple[str, ...]:
        """Sorted content hashes of all corrections on either side."""
        return tuple(sorted(row.content_hash for row in self.rows if row.is_feedback))

    @property
    def truths(self) -> tuple[int, ...]:
        """Sorted numbers of the tasks whose imported ground truths are on either side."""
        return tuple(sorted(row.truth for row in self.rows if row.truth is not None))

    @property
    def fingerprint(self) -> str:
        """A fingerprint that changes with any row, with the order of rows, and with their side of the split."""
        digest = hashlib.sha256()
        for side in (self.train, self.held_out):
            for row in side:
                digest.update(repr((row.image_id, row.source, row.verdict, row.instruction)).encode())
                digest.update(row.content_hash.encode())
            digest.update(b"|")
        return digest.hexdigest()

    def table(self) -> str:
        """Counts by source and verdict, as text; then what is left out and why."""
        train, held_out = (Counter((row.source, row.verdict) for row in side) for side in (self.train, self.held_out))
        left_out = Counter((entry.source, entry.verdict) for entry in self.left_out)
        keys = sorted({*train, *held_out, *left_out})
        lines = [f"{'source':20} {'verdict':12} {'train':>7} {'held out':>9} {'left out':>9}"]
        lines += [f"{key[0]:20} {key[1]:12} {train[key]:7} {held_out[key]:9} {left_out[key]:9}" for key in keys]
        totals = (counts.total() for counts in (train, held_out, left_out))
        lines.append("{:20} {:12} {:7} {:9} {:9}".format("all", "", *totals))
        reasons = Counter((entry.source, entry.verdict, entry.reason) for entry in self.left_out)
        lines += [f"left out: {count} x {key[0]}, {key[1]}: {key[2]}" for key, count in sorted(reasons.items())]
        if self.corrections and not any(row.is_feedback for row in self.held_out):
            lines.append(ONE_CORRECTED)
        return "\n".join(lines)


def pair_rows(folders: Sequence[Path]) -> Collected:
    """Rows of data sets in any known layout; each file is read once, to identify it by its content.

    A pair that cannot be read, or whose mask differs in size from its image, is left out and reported.

    Raises:
        DatasetError: when a folder is not a data set, or is given twice.
    """
    collected = Collected()
    refuse_repeated(folders)
    for folder in map(find_pair_folder, folders):
        read = partial(_pair_row, folder.name, folder.instructions, INSTRUCTIONS[folder.kind])
        with ThreadPoolExecutor(_READERS) as readers:
            found = list(
                tqdm(
                    readers.map(read, folder.listing.pairs),
                    total=len(folder.listing.pairs),
                    desc=f"reading {folder.name}",
                    unit="pair",
                    leave=False,
                )
            )
        unpaired = folder.listing.unpaired_images + folder.listing.unpaired_masks
        alone = [LeftOut(folder.name, PAIR, "the file has no partner with the same name") for _ in unpaired]
        collected += Collected.of([*found, *alone])
    return collected


def scene_rows(count: int = SCENES, seed: int = 0) -> Collected:
    """Generated scenes, salient and camouflaged in turn."""
    kinds: tuple[Kind, Kind] = ("salient", "camouflaged")
    rows = []
    for number in range(count):
        kind = kinds[number % 2]
        load = partial(_load_scene, kind, seed * 1_000_003 + number)
        rows.append(Row(load().picture.sha256, "scenes", SCENE, INSTRUCTIONS[kind], load, task=TaskKind.FOREGROUND))
    return Collected(tuple(rows))


def split(collected: Collected, share: float) -> Plan:
    """Hold out about ``share`` of the pictures of pairs and of corrections, chosen by their hashes.

    Of each kind, at least one picture is held out and one is used for training if there are two.

    Raises:
        DatasetError: as `Plan`.
    """
    held_out: set[str] = set()
    for feedback in (False, True):
        pictures = sorted({row.image_id for row in collected.rows if row.is_feedback is feedback})
        below = sum(int(image_id[:8], 16) < share * 16**8 for image_id in pictures)
        held_out |= {*pictures[: min(max(below, 1), len(pictures) - 1)]} if pictures else set()
    train = [row for row in collected.rows if row.image_id not in held_out]
    kept, left_out = _without_copies(train, [row for row in collected.rows if row.image_id in held_out])
    return Plan(kept[0], kept[1], collected.left_out + left_out)


def _without_copies(
    train: Sequence[Row], held_out: Sequence[Row]
) -> tuple[tuple[tuple[Row, ...], tuple[Row, ...]], tuple[LeftOut, ...]]:
    """Remove pictures that are also on the other side with different compression or scale.

    The pair is dropped in favour of a held-out picture or of a correction used for training.
    """
    mine, theirs = ([row for row in side if row.look] for side in (train, held_out))
    from_train: set[int] = set()
    from_held_out: set[int] = set()
    for index, other in find_copies([row.look for row in mine], [row.look for row in theirs]).items():
        if mine[index].is_feedback and not theirs[other].is_feedback:
            from_held_out.add(id(theirs[other]))
        else:
            from_train.add(id(mine[index]))
    left_out = [
        *(
            LeftOut(row.source, row.verdict, "it is a copy of a held-out picture")
            for row in mine
            if id(row) in from_train
        ),
        *(
            LeftOut(row.source, row.verdict, "it is a copy of a corrected picture used for training")
            for row in theirs
            if id(row) in from_held_out
        ),
    ]
    sides = (
        tuple(row for row in train if id(row) not in from_train),
        tuple(row for row in held_out if id(row) not in from_held_out),
    )
    return sides, tuple(left_out)


def select_held_out(rows: Iterable[Row], limit: int) -> tuple[Row, ...]:
    """The held-out rows to score: up to ``limit`` pairs and ``limit`` corrections, chosen by hash.

    Sources take turns in alphabetical order, so that none crowds out another. Traces are left out because they have no
    mask. Of rows with the same picture and instruction, only one is used.
    """
    chosen: list[Row] = []
    distinct = {(row.source, row.image_id, row.instruction, row.content_hash): row for row in rows}
    for feedback in (False, True):
        by_source: dict[str, list[Row]] = {}
        for _, row in sorted(distinct.items()):
            if row.is_feedback is feedback and row.verdict != TRACE:
                by_source.setdefault(row.source, []).append(row)
        longest = max(map(len, by_source.values()), default=0)
        turns = [group[turn] for turn in range(longest) for group in by_source.values() if turn < len(group)]
        chosen += turns[:limit]
    return tuple(chosen)


def photograph_rows(plan: Plan, limit: int) -> tuple[Row, ...]:
    """Up to ``limit`` photographs of the gallery that are on neither side of a plan.

    They have no masks: they show the effect on real photographs, but cannot be scored.
    """
    planned = {row.image_id for row in plan.rows}
    rows = []
    for sample in find_samples():
        load = partial(_load_photograph, sample.path)
        rows.append(
            Row(load().picture.sha256, PHOTOGRAPHS, PHOTOGRAPH, INSTRUCTIONS["salient"], load, task=TaskKind.FOREGROUND)
        )
    return tuple(row for row in rows if row.image_id not in planned)[:limit]


def _pair_row(source: str, instructions: Mapping[str, str], otherwise: str, pair: Pair) -> Row | LeftOut:
    try:
        example = _load_pair(pair)
        odd = oddity(load_mask_values(pair.mask), _mask_of(example))
    except (DatasetError, PictureError) as error:
        return LeftOut(source, PAIR, str(error))
    mask = _mask_of(example)
    if not mask.any():
        return LeftOut(source, PAIR, "its mask is empty")
    return Row(
        example.picture.sha256,
        source,
        PAIR,
        instructions.get(pair.stem, otherwise),
        partial(_load_pair, pair),
        task=TaskKind.FREE if pair.stem in instructions else TaskKind.FOREGROUND,
        name=pair.image.name,
        look=look_of(example.picture.pixels),
        share=float(mask.mean()),
        oddity=odd,
    )


def pair_example(picture: Picture, mask: Mask) -> Example:
    """A picture with its true mask, bool (height, width), each connected part of which counts as an object."""
    return Example(picture, Truth(mask, objects=tuple(separate_objects(mask)) if mask.any() else ()))


def _mask_of(example: Example) -> Mask:
    assert example.truth.mask is not None
    return example.truth.mask


def _load_pair(pair: Pair) -> Example:
    return pair_example(*read_pair(pair))


def _load_photograph(path: Path) -> Example:
    return Example(load_picture(path), Truth())


def _load_scene(kind: Kind, seed: int) -> Example:
    scene = draw_scene(kind, seed)
    return Example(scene.picture, Truth(scene.mask, objects=(scene.mask,)))
