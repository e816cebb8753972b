"""How good the embedded pair is on photographs it never saw: ``python -m tests.benchmarks.quality --data DIR``.

DIR holds the report sets, each with ``images/`` and ``masks/``. Prints one table of IoU / S-measure; ``--write`` also
puts it into the README and the model card. Every row is what `train.evaluate` finds, or a mask that takes no look at
the picture; the centred boxes are the best of several sizes, chosen on the very set they are scored on.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from scipy.stats import spearmanr
from tqdm import tqdm

from segr1_app.codec import PRESETS
from segr1_app.config import Settings
from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt
from segr1_app.geometry import mask_box
from segr1_app.images import Picture, load_mask, load_picture
from segr1_app.metrics import iou, s_measure
from segr1_app.pipeline import load_models
from segr1_app.policy import VlmPolicy
from segr1_app.segmenter import Sam2Segmenter
from tests.e2e.serving import ROOT
from train.answering import Answer, find_answer
from train.pairs import Pair, find_pairs

SETS = ("camo_test", "duts_te", "ecssd", "sod")
"""The report sets: none of them is ever trained on."""
SHARES = (0.5, 0.6, 0.7, 0.8)
"""Sides of the centred box as shares of the picture's."""
CARD_PAGE = ROOT / "assets" / "models" / "README.md"
MARK = "quality-table"
COLD_START = ROOT / "assets" / "models" / "cold-start"
"""The policy as it was before GRPO."""
CLICKS = ((1, "click"), (2, "clicks"), (3, "clicks"))
PAIR, ORACLE = "**the embedded pair**", "its segmenter, **oracle** prompts"


class Score(NamedTuple):
    """Means over a set.

    Attributes:
        iou, s_measure: of the masks.
        format_rate: None where no policy was asked.
        confidence_rank: how the segmenter's confidence orders its masks by their IoU; None where it was not asked.
    """

    iou: float
    s_measure: float
    format_rate: float | None = None
    confidence_rank: float | None = None


def centred_box(image_wh: ImageSize, share: float) -> Box:
    """A box of ``share`` of both sides in the middle of the picture."""
    width, height = image_wh
    margin = (1 - share) / 2
    return Box(width * margin, height * margin, width * (1 - margin), height * (1 - margin))


def filled(box: Box, image_wh: ImageSize) -> Mask:
    """Everything inside a box: bool (height, width)."""
    mask = np.zeros((image_wh.height, image_wh.width), dtype=bool)
    mask[round(box.y1) : round(box.y2), round(box.x1) : round(box.x2)] = True
    return mask


def scored(pairs: Sequence[Pair], answer: Callable[[Picture, Mask], Mask]) -> Score:
    """Score whatever makes a mask from a picture and its truth."""
    scores = []
    for pair in pairs:
        picture, truth = load_picture(pair.image), load_mask(pair.mask)
        mask = answer(picture, truth)
        scores.append((iou(mask, truth), s_measure(mask, truth)))
    return Score(*(statistics.fmean(part) for part in zip(*scores, strict=True)))


def answered(pairs: Iterable[Pair], ask: Callable[[Picture, Mask], Answer]) -> Score:
    """Score the models' answers; only what the table shows, as the other metrics take ten times as long."""
    scores, formed, judged = [], [], []
    for pair in pairs:
        picture, truth = load_picture(pair.image), load_mask(pair.mask)
        answer = ask(picture, truth)
        overlap = iou(answer.mask, truth)
        scores.append((overlap, s_measure(answer.mask, truth)))
        formed.append(answer.well_formed)
        judged.append((answer.confidence, overlap))
    known = [(confidence, overlap) for confidence, overlap in judged if confidence is not None]
    return Score(
        *(statistics.fmean(part) for part in zip(*scores, strict=True)),
        format_rate=None if None in formed else statistics.fmean(map(bool, formed)),
        confidence_rank=float(spearmanr(*zip(*known, strict=True)).statistic) if known else None,
    )


def ellipse(box: Box, image_wh: ImageSize) -> Mask:
    """The ellipse that touches a box's sides, filled: bool (height, width)."""
    y, x = np.mgrid[: image_wh.height, : image_wh.width] + 0.5
    width, height = box.x2 - box.x1, box.y2 - box.y1
    mask: Mask = ((x - box.x1) / width - 0.5) ** 2 + ((y - box.y1) / height - 0.5) ** 2 <= 0.25
    return mask


