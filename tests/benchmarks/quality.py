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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
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
from train.evaluate import evaluate
from train.pairs import Pair, find_pairs

SETS = ("camo_test", "duts_te", "ecssd", "sod")
"""The report sets: none of them is ever trained on."""
SHARES = (0.5, 0.6, 0.7, 0.8)
"""Sides of the centred box as shares of the picture's."""
CARD_PAGE = ROOT / "assets" / "models" / "README.md"
MARK = "quality-table"


class Score(NamedTuple):
    """Means over a set; the format rate is None where no policy was asked."""

    iou: float
    s_measure: float
    format_rate: float | None = None


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


def oracle_box(picture: Picture, truth: Mask) -> Mask:
    """The box around the truth, filled."""
    box = mask_box(truth)
    return filled(box, picture.size) if box else np.zeros_like(truth)


def score_set(folder: Path, policy: VlmPolicy, segmenter: Sam2Segmenter) -> dict[str, Score]:
    """All rows of the table for one set."""
    pairs = find_pairs(folder / "images", folder / "masks").pairs
    instruction = PRESETS["camo" in folder.name].text

    def segmented(share: float) -> Callable[[Picture, Mask], Mask]:
        def answer(picture: Picture, _: Mask) -> Mask:
            return segmenter.decode(segmenter.encode(picture), [ObjectPrompt(centred_box(picture.size, share))])[0].mask

        return answer

    def pipeline(policy: VlmPolicy | None, clicks: int) -> Score:
        found = evaluate(
            tqdm(pairs, desc=folder.name, unit="pair"),
            segmenter=segmenter,
            policy=policy,
            instruction=instruction,
            clicks=clicks,
        )
        return Score(found["iou"], found["s_measure"], found["format_rate"])

    return {
        "a centred box, filled": max(
            scored(pairs, lambda picture, _, share=share: filled(centred_box(picture.size, share), picture.size))
            for share in SHARES
        ),
        "a centred box, segmented": max(scored(pairs, segmented(share)) for share in SHARES),
        "the **oracle** box, filled": scored(pairs, oracle_box),
        "**the embedded pair**": pipeline(policy, 0),
        "its segmenter, **oracle** prompts": pipeline(None, 0),
        "the same and three corrective clicks": pipeline(None, 3),
    }


def table(results: dict[str, dict[str, Score]]) -> str:
    """The results in Markdown: a row per predictor, a column per set, and the policy's format rates below."""
    names = list(results)
    lines = [f"| IoU / S-measure | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for row in next(iter(results.values())):
        cells = [f"{score.iou:.3f} / {score.s_measure:.3f}" for score in (results[name][row] for name in names)]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    rates = [score.format_rate for name in names for score in results[name].values() if score.format_rate is not None]
    lines.append(f"| format rate of its policy | {' | '.join(f'{rate:.3f}' for rate in rates)} |")
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
    text = table({name: score_set(given.data / name, policy, segmenter) for name in SETS})
    print(text)
    if given.write:
        for page in (ROOT / "README.md", CARD_PAGE):
            put_between(page, MARK, text)


if __name__ == "__main__":
    main()
