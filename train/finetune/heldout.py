"""The quality of a policy on held-out rows: greedy completions, scored by the training's own reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from accelerate.utils import gather_object
from tqdm import tqdm

from segr1_app.geometry import Rle, encode_rle
from segr1_app.rewards import RewardOptions, RewardTerms, score
from train.data.rows import Row
from train.evaluation.intervals import Interval, mean_interval
from train.finetune.trl_reward import Answerer

GROUPS = ("pairs", "feedback")
ENOUGH = 30
"""Number of held-out rows below which a table carries a warning."""


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a score.

    Attributes:
        count: number of rows that have the score before and after.
        mean: mean change over the rows.
        interval: confidence interval of that mean; None for a single row.
    """

    count: int
    mean: float
    interval: Interval | None

    def __str__(self) -> str:
        around = f" [{self.interval[0]:+.3f}, {self.interval[1]:+.3f}]" if self.interval else ""
        return f"{self.mean:+.3f}{around}"


@dataclass(frozen=True, slots=True)
class HeldOutScores:
    """Means over held-out rows.

    Attributes:
        count: rows that could be scored.
        reward: mean over all of them.
        s_measure, iou: means over those with a ground-truth mask; None if there are none.
        format_rate: the fraction of well-formed completions.
        intervals: 95 % intervals of reward, S-measure and IoU, by bootstrap over rows; empty for a single row.
    """

    count: int
    reward: float
    s_measure: float | None
    iou: float | None
    format_rate: float
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @classmethod
    def of(cls, terms: Sequence[RewardTerms]) -> HeldOutScores | None:
        """The means of the rows' terms; None for no rows."""
        if not terms:
            return None
        masks = [row for row in terms if row.iou is not None]
        columns = {
            "reward": [row.total for row in terms],
            "s_measure": [row.s_measure or 0.0 for row in masks],
            "iou": [row.iou or 0.0 for row in masks],
        }
        means = {name: fmean(values) if values else None for name, values in columns.items()}
        found = {name: interval for name, values in columns.items() if (interval := mean_interval(values))}
        return cls(
            len(terms),
            means["reward"] or 0.0,
            means["s_measure"],
            means["iou"],
            fmean(row.format for row in terms),
            found,
        )


