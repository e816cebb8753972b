"""The changes that a training made on held-out pictures, from the answers before and after it in the run's folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from segr1_app.geometry import Rle, check_rle, decode_rle
from segr1_app.metrics import iou
from segr1_app.studio.contracts import SegmenterChange
from segr1_app.studio.run_files import RunFiles

MOST_SOURCES: Final = 100
"""Data sets of one training that are shown."""


@dataclass(frozen=True, slots=True)
class HeldOutChange:
    """One held-out picture under the old policy and the new one.

    Attributes:
        picture: a small copy of it.
        source: the data set it comes from; "feedback" for corrections.
        instruction: the instruction.
        old, new: the masks.
        old_iou, new_iou: IoU with the ground-truth mask; None where there is none.
    """

    picture: Path
    source: str
    instruction: str
    old: Rle
    new: Rle
    old_iou: float | None
    new_iou: float | None

    @property
    def gain(self) -> float | None:
        """Change of the IoU with the ground-truth mask; None where there is none."""
        return None if self.old_iou is None or self.new_iou is None else self.new_iou - self.old_iou

    @property
    def old_new_iou(self) -> float:
        """IoU of the old and the new mask: how similar they are."""
        return iou(decode_rle(self.old), decode_rle(self.new))


def read_changes(files: RunFiles, before: str, after: str, *, pictures: Path) -> list[HeldOutChange]:
    """The changes of all rows that were answered both times: the largest losses first, then, without a ground-truth
    mask, the largest changes.

    Args:
        files: of the run's folder; problems with the two files are added to it.
        before, after: the names of the two files.
        pictures: the folder of small copies of the pictures.
    """
    old, new = _answers(files, before), _answers(files, after)
    later = {_row(answer): answer for answer in new}
    changes = [
        HeldOutChange(
            picture=pictures / f"{answer['image_id']}.jpg",
            source=answer["source"],
            instruction=answer["instruction"],
            old=answer["mask"],
            new=again["mask"],
            old_iou=answer["iou"],
            new_iou=again["iou"],
        )
        for answer in old
        if (again := later.get(_row(answer)))
    ]
    return sorted(changes, key=lambda c: (c.gain is None, c.old_new_iou if c.gain is None else c.gain))


def read_segmenter_changes(files: RunFiles, result: str) -> dict[str, SegmenterChange]:
    """The scores of held-out objects before and after the training of a segmenter, by data set.

    Args:
        files: of the run's folder; what cannot be read is added to its problems.
        result: the name of the file.
    """
    scores = files.part(files.record(result), "held_out", result) or {}
    found = {source: change for source, value in scores.items() if (change := _segmenter_change(value)) is not None}
    if len(found) < len(scores):
        files.problems.append(f"The scores of {len(scores) - len(found)} data sets in '{result}' cannot be read.")
    return dict(list(found.items())[:MOST_SOURCES])


def _segmenter_change(value: Any) -> SegmenterChange | None:
    """The scores of one data set; None if they are not in the form in which a training writes them."""
    if not isinstance(value, dict) or not isinstance(value.get("objects"), int):
        return None
    pairs = [_pair(value.get(name)) for name in ("iou", "clicks")]
    interval = _pair(value.get("interval"))
    if pairs[0] is None or pairs[1] is None or (interval is None and value.get("interval") is not None):
        return None
    return {"objects": value["objects"], "iou": pairs[0], "clicks": pairs[1], "interval": interval}


def _pair(value: Any) -> tuple[float, float] | None:
    """Two finite numbers."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    if not all(isinstance(each, int | float) and math.isfinite(each) for each in value):
        return None
    return float(value[0]), float(value[1])


def _answers(files: RunFiles, name: str) -> list[dict[str, Any]]:
    """The intact answers in a file of held-out scores; problems are added to ``files``."""
    answers = files.record(name).get("answers")
    if not isinstance(answers, list):
        files.problems.append(f"'{name}' has no answers.")
        return []
    return [answer for answer in answers if _is_answer(answer)]


def _is_answer(answer: Any) -> bool:
    """Whether an answer has everything that is shown: texts, a mask, an IoU, and the name of a picture, never a
    path.
    """
    if not isinstance(answer, dict):
        return False
    if not all(isinstance(answer.get(name), str) for name in ("image_id", "source", "instruction")):
        return False
    if not (answer.get("iou") is None or (isinstance(answer.get("iou"), int | float) and 0 <= answer["iou"] <= 1)):
        return False
    if Path(answer["image_id"]).name != answer["image_id"]:
        return False
    try:
        check_rle(answer["mask"])
    except (ValueError, TypeError, KeyError):
        return False
    return True


def _row(answer: dict[str, Any]) -> tuple[str, ...]:
    """The key of a held-out row: a picture may have several instructions, and a correction may have the same
    instruction as a pair.
    """
    # Folders of earlier versions do not identify corrections.
    return tuple(answer.get(name, "") for name in ("image_id", "source", "instruction", "content_hash"))
