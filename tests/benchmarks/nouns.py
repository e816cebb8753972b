"""Whether a policy finds things by their nouns, says when they are not there, and names what it found.

``python -m tests.benchmarks.nouns --data DIR``; DIR holds data sets with nouns (`train/data/nouns.py`). Only pictures
that the recipe keeps out of its training are used: an eighth of them to tune on (``--split validation``), another to
report on. A policy that was taught no nouns is asked all the same, so that it can be compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from tqdm import tqdm

from segr1_app.domain import ImageSize, Mask, Prediction, RgbPixels
from segr1_app.images.pictures import Picture, picture_from_array
from segr1_app.language.codec import PRESETS
from segr1_app.metrics import iou
from segr1_app.models.frames import resize_to_frame
from segr1_app.models.pipeline import Pipeline, load_models
from segr1_app.settings.config import Settings
from tests.benchmarks.reasoning_check import statements
from train.data.composing import has_room, paste, put_beside
from train.data.nouns import NAMED_BY_STEM, NOUNS_FILE, SPLITS, NamedPair, named_pairs, plural
from train.data.pairs import read_pair
from train.data.traces import COUNTS, NOUN_WORDINGS, separate_objects
from train.scratch.policy_pictures import mask_in_frame

SEED, FOUND, BATCH = 0, 0.5, 8
SIDE = 256
"""Side in pixels of the pictures of which scenes are composed, as in the recipe."""
PASTED, BESIDE = "pasted", "side by side"


@dataclass(frozen=True, slots=True, eq=False)
class NounQuestion:
    """A noun that is asked for in a picture.

    Attributes:
        picture: what is shown.
        noun: what is asked for.
        truth: bool (H, W), empty if there is nothing of the kind.
        other: bool (H, W), another object; empty if there is none.
        kind: how the picture was made.
    """

    picture: Picture
    noun: str
    truth: Mask
    other: Mask
    kind: str = ""


@dataclass(frozen=True, slots=True)
class NounAnswer:
    """The answer to a question: IoU with what was asked for and with the other object, and whether it abstains."""

    noun: str
    kind: str
    overlap: float
    other: float
    abstains: bool

    @property
    def right(self) -> bool:
        """Whether it found what was asked for rather than the other object."""
        return self.overlap > FOUND and self.overlap > self.other


def composed_questions(named: Sequence[NamedPair], count: int) -> Iterator[NounQuestion]:
    """Questions about both objects of scenes of two, which are of different kinds; half of the scenes are pasted.

    Nouns are drawn equally often, however many pictures they have.
    """
    rng, by_noun = np.random.default_rng(SEED), _by_noun(named)
    for number in range(count):
        while True:
            nouns = rng.choice(sorted(by_noun), 2, replace=False).tolist()
            views = [_square(by_noun[noun][rng.integers(len(by_noun[noun]))]) for noun in nouns]
            (pixels, mask, _), (second, cover, _) = views
            if number % 2:
                scene, objects, size = put_beside([view[:2] for view in views], [view[2] for view in views], rng)
                scene, objects = resize_to_frame(scene, size), [mask_in_frame(part, size) for part in objects]
                break
            if not has_room(separate_objects(mask)):
                continue
            scene, objects, owners = paste(pixels, mask, [(second, cover.astype(np.uint8) * 255)], rng)
            if len(objects) == 2:
                nouns = [nouns[owner] for owner in owners]
                break
        picture = picture_from_array(scene)
        for asked in (0, 1):
            kind = BESIDE if number % 2 else PASTED
            yield NounQuestion(picture, nouns[asked], objects[asked], objects[1 - asked], kind)


def single_questions(named: Sequence[NamedPair], count: int) -> Iterator[NounQuestion]:
    """Two questions about pictures: for what they show, and for what another of these pictures shows."""
    rng = np.random.default_rng(SEED)
    chosen = [named[i] for i in rng.permutation(len(named))[:count]]
    for pair in chosen:
        absent = str(rng.choice([other.noun for other in named if other.noun != pair.noun]))
        picture, mask = read_pair(pair.pair)
        nothing = np.zeros_like(mask)
        yield NounQuestion(picture, pair.noun, mask, nothing)
        yield NounQuestion(picture, absent, nothing, mask)


def answers(pipeline: Pipeline, questions: Iterable[NounQuestion]) -> list[NounAnswer]:
    """The pipeline's answers to questions."""
    found, every = [], list(questions)
    for begin in tqdm(range(0, len(every), BATCH), unit="batch"):
        some = every[begin : begin + BATCH]
        asked = [(one.picture, NOUN_WORDINGS[0].format(noun=one.noun).capitalize()) for one in some]
        for question, answer in zip(some, pipeline.run_together(asked), strict=True):
            overlap = iou(answer.mask, question.truth) if question.truth.any() else 0.0
            other = iou(answer.mask, question.other) if question.other.any() else 0.0
            found.append(NounAnswer(question.noun, question.kind, overlap, other, answer.abstains))
    return found


