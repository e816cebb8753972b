"""The details of an evaluation over pairs: every picture, the worst ones, and results by category."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from functools import partial
from math import comb
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from segr1_app.domain import DatasetError, ImageSize, Mask
from segr1_app.files.outputs import translate_write_errors
from segr1_app.geometry import encode_rle
from segr1_app.studio.results import prompt_record
from train.data.pairs import Pair, read_mask
from train.data.traces import separate_objects
from train.evaluation.answering import EvaluatedAnswer
from train.evaluation.benchmarks.page import write_page
from train.evaluation.benchmarks.question import AnswerRecord, Question, Target
from train.evaluation.intervals import mean_interval

SIZES: Final = (("small", 0.05), ("medium", 0.2), ("large", 1.0))
"""Names of object sizes, each with its upper bound as a fraction of the picture."""
MANY: Final = 3
"""From this number on, objects are not counted exactly."""
PASSED: Final = (0.5, 0.75, 0.9)
"""IoU thresholds at which an answer passes, for pass@k."""


def pair_record(
    pair: Pair, answer: EvaluatedAnswer, truth: Mask, scores: Mapping[str, float], *, instruction: str, noun: str = ""
) -> dict[str, Any]:
    """One picture's log record, as JSON values."""
    share = float(truth.mean())
    count = len(separate_objects(truth)) if truth.any() else 0
    categories = {
        "size": next(name for name, most in SIZES if share <= most),
        "objects": str(count) if count < MANY else f"{MANY} or more",
    }
    return {
        "id": pair.stem,
        "image": pair.image.name,
        "instruction": instruction,
        "completion": answer.completion,
        "well_formed": answer.well_formed,
        "objects": [prompt_record(prompt) for prompt in answer.objects],
        "mask": encode_rle(answer.mask),
        "scores": {name: round(value, 5) for name, value in scores.items()},
        "seconds": {stage: round(value, 4) for stage, value in answer.seconds.items()},
        "categories": categories | ({"noun": noun} if noun else {}),
    }


def intervals(records: Sequence[AnswerRecord]) -> dict[str, float]:
    """95 % intervals of the means of all metrics, by bootstrap over pictures: NAME_low and NAME_high."""
    names = records[0]["scores"] if records else ()
    found = {name: mean_interval([record["scores"][name] for record in records]) for name in names}
    return {
        f"{name}_{end}": round(value, 5)
        for name, ends in found.items()
        if ends
        for end, value in zip(("low", "high"), ends, strict=True)
    }


def by_category(records: Sequence[AnswerRecord]) -> dict[str, dict[str, dict[str, float]]]:
    """Count, mean IoU and mean S-measure of each category of pictures: by size, by number of objects and by noun."""
    kinds: dict[str, dict[str, list[AnswerRecord]]] = {}
    for record in records:
        for category, value in record["categories"].items():
            kinds.setdefault(category, {}).setdefault(value, []).append(record)
    return {
        category: {
            value: {
                "count": len(members),
                "iou": round(fmean(member["scores"]["iou"] for member in members), 5),
                "s_measure": round(fmean(member["scores"]["s_measure"] for member in members), 5),
            }
            for value, members in sorted(values.items())
        }
        for category, values in sorted(kinds.items())
    }


def sampled_table(ious: Sequence[Sequence[float]]) -> dict[str, float]:
    """Best-of-k and pass@k over several sampled answers per picture.

    Args:
        ious: the IoUs of n answers per picture, with the same n for all.

    Returns:
        "best_of_K", the expected IoU of the best of K answers drawn without replacement, and "pass_at_K_IOU", the
        probability that at least one of K answers reaches an IoU (Chen et al., arXiv 2107.03374, equation 1), for K =
        1, 2, 4 ... n.
    """
    if not ious:
        return {}
    n = len(ious[0])
    table: dict[str, float] = {}
    for k in sorted({*(2**power for power in range(n.bit_length()) if 2**power <= n), n}):
        table[f"best_of_{k}"] = round(fmean(_expected_best(sorted(row), k) for row in ious), 5)
        for passed in PASSED:
            good = (sum(value >= passed for value in row) for row in ious)
            chances = [1 - comb(n - count, k) / comb(n, k) for count in good]
            table[f"pass_at_{k}_{passed:g}"] = round(fmean(chances), 5)
    return table


def write_log(path: Path, records: Sequence[AnswerRecord]) -> None:
    """Write a JSON line for every picture.

    Raises:
        SettingsError: when it cannot be written.
    """
    with translate_write_errors(path, "the means are in the result next to it"):
        path.write_text("".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records), encoding="utf-8")


def write_worst(
    path: Path, pairs: Sequence[Pair], records: Sequence[AnswerRecord], table: Mapping[str, Any], worst: int
) -> None:
    """Write a page of the worst answers; the numbers in ``table`` are shown at the top.

    Raises:
        SettingsError, DatasetError, PictureError: as `write_page`.
    """
    files = {pair.stem: pair for pair in pairs}
    order = sorted(records, key=lambda record: record["scores"]["iou"])[:worst]
    numbers = {name: value for name, value in table.items() if isinstance(value, int | float)}
    cases = [(pair_question(files[record["id"]]), record) for record in order]
    write_page(path, "Pairs", numbers, cases)


def pair_question(pair: Pair) -> Question:
    """A pair as the question of a page."""
    return Question(pair.stem, pair.image, "", partial(_target, pair))


def read_nouns(path: Path | None) -> dict[str, str]:
    """Read what each picture shows from a CSV file with the columns "stem" and "noun".

    Raises:
        DatasetError: when it cannot be read or lacks one of them.
    """
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["stem"]: row["noun"] for row in csv.DictReader(file)}
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"--nouns {path} cannot be read: {error}") from error
    except KeyError as error:
        raise DatasetError(f"--nouns {path} has no column {error}: 'stem' and 'noun' are needed.") from error


def _expected_best(values: Sequence[float], k: int) -> float:
    """The expected maximum of k of the sorted values, over all choices of k."""
    n = len(values)
    return sum(value * comb(place, k - 1) for place, value in enumerate(values)) / comb(n, k)


def _target(pair: Pair, image_wh: ImageSize) -> Target:
    return Target(read_mask(pair, image_wh))