def from_truth(draw: Callable[[Box, Picture], Mask]) -> Callable[[Picture, Mask], Mask]:
    """What is drawn from the box around the truth."""

    def answer(picture: Picture, truth: Mask) -> Mask:
        box = mask_box(truth)
        return draw(box, picture) if box else np.zeros_like(truth)

    return answer


def from_middle(draw: Callable[[Box, Picture], Mask], share: float) -> Callable[[Picture, Mask], Mask]:
    """What is drawn from a box of ``share`` of both sides in the middle of the picture."""
    return lambda picture, _: draw(centred_box(picture.size, share), picture)


def score_set(folder: Path, policy: VlmPolicy, cold_start: VlmPolicy, segmenter: Sam2Segmenter) -> dict[str, Score]:
    """All rows of the table for one set."""
    pairs = find_pairs(folder / "images", folder / "masks").pairs
    instruction = PRESETS["camo" in folder.name].text

    def segmented(box: Box, picture: Picture) -> Mask:
        return segmenter.decode(segmenter.encode(picture), [ObjectPrompt(box)])[0].mask

    def fill(box: Box, picture: Picture) -> Mask:
        return filled(box, picture.size)

    def round_off(box: Box, picture: Picture) -> Mask:
        return ellipse(box, picture.size)

    def middle(draw: Callable[[Box, Picture], Mask]) -> Score:
        return max(scored(pairs, from_middle(draw, share)) for share in SHARES)

    def pipeline(policy: VlmPolicy | None, clicks: int) -> Score:
        return answered(
            tqdm(pairs, desc=folder.name, unit="pair"),
            lambda picture, truth: find_answer(
                picture, truth, segmenter=segmenter, policy=policy, instruction=instruction, clicks=clicks
            ),
        )

    return {
        "a centred box, filled": middle(fill),
        "a centred ellipse": middle(round_off),
        "a centred box, segmented": middle(segmented),
        "the **oracle** box, filled": scored(pairs, from_truth(fill)),
        "the **oracle** ellipse": scored(pairs, from_truth(round_off)),
        PAIR: pipeline(policy, 0),
        "the same before GRPO": pipeline(cold_start, 0),
        ORACLE: pipeline(None, 0),
        **{f"the same and {count} corrective {noun}": pipeline(None, count) for count, noun in CLICKS},
    }


def table(results: dict[str, dict[str, Score]]) -> str:
    """The results in Markdown: a row per predictor, a column per set; below, format rates and rank correlations."""
    lines = [f"| IoU / S-measure | {' | '.join(results)} |", f"|---|{'---|' * len(results)}"]
    for row in next(iter(results.values())):
        scores = (found[row] for found in results.values())
        lines.append(f"| {row} | {' | '.join(f'{score.iou:.3f} / {score.s_measure:.3f}' for score in scores)} |")
    rates = (found[PAIR].format_rate for found in results.values())
    lines.append(f"| format rate of its policy | {' | '.join(f'{rate:.3f}' for rate in rates)} |")
    ranks = (found[ORACLE].confidence_rank for found in results.values())
    lines.append(f"| rank correlation of its confidence with the IoU | {' | '.join(f'{rank:.2f}' for rank in ranks)} |")
    return "\n".join(lines)


def put_between(page: Path, mark: str, text: str) -> None:
    """Put a text where a page has it, between the comments ``<!-- mark -->`` and ``<!-- /mark -->``."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    new, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}\n\n{text}\n\n{end}",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    assert count == 1, f"{page} has no place for {mark}"
    page.write_text(new, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.quality", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"folder that holds {', '.join(SETS)}")
    parser.add_argument("--write", action="store_true", help="put the table into the README and the model card")
    given = parser.parse_args()
    policy, segmenter = load_models(Settings(device="cpu"))
    cold_start = VlmPolicy.load(COLD_START, device="cpu")
    text = table({name: score_set(given.data / name, policy, cold_start, segmenter) for name in SETS})
    print(text)
    if given.write:
        for page in (ROOT / "README.md", CARD_PAGE):
            put_between(page, MARK, text)


if __name__ == "__main__":
    main()