def named_in_reasoning(pipeline: Pipeline, named: Sequence[NamedPair], count: int) -> list[str | None]:
    """For pictures and the plain request: "right", "wrong", or None where the reasoning names nothing."""
    rng, said = np.random.default_rng(SEED), list[str | None]()
    chosen = [named[i] for i in rng.permutation(len(named))[:count]]
    for begin in tqdm(range(0, len(chosen), BATCH), unit="batch"):
        some = chosen[begin : begin + BATCH]
        asked = [(read_pair(one.pair)[0], PRESETS[0].text) for one in some]
        for one, answer in zip(some, pipeline.run_together(asked), strict=True):
            said.append(_naming(answer, one.noun))
    return said


def table(pipeline: Pipeline, named: Sequence[NamedPair], scenes: int, pictures: int) -> str:
    """All figures as a table of markdown."""
    two = answers(pipeline, composed_questions(named, scenes))
    lines = ["| | asked | nouns | share |", "|---|---|---|---|"]
    for kind in (BESIDE, PASTED):
        some = [answer for answer in two if answer.kind == kind]
        lines.append(_row(f"the right one of two, {kind}", [answer.right for answer in some], some))
    lines.append(_row("the right one of two", [answer.right for answer in two], two))
    lines.append(_row("nearer to the right one of two", [answer.overlap > answer.other for answer in two], two))
    lines.append(_row("the right one of two, mean over nouns", _by_noun_means(two), two))
    alone = answers(pipeline, single_questions(named, pictures))
    present, absent = alone[::2], alone[1::2]
    lines.append(_row("abstains when it is not there", [answer.abstains for answer in absent], absent))
    lines.append(_row("answers when it is there", [not answer.abstains for answer in present], present))
    lines.append(_row(f"finds it when it is there, IoU > {FOUND}", [one.right for one in present], present))
    said = named_in_reasoning(pipeline, named, pictures)
    lines.append(_row("the reasoning names something", [word is not None for word in said], present))
    if any(said):
        lines.append(_row("and that is right", [word == "right" for word in said if word], present))
    return "\n".join(lines)


def _naming(answer: Prediction, noun: str) -> str | None:
    count = statements(answer.reasoning or "").get("count", "")
    if not count or count in COUNTS.values():
        return None
    return "right" if count.partition(" ")[2] in (noun, plural(noun)) else "wrong"


def _by_noun_means(found: Sequence[NounAnswer]) -> list[float]:
    grouped = defaultdict(list)
    for answer in found:
        grouped[answer.noun].append(answer.right)
    return [statistics.fmean(group) for group in grouped.values()]


def _row(title: str, values: Sequence[float], asked: Sequence[NounAnswer]) -> str:
    return f"| {title} | {len(values)} | {len({one.noun for one in asked})} | {statistics.fmean(values):.3f} |"


def _by_noun(named: Sequence[NamedPair]) -> dict[str, list[NamedPair]]:
    grouped = defaultdict(list)
    for pair in named:
        grouped[pair.noun].append(pair)
    return dict(grouped)


def _square(named: NamedPair) -> tuple[RgbPixels, Mask, float]:
    """A picture and its mask as squares of `SIDE`, as packed pairs are, and its width divided by its height."""
    picture, mask = read_pair(named.pair)
    return (
        resize_to_frame(picture.pixels, ImageSize(SIDE, SIDE)),
        mask_in_frame(mask, ImageSize(SIDE, SIDE)),
        picture.size.width / picture.size.height,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.nouns", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that holds the data sets")
    parser.add_argument("--policy", default=Settings().policy, metavar="DIR", help="default: the embedded one")
    parser.add_argument("--split", choices=sorted({*SPLITS} - {"train"}), default="report", help="default: %(default)s")
    parser.add_argument("--scenes", type=int, default=200, metavar="N", help="scenes of two (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=300, metavar="N", help="other pictures (default: %(default)s)")
    given = parser.parse_args()
    folders = [
        folder
        for folder in sorted(given.data.iterdir())
        if (folder / NOUNS_FILE).is_file() or folder.name in NAMED_BY_STEM
    ]
    named = [pair for pair in named_pairs(folders) if pair.split == given.split]
    pipeline = Pipeline(*load_models(Settings(policy=given.policy, device="cpu")))
    print(table(pipeline, named, given.scenes, given.pictures))


if __name__ == "__main__":
    main()
