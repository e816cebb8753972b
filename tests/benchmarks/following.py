"""Whether a segmenter follows its prompt: a box on background, and one of two pictures side by side.

``python -m tests.benchmarks.following --data DIR``; DIR holds the report sets. A segmenter that finds the salient
object whatever it is prompted with makes the reward independent of the policy, and selects too much at a click. Each
figure is given twice: decoded from the whole picture, and as the app decodes, which zooms if the model does.
``--write`` puts the table into the model card.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

os.environ["HF_HUB_OFFLINE"] = "1"

import cv2
import numpy as np
from tqdm import tqdm

from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt, Point
from segr1_app.geometry import deepest_point, mask_box
from segr1_app.images.pictures import Picture, load_picture, picture_from_array
from segr1_app.metrics import iou
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_SEGMENTER
from tests.benchmarks.quality import CARD_PAGE, SETS, put_between
from train.data.drawing import draw
from train.data.pairs import find_pairs, read_mask
from train.data.prompting import oracle_prompt

MARK = "following-table"
CORNER = 0.22
"""Side of a box in a corner, as a share of the picture's."""
SIDE_BY_SIDE = 360
"""Height in pixels of two pictures side by side."""
ROWS = (
    ("corner box: IoU with the object (lower is better)", "corner"),
    ("one click on one of two: IoU with it", "click"),
    ("box and point of one of two: IoU with it", "oracle"),
)


def corner_prompt(truth: Mask) -> ObjectPrompt | None:
    """A box with a positive point in its middle, in the corner farthest from the object; None when it reaches there."""
    box = mask_box(truth)
    if box is None:
        return None
    height, width = truth.shape
    w, h = CORNER * width, CORNER * height
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    left, top = (0.0 if x > width / 2 else width - w), (0.0 if y > height / 2 else height - h)
    corner = Box(left, top, left + w, top + h)
    apart = corner.x2 <= box.x1 or corner.x1 >= box.x2 or corner.y2 <= box.y1 or corner.y1 >= box.y2
    return ObjectPrompt(corner, (Point(left + w / 2, top + h / 2, 1),)) if apart else None


def side_by_side(first: tuple[Picture, Mask], second: tuple[Picture, Mask]) -> tuple[Picture, Mask]:
    """Two pictures of the same height side by side, and the mask of the first one."""
    pictures, masks = [], []
    for picture, mask in (first, second):
        size = ImageSize(max(1, round(picture.size.width * SIDE_BY_SIDE / picture.size.height)), SIDE_BY_SIDE)
        pictures.append(cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA))
        masks.append(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)
    masks[1][:] = False
    return picture_from_array(np.concatenate(pictures, 1)), np.concatenate(masks, 1)


def questions(pairs: Sequence[tuple[Picture, Mask]]) -> Iterator[tuple[str, Picture, Mask, ObjectPrompt]]:
    """Every prompt that is tried: its kind, the picture, and the object to compare its mask with."""
    for index, (picture, truth) in enumerate(pairs):
        corner = corner_prompt(truth)
        if corner is not None:
            yield "corner", picture, truth, corner
        both, mask = side_by_side((picture, truth), pairs[(index + 1) % len(pairs)])
        if mask.any():
            yield "click", both, mask, ObjectPrompt(points=(Point(*deepest_point(mask), 1),))
            yield "oracle", both, mask, oracle_prompt(mask)


def measure(segmenter: Sam2Segmenter, folder: Path, limit: int, seed: int) -> dict[str, tuple[int, float, float]]:
    """By kind: how many prompts, and the mean IoU decoded from the whole picture and as the app decodes."""
    drawn = draw(find_pairs(folder / "images", folder / "masks").pairs, limit, seed)
    pairs = []
    for pair in drawn:
        picture = load_picture(pair.image)
        pairs.append((picture, read_mask(pair, picture.size)))
    found: dict[str, list[tuple[float, float]]] = {kind: [] for _, kind in ROWS}
    for kind, picture, mask, prompt in tqdm(questions(pairs), desc=folder.name, total=3 * len(pairs), unit="prompt"):
        whole = segmenter.decode(segmenter.encode(picture), [prompt])[0].mask
        shown = segmenter.segment(picture, [prompt])[0].mask
        found[kind].append((iou(whole, mask), iou(shown, mask)))
    return {
        kind: (len(values), fmean(first for first, _ in values), fmean(second for _, second in values))
        for kind, values in found.items()
        if values
    }


def table(scores: dict[str, dict[str, tuple[int, float, float]]]) -> str:
    """The table as Markdown: a row per kind of prompt, a column per set, whole picture / as in the app."""
    lines = [f"| whole picture / as in the app | {' | '.join(scores)} |", f"|---|{'---|' * len(scores)}"]
    for title, kind in ROWS:
        cells = [f"{of_set[kind][1]:.3f} / {of_set[kind][2]:.3f}" for of_set in scores.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.following", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the report sets")
    parser.add_argument("--segmenter", default=str(DEFAULT_SEGMENTER), metavar="DIR", help="default: the embedded one")
    parser.add_argument(
        "--limit", type=int, default=100, metavar="N", help="pictures of each set (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which pictures (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="put the table into the model card")
    given = parser.parse_args()
    segmenter = Sam2Segmenter.load(given.segmenter, device="cpu")
    scores = {name: measure(segmenter, given.data / name, given.limit, given.seed) for name in SETS}
    found = table(scores)
    print(found)
    if given.write:
        put_between(CARD_PAGE, MARK, found)


if __name__ == "__main__":
    main()
