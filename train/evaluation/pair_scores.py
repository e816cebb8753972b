"""Score answers for image-mask pairs by the app's metrics."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from segr1_app import metrics
from segr1_app.domain import DatasetError, Effort, Mask, PictureError
from segr1_app.language.protocol import Stage
from segr1_app.models.policy import Policy, VlmPolicy
from segr1_app.models.segmenter import Segmenter
from train.data.pairs import Pair, read_pair
from train.evaluation.answering import EvaluatedAnswer, find_answer
from train.evaluation.pair_report import pair_record
from train.finetune.trl_reward import Answerer

METRICS = {
    "s_measure": metrics.s_measure,
    "iou": metrics.iou,
    "weighted_f": metrics.weighted_f,
    "e_measure": metrics.e_measure,
    "mae": metrics.mae,
}


@dataclass(slots=True)
class PairScores:
    """Scores of all pairs so far, by metric, with the reasons, by stem, why pairs could not be scored, the answers, and
    the IoUs of sampled answers.
    """

    scores: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    formed: list[bool] = field(default_factory=list)
    judged: list[tuple[float, float]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    sampled: list[list[float]] = field(default_factory=list)

    def add(self, answer: EvaluatedAnswer, truth: Mask) -> dict[str, float]:
        """Score an answer; returns its scores."""
        scores = {name: metric(answer.mask, truth) for name, metric in METRICS.items()}
        for name, value in scores.items():
            self.scores[name].append(value)
        for stage, value in answer.seconds.items():
            self.seconds[stage].append(value)
        if answer.well_formed is not None:
            self.formed.append(answer.well_formed)
        if answer.confidence is not None:
            self.judged.append((answer.confidence, scores["iou"]))
        return scores

    def summary(self) -> dict[str, Any]:
        """Means of the metrics over the ``count`` pairs scored, the format rate (None without a policy), median seconds
        by stage.

        ``confidence_rank`` is Spearman's correlation of the segmenter's confidence with the true IoU.
        """
        result: dict[str, Any] = {"count": len(self.scores["iou"])}
        result |= {name: round(statistics.fmean(values), 5) for name, values in self.scores.items()}
        result["format_rate"] = round(statistics.fmean(self.formed), 5) if self.formed else None
        result["confidence_rank"] = None
        # A rank correlation needs several pairs and more than one value on each side.
        if len(self.judged) > 2 and all(len(set(side)) > 1 for side in zip(*self.judged, strict=True)):
            result["confidence_rank"] = round(float(spearmanr(*np.array(self.judged).T).statistic), 4)
        return result | {
            f"seconds_{stage}": round(statistics.median(values), 4) for stage, values in self.seconds.items()
        }


def score_pairs(
    pairs: Iterable[Pair],
    *,
    segmenter: Segmenter,
    policy: Policy | None,
    instruction: str,
    clicks: int,
    samples: int = 0,
    effort: Effort = Effort.QUICK,
    nouns: Mapping[str, str] | None = None,
    tally: PairScores | None = None,
) -> PairScores:
    """Score every pair that can be read.

    Args:
        pairs: the pairs to score.
        segmenter: makes the masks.
        policy: prompts the segmenter; None for prompts from the ground truth.
        instruction: the instruction for the policy.
        clicks: number of corrective clicks after the first answer.
        samples: additional answers sampled per picture at temperature 1, if the policy can sample.
        nouns: what pictures show, by stem, where known.
        effort: how much work the policy's answer is worth.
        tally: the scores to add to, which has those made until then if a model fails.

    Returns:
        The scores, and as failures the pairs whose image or mask cannot be read or that differ in size.

    Raises:
        ModelError: when a model runs out of memory, or a policy server fails.
        SegR1Error: when the instruction is empty or too long.
    """
    tally = tally or PairScores()
    for pair in pairs:
        try:
            picture, truth = read_pair(pair)
        except (PictureError, DatasetError) as error:
            tally.failures[pair.stem] = str(error)
            continue
        answer = find_answer(
            picture,
            truth,
            segmenter=segmenter,
            policy=policy,
            instruction=instruction,
            clicks=clicks,
            effort=effort,
        )
        scores = tally.add(answer, truth)
        noun = (nouns or {}).get(pair.stem, "")
        tally.records.append(pair_record(pair, answer, truth, scores, instruction=instruction, noun=noun))
        if samples and isinstance(policy, VlmPolicy):
            answerer = Answerer(policy, segmenter)
            texts = policy.sample(picture, instruction, samples, seed=len(tally.records), stage=Stage.INFERENCE)
            answerer.prepare(picture, texts)
            tally.sampled.append([metrics.iou(answerer.answer(picture, text).mask, truth) for text in texts])
    return tally
