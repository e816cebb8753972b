"""Whether the embedded policy's reasoning is true and its instructions are followed, on unseen photographs.

``python -m tests.benchmarks.understanding --data DIR``; DIR holds the report sets. Two tables: how many statements of
the reasoning are true of its mask, and of the ground truth; and how often an instruction for one of several objects
finds that one, on scenes composed of the report sets' photographs. ``--write`` puts them into the model card.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from tqdm import tqdm

from segr1_app.domain import Mask
from segr1_app.images.masks import load_mask
from segr1_app.images.pictures import Picture, load_picture, picture_from_array
from segr1_app.language.codec import PRESETS
from segr1_app.metrics import iou
from segr1_app.models.pipeline import Pipeline, load_models
from segr1_app.settings.config import Settings
from tests.benchmarks.quality import CARD_PAGE, SETS, put_between
from tests.benchmarks.reasoning_check import check_reasoning
from train.data.composing import compose, distinguishing_words, has_room
from train.data.pairs import Pair, find_pairs
from train.data.traces import COLOURS, WHICH, WORDINGS, separate_objects

MARK = "understanding-tables"
JUDGED = ("place", "size", "contrast")
"""The statements the goal is about; the others are reported beside."""
SEED = 0
FOUND = 0.5
"""IoU with the object that was meant from which on it counts as found, as is usual for referring expressions."""


class InstructionOverlaps(NamedTuple):
    """One instruction and its answer's IoU with each object, the one that was meant first."""

    word: str
    overlaps: tuple[float, ...]

    @property
    def right(self) -> bool:
        """Whether the answer is the object that was meant rather than any other."""
        return self.overlaps[0] > max(self.overlaps[1:])


def spoken(pipeline: Pipeline, folder: Path) -> dict[str, tuple[list[bool], list[bool]]]:
    """For every trait, whether each statement about a picture of a set holds of the answer's mask and of the truth."""
    held: dict[str, tuple[list[bool], list[bool]]] = defaultdict(lambda: ([], []))
    instruction = PRESETS["camo" in folder.name].text
    for pair in tqdm(find_pairs(folder / "images", folder / "masks").pairs, desc=folder.name, unit="pair"):
        picture, truth = load_picture(pair.image), load_mask(pair.mask)
        found = pipeline.run(picture, instruction)
        for side, mask in enumerate((found.mask, truth)):
            for name, holds in check_reasoning(found.reasoning or "", picture.pixels, mask).items():
                held[name][side].append(holds)
    return dict(held)


def composed(pairs: Sequence[Pair], count: int) -> Iterator[tuple[Picture, list[Mask]]]:
    """Scenes of two or three objects: photographs with one object, and objects of others pasted next to it."""
    rng = np.random.default_rng(SEED)
    made = 0
    while made < count:
        ground, *others = (pairs[int(index)] for index in rng.choice(len(pairs), 3, replace=False))
        picture, mask = load_picture(ground.image), load_mask(ground.mask)
        if not has_room(separate_objects(mask)):
            continue
        pasted = [(load_picture(pair.image).pixels, load_mask(pair.mask).astype(np.uint8) * 255) for pair in others]
        pixels, objects = compose(picture.pixels, mask, pasted, rng)
        if len(objects) > 1:
            made += 1
            yield picture_from_array(pixels), objects


def instruction_overlaps(pipeline: Pipeline, pairs: Sequence[Pair], count: int) -> list[InstructionOverlaps]:
    """Every word that means one of the objects of a scene, and what was segmented for it."""
    answers = []
    for picture, objects in tqdm(composed(pairs, count), total=count, desc="composed scenes", unit="scene"):
        for word, meant in distinguishing_words(picture.pixels, objects).items():
            answer = pipeline.run(picture, WORDINGS[0].format(which=word).capitalize()).mask
            order = [meant, *(index for index in range(len(objects)) if index != meant)]
            answers.append(InstructionOverlaps(word, tuple(iou(answer, objects[index]) for index in order)))
    return answers


def statement_table(results: dict[str, dict[str, tuple[list[bool], list[bool]]]]) -> str:
    """Fractions of statements true of the answer's mask and of the ground truth, by trait (rows) and set (columns)."""
    lines = [f"| its own mask / the true one | {' | '.join(results)} |", f"|---|{'---|' * len(results)}"]
    judged = {
        name: tuple([holds for trait in JUDGED for holds in held.get(trait, ([], []))[side]] for side in (0, 1))
        for name, held in results.items()
    }
    rows = {f"**{', '.join(JUDGED)}**": judged} | {
        trait: {name: held.get(trait, ([], [])) for name, held in results.items()}
        for trait in (*JUDGED, "count", "colour", "ground")
    }
    for title, sets in rows.items():
        cells = [
            f"{statistics.fmean(own):.3f} / {statistics.fmean(true):.3f}" if own else "–" for own, true in sets.values()
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def instruction_table(answers: Sequence[InstructionOverlaps]) -> str:
    """How often the object that was meant is the one that was segmented, by kind of word."""
    kinds = {"**all words that the page names**": answers}
    kinds |= {word: [answer for answer in answers if answer.word == word] for word in WHICH}
    kinds["a colour"] = [answer for answer in answers if answer.word in COLOURS]
    lines = [
        f"| instruction | asked | the right object | with IoU of {FOUND} | mean IoU |",
        "|---|---|---|---|---|",
    ]
    for word, some in kinds.items():
        if some:
            right = statistics.fmean(answer.right for answer in some)
            found = statistics.fmean(answer.overlaps[0] >= FOUND for answer in some)
            overlap = statistics.fmean(answer.overlaps[0] for answer in some)
            lines.append(f"| {word} | {len(some)} | {right:.3f} | {found:.3f} | {overlap:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.understanding", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"folder that holds {', '.join(SETS)}")
    parser.add_argument("--policy", default=Settings().policy, metavar="DIR", help="default: the embedded one")
    parser.add_argument("--scenes", type=int, default=100, metavar="N", help="composed scenes (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="put the tables into the model card")
    given = parser.parse_args()
    pipeline = Pipeline(*load_models(Settings(policy=given.policy, device="cpu")))
    salient = [
        pair
        for name in SETS
        if "camo" not in name
        for pair in find_pairs(given.data / name / "images", given.data / name / "masks").pairs
    ]
    instructions = instruction_table(instruction_overlaps(pipeline, salient, given.scenes))
    statements = statement_table({name: spoken(pipeline, given.data / name) for name in SETS})
    print(f"{instructions}\n\n{statements}")
    if given.write:
        put_between(CARD_PAGE, MARK, f"{instructions}\n\n{statements}")


if __name__ == "__main__":
    main()
