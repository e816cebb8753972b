"""How good a segmenter is on held-out objects for an annotator, measured by the same call that the app makes.

From an exact box and point, then with corrective clicks until the mask is good: the number of clicks to an IoU of .9
(NoC@90, as interactive segmentation reports it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from tqdm import tqdm

from segr1_app.domain import Mask, ObjectPrompt
from segr1_app.images.pictures import Picture
from segr1_app.metrics import iou
from segr1_app.models.completions import segment_prompts
from segr1_app.models.segmenter import Sam2Segmenter
from train.data.prompting import corrective_click, oracle_prompt
from train.data.rows import Row
from train.evaluation.intervals import Interval, mean_interval
from train.finetune.segmenter.views import targets

MOST_CLICKS = 10
"""Clicks after which an object counts as failed."""
GOOD = 0.9


@dataclass(frozen=True, slots=True)
class ObjectScore:
    """One held-out object.

    Attributes:
        source: the data set of its row.
        iou: from an exact box and point.
        clicks: corrective clicks to an IoU of `GOOD`; `MOST_CLICKS` if it is never reached.
    """

    source: str
    iou: float
    clicks: int


def score_objects(segmenter: Sam2Segmenter, rows: Sequence[Row]) -> tuple[ObjectScore, ...]:
    """The scores of all objects of some rows, in order.

    Raises:
        SegR1Error: when a picture cannot be read.
    """
    found: list[ObjectScore] = []
    for row in tqdm(rows, desc="held-out pictures", unit="picture", leave=False):
        example = row.load()
        found += [
            ObjectScore(row.source, *score_object(segmenter, example.picture, target.mask))
            for target in targets(example)
        ]
    return tuple(found)


def score_object(segmenter: Sam2Segmenter, picture: Picture, truth: Mask) -> tuple[float, int]:
    """The IoU from an exact box and point, and the number of corrective clicks to an IoU of `GOOD`.

    Args:
        segmenter: makes the masks.
        picture: the picture.
        truth: the object, bool (height, width) of the picture, not empty.
    """
    prompt, ious = oracle_prompt(truth), []
    for _ in range(MOST_CLICKS + 1):
        _, mask = segment_prompts([prompt], picture, segmenter)
        ious.append(iou(mask, truth))
        click = corrective_click(mask, truth)
        if ious[-1] >= GOOD or click is None:
            break
        prompt = ObjectPrompt(prompt.box, (*prompt.points, click))
    return ious[0], min(len(ious) - 1, MOST_CLICKS)


def score_changes(before: Sequence[ObjectScore], after: Sequence[ObjectScore]) -> tuple[str, dict[str, Any]]:
    """The changes as a table and as JSON values: per source, with 95 % intervals.

    Args:
        before, after: of the same objects in the same order.
    """
    lines = [f"{'held out':20} {'objects':>8} {'IoU':>15} {'change':>26} {'clicks to .9':>15}"]
    record: dict[str, Any] = {}
    for source in sorted({score.source for score in before}):
        both = [(old, new) for old, new in zip(before, after, strict=True) if old.source == source]
        change = [new.iou - old.iou for old, new in both]
        interval: Interval | None = mean_interval(change)
        ious = [fmean(old.iou for old, _ in both), fmean(new.iou for _, new in both)]
        clicks = [fmean(old.clicks for old, _ in both), fmean(new.clicks for _, new in both)]
        record[source] = {
            "objects": len(both),
            "iou": ious,
            "clicks": clicks,
            "change": fmean(change),
            "interval": interval,
        }
        around = f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else ""
        lines.append(
            f"{source:20} {len(both):8} {ious[0]:7.3f} {ious[1]:7.3f} {fmean(change):+.3f}{around:20}"
            f" {clicks[0]:7.2f} {clicks[1]:7.2f}"
        )
    return "\n".join(lines), record


def as_records(scores: Sequence[ObjectScore]) -> list[dict[str, Any]]:
    """Ready for JSON."""
    return [asdict(score) for score in scores]
