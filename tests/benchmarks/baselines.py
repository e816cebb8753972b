"""What needs no policy: a centred box, filled, and as the segmenter's prompt.

``python -m tests.benchmarks.baselines --images DIR --masks DIR`` prints IoU and S-measure of the best of several sizes
of box, chosen on the very pairs it is scored on: whoever beats it has looked at the picture.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np

from segr1_app.config import DEFAULT_SEGMENTER
from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt
from segr1_app.images import load_mask, load_picture
from segr1_app.metrics import iou, s_measure
from segr1_app.segmenter import Sam2Segmenter
from train.pairs import find_pairs

SHARES = (0.5, 0.6, 0.7, 0.8)
"""Sides of the box as shares of the picture's."""


def centred_box(image_wh: ImageSize, share: float) -> Box:
    width, height = image_wh
    margin = (1 - share) / 2
    return Box(width * margin, height * margin, width * (1 - margin), height * (1 - margin))


def filled(box: Box, image_wh: ImageSize) -> Mask:
    mask = np.zeros((image_wh.height, image_wh.width), dtype=bool)
    mask[round(box.y1) : round(box.y2), round(box.x1) : round(box.x2)] = True
    return mask


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.baselines", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--masks", type=Path, required=True, metavar="DIR")
    given = parser.parse_args()
    segmenter = Sam2Segmenter.load(DEFAULT_SEGMENTER)
    scores: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for pair in find_pairs(given.images, given.masks).pairs:
        picture, truth = load_picture(pair.image), load_mask(pair.mask)
        embedding = segmenter.encode(picture)
        for share in SHARES:
            box = centred_box(picture.size, share)
            (prompted,) = segmenter.decode(embedding, [ObjectPrompt(box)])
            for name, mask in (("filled", filled(box, picture.size)), ("segmented", prompted.mask)):
                scores.setdefault((name, share), []).append((iou(mask, truth), s_measure(mask, truth)))
    for name in ("filled", "segmented"):
        means = {share: [statistics.fmean(s) for s in zip(*scores[name, share], strict=True)] for share in SHARES}
        share = max(means, key=lambda share: means[share][0])
        print(f"centred box of {share:.0%}, {name}: IoU {means[share][0]:.4f}, S-measure {means[share][1]:.4f}")


if __name__ == "__main__":
    main()