@dataclass(frozen=True, slots=True)
class HeldOutAnswer:
    """A policy's answer to one held-out row, as JSON values. The first four attributes identify the row.

    Attributes:
        image_id: the picture's sha256.
        source: the data set it comes from; "feedback" for corrections.
        instruction: the instruction.
        content_hash: the correction's content hash; empty for anything else.
        completion: what the policy wrote.
        reward: the answer's reward; None if it cannot be scored.
        iou, s_measure: with the ground-truth mask; None if there is none.
        mask, truth: the union of the masks and the ground truth, in the picture's own pixels.
    """

    image_id: str
    source: str
    instruction: str
    content_hash: str
    completion: str
    reward: float | None
    iou: float | None
    mask: Rle
    truth: Rle | None
    s_measure: float | None = None


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Scores of pairs and of feedback, separately, and the individual answers."""

    scores: dict[str, HeldOutScores | None]
    answers: tuple[HeldOutAnswer, ...]

    def as_record(self) -> dict[str, Any]:
        """As JSON values."""
        return {"scores": scores_record(self.scores), "answers": [asdict(answer) for answer in self.answers]}


def score_held_out(
    answerer: Answerer, rows: Sequence[Row], options: RewardOptions, *, rank: int = 0, ranks: int = 1
) -> HeldOut:
    """Score the greedy answers to held-out rows.

    Args:
        answerer: policy and segmenter.
        rows: held-out rows; those that cannot be scored are answered too.
        options: options of the reward.
        rank, ranks: rank of this process and number of processes; each scores its share and all get the full result.
    """
    found: list[tuple[bool, RewardTerms | None, HeldOutAnswer]] = []
    for row in tqdm(rows[rank::ranks], desc="scoring held-out rows", unit="row", leave=False, disable=rank > 0):
        example = row.load()
        # Asked as in training, and like there without the checkpoint's repetition penalty.
        completion = answerer.policy.sample(
            example.picture,
            row.instruction,
            1,
            temperature=0,
            task=row.task,
            stage=answerer.stage,
            max_new_tokens=answerer.max_tokens,
        )[0]
        # Counted as in training, including the end token.
        tokens = len(answerer.policy.processor.tokenizer(completion, add_special_tokens=False)["input_ids"]) + 1
        answer, truth = answerer.answer(example.picture, completion, tokens, row.task), example.truth
        terms = score(answer, truth, options)
        record = HeldOutAnswer(
            row.image_id,
            row.source,
            row.instruction,
            row.content_hash,
            completion,
            terms.total if terms else None,
            terms.iou if terms else None,
            encode_rle(answer.mask),
            encode_rle(truth.mask) if truth.mask is not None else None,
            terms.s_measure if terms else None,
        )
        found.append((row.is_feedback, terms, record))
    if ranks > 1:
        found = gather_object(found)
    scores = {
        group: HeldOutScores.of([terms for feedback, terms, _ in found if terms and feedback is (group == "feedback")])
        for group in GROUPS
    }
    return HeldOut(scores, tuple(record for *_, record in found))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Change]]:
    """The change of every score from one record of held-out answers to another, paired by row.

    Args:
        before, after: as `HeldOut.as_record` makes them, of the same rows.

    Returns:
        Changes by group and score; those that no row has are left out.
    """
    found: dict[str, dict[str, Change]] = {}
    later = {_row(answer): answer for answer in after["answers"]}
    pairs = [(old, later[_row(old)]) for old in before["answers"] if _row(old) in later]
    for group in GROUPS:
        for name in ("reward", "s_measure", "iou"):
            gains = [
                new[name] - old[name]
                for old, new in pairs
                if (group == "feedback") is bool(old.get("content_hash"))
                and old.get(name) is not None
                and new.get(name) is not None
            ]
            if gains:
                found.setdefault(group, {})[name] = Change(len(gains), fmean(gains), mean_interval(gains))
    return found


def comparison(
    before: dict[str, HeldOutScores | None],
    after: dict[str, HeldOutScores | None],
    changed: Mapping[str, Mapping[str, Change]] | None = None,
) -> str:
    """The changes with their intervals, then both scores as a table, one line per group."""
    lines = []
    for group, scores in (changed or {}).items():
        text = ", ".join(f"{name} {change}" for name, change in scores.items())
        lines.append(f"change of {group}, with 95 % intervals by bootstrap: {text}")
    few = [f"{new.count} of {group}" for group, new in after.items() if new and new.count < ENOUGH]
    if few:
        lines.append(
            f"Only {' and '.join(few)} are held out: below {ENOUGH} rows, a change smaller than its interval "
            "is not significant. Correct more pictures, or increase held_out_share."
        )
    lines.append(f"{'held out':10} {'rows':>5} {'reward':>18} {'S-measure':>18} {'IoU':>18} {'format rate':>18}")
    for group in GROUPS:
        old, new = before[group], after[group]
        if old is None or new is None:
            lines.append(f"{group:10} {0:5}   none")
            continue
        cells = (f"{_change(getattr(old, name), getattr(new, name)):>18}" for name in _SHOWN)
        lines.append(f"{group:10} {new.count:5} {' '.join(cells)}")
    return "\n".join(lines)


def scores_record(scores: dict[str, HeldOutScores | None]) -> dict[str, dict[str, Any] | None]:
    """Scores as JSON values."""
    return {group: asdict(found) if found else None for group, found in scores.items()}


def read_scores(record: dict[str, dict[str, Any] | None]) -> dict[str, HeldOutScores | None]:
    """Read scores written by `scores_record`."""
    return {group: HeldOutScores(**found) if found else None for group, found in record.items()}


def _row(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """The key that identifies a held-out row."""
    return tuple(str(answer.get(name, "")) for name in ("image_id", "source", "instruction", "content_hash"))


_SHOWN = ("reward", "s_measure", "iou", "format_rate")


def _change(old: float | None, new: float | None) -> str:
    return "none" if old is None or new is None else f"{old:.4f} -> {new:.4f}"
