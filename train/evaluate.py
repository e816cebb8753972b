"""Score policy and segmenter over image-mask pairs: the pipeline of the app, every metric, one flat JSON object.

A malformed or empty completion is scored as the mask it leads to, which is the empty one where nothing could be read;
no pair is left out. With ``--prompts oracle`` the truth itself prompts the segmenter, which shows what it could do
behind a perfect policy; ``--clicks`` adds what a person would click next.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from tqdm import tqdm

from segr1_app import metrics
from segr1_app.codec import PRESETS
from segr1_app.config import Settings, add_model_arguments
from segr1_app.domain import DatasetError, Mask, ObjectPrompt, SegR1Error
from segr1_app.geometry import add_point
from segr1_app.images import Picture, load_mask, load_picture
from segr1_app.pipeline import Pipeline, load_models, unite
from segr1_app.policy import Policy, VlmPolicy
from segr1_app.segmenter import Sam2Segmenter, Segmenter
from train.pairs import Pair, PairListing, find_pairs
from train.prompting import corrective_click, oracle_prompt

logger = logging.getLogger(__name__)

METRICS = {
    "s_measure": metrics.s_measure,
    "iou": metrics.iou,
    "weighted_f": metrics.weighted_f,
    "e_measure": metrics.e_measure,
    "mae": metrics.mae,
}
LISTED = 5
"""How many unpaired files are named."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a pair is scored by.

    Attributes:
        mask: bool (height, width), the united mask.
        well_formed: whether the completion follows the grammar; None where no policy was asked.
        confidence: the segmenter's own estimate of the IoU; None unless exactly one object was decoded.
        seconds: wall time by stage.
    """

    mask: Mask
    well_formed: bool | None
    confidence: float | None
    seconds: Mapping[str, float]


@dataclass(slots=True)
class Tally:
    """Scores of all pairs so far, by metric."""

    scores: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    formed: list[bool] = field(default_factory=list)
    judged: list[tuple[float, float]] = field(default_factory=list)

    def add(self, answer: Answer, truth: Mask) -> None:
        """Score an answer."""
        for name, metric in METRICS.items():
            self.scores[name].append(metric(answer.mask, truth))
        for stage, value in answer.seconds.items():
            self.seconds[stage].append(value)
        if answer.well_formed is not None:
            self.formed.append(answer.well_formed)
        if answer.confidence is not None:
            self.judged.append((answer.confidence, self.scores["iou"][-1]))

    def summary(self) -> dict[str, Any]:
        """Means of the metrics, the format rate (None without a policy), median seconds by stage.

        ``confidence_rank`` is Spearman's correlation of the segmenter's confidence with the true IoU.
        """
        result: dict[str, Any] = {"count": len(self.scores["iou"])}
        result |= {name: round(statistics.fmean(values), 5) for name, values in self.scores.items()}
        result["format_rate"] = round(statistics.fmean(self.formed), 5) if self.formed else None
        result["confidence_rank"] = None
        # A rank needs some pairs and more than one value on each side.
        if len(self.judged) > 2 and all(len(set(side)) > 1 for side in zip(*self.judged, strict=True)):
            result["confidence_rank"] = round(float(spearmanr(*np.array(self.judged).T).statistic), 4)
        return result | {
            f"seconds_{stage}": round(statistics.median(values), 4) for stage, values in self.seconds.items()
        }


def evaluate(
    pairs: Iterable[Pair], *, segmenter: Segmenter, policy: Policy | None, instruction: str, clicks: int
) -> dict[str, Any]:
    """Score every pair.

    Args:
        pairs: what to score on.
        segmenter: makes the masks.
        policy: prompts the segmenter; None for prompts from the truth.
        instruction: what the policy is asked.
        clicks: corrective clicks after the first answer.

    Returns:
        The summary of a `Tally`.

    Raises:
        DatasetError: when a mask cannot be read or has another size than its image.
        PictureError: when an image cannot be read.
    """
    tally = Tally()
    for pair in pairs:
        picture, truth = load_picture(pair.image), load_mask(pair.mask)
        if (truth.shape[1], truth.shape[0]) != picture.size:
            raise DatasetError(
                f"'{pair.mask}' is {truth.shape[1]} x {truth.shape[0]} pixels but its image "
                f"{picture.size.width} x {picture.size.height}: they are no pair."
            )
        if policy is not None:
            tally.add(_ask_policy(Pipeline(policy, segmenter), picture, truth, instruction, clicks), truth)
        else:
            tally.add(_ask_oracle(segmenter, picture, truth, clicks), truth)
    return tally.summary()


def _ask_policy(pipeline: Pipeline, picture: Picture, truth: Mask, instruction: str, clicks: int) -> Answer:
    prediction = pipeline.run(picture, instruction)
    confidence = prediction.masks[0].confidence if len(prediction.masks) == 1 else None
    answer = Answer(prediction.mask, prediction.well_formed, confidence, prediction.seconds)
    return _corrected(pipeline.segmenter, picture, prediction.objects, answer, truth=truth, clicks=clicks)


def _ask_oracle(segmenter: Segmenter, picture: Picture, truth: Mask, clicks: int) -> Answer:
    objects = [oracle_prompt(truth)] if truth.any() else []
    started = time.perf_counter()
    embedding = segmenter.encode(picture)
    encoded = time.perf_counter()
    masks = segmenter.decode(embedding, objects)
    decoded = time.perf_counter()
    seconds = {"encode": encoded - started, "decode": decoded - encoded, "total": decoded - started}
    answer = Answer(unite(masks, picture.size), None, masks[0].confidence if masks else None, seconds)
    return _corrected(segmenter, picture, objects, answer, truth=truth, clicks=clicks)


def _corrected(
    segmenter: Segmenter,
    picture: Picture,
    objects: Sequence[ObjectPrompt],
    answer: Answer,
    *,
    truth: Mask,
    clicks: int,
) -> Answer:
    """The answer after corrective clicks, each given to the object whose box is nearest to it."""
    mask, confidence, spent = answer.mask, answer.confidence, []
    for _ in range(clicks):
        click = corrective_click(mask, truth)
        if click is None:
            break
        objects = add_point(objects, click)
        started = time.perf_counter()
        masks = segmenter.decode(segmenter.encode(picture), objects)
        spent.append(time.perf_counter() - started)
        mask, confidence = unite(masks, picture.size), masks[0].confidence if len(masks) == 1 else None
    seconds = {**answer.seconds, "click": statistics.fmean(spent)} if spent else answer.seconds
    return Answer(mask, answer.well_formed, confidence, seconds)


def draw_pairs(listing: PairListing, limit: int | None, seed: int) -> list[Pair]:
    """The pairs to score: all of them, or ``limit`` drawn by ``seed``, in the listing's order."""
    if limit is None or limit >= len(listing.pairs):
        return list(listing.pairs)
    drawn = set(random.Random(seed).sample(range(len(listing.pairs)), limit))
    return [pair for index, pair in enumerate(listing.pairs) if index in drawn]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 when data or models are at fault."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    try:
        _run(given)
    except SegR1Error as error:
        logger.error("%s", error)
        return 1
    return 0


def _run(given: argparse.Namespace) -> None:
    settings = Settings.from_arguments(given)
    listing = find_pairs(given.images, given.masks)
    _name_unpaired("images", listing.unpaired_images)
    _name_unpaired("masks", listing.unpaired_masks)
    pairs = draw_pairs(listing, given.limit, given.seed)
    segmenter: Sam2Segmenter
    policy: VlmPolicy | None = None
    if given.prompts == "policy":
        policy, segmenter = load_models(settings)
    else:
        segmenter = Sam2Segmenter.load(settings.segmenter, device=settings.device)
    result = evaluate(
        tqdm(pairs, unit="pair"), segmenter=segmenter, policy=policy, instruction=given.instruction, clicks=given.clicks
    )
    result |= {
        "protocol": f"{given.prompts} prompts, {given.clicks} clicks",
        "instruction": given.instruction if policy else None,
        "policy": policy.model_id if policy else None,
        "segmenter": segmenter.model_id,
        "images": str(given.images),
        "masks": str(given.masks),
        "limit": given.limit,
        "seed": given.seed,
    }
    text = json.dumps(result, indent=2)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(text + "\n", encoding="utf-8")
    print(text)  # noqa: T201


def _name_unpaired(kind: str, files: Sequence[Path]) -> None:
    if files:
        names = ", ".join(file.name for file in files[:LISTED]) + (", ..." if len(files) > LISTED else "")
        logger.warning("%d %s have no partner and are left out: %s", len(files), kind, names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate",
        description="Score policy and segmenter over image-mask pairs. Pairs are files of the same stem, whatever "
        "their endings; files without a partner are named and left out.",
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of images")
    parser.add_argument("--masks", type=Path, required=True, metavar="DIR", help="folder of masks of the same stems")
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="file for the result")
    parser.add_argument(
        "--prompts",
        choices=("policy", "oracle"),
        default="policy",
        help="who prompts the segmenter: the policy, or the truth by its box and deepest point (default: %(default)s)",
    )
    parser.add_argument(
        "--clicks",
        type=_count,
        default=0,
        metavar="N",
        help="corrective clicks, each at the deepest point of the largest error region (default: %(default)s)",
    )
    parser.add_argument(
        "--instruction", default=PRESETS[0].text, metavar="TEXT", help="what to find (default: %(default)s)"
    )
    parser.add_argument("--limit", type=_positive, metavar="N", help="score only N pairs, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of that draw (default: %(default)s)")
    add_model_arguments(parser)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 on")
    return int(text)


def _positive(text: str) -> int:
    if not _count(text):
        raise argparse.ArgumentTypeError("at least 1 is needed")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
