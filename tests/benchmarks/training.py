"""Training by GRPO against a bare ``trl.GRPOTrainer``: the overhead of this project's classes per step.

All sides train the embedded policy by the same configuration from the same seed, on the same rows in the same order.
The bare one reads prompts and pictures from a plain data set in memory, and its rewards from a list of those that our
side gave; so all write the same completions and end with the same weights, which is checked.

A step is the time from the end of one to the end of the next. What is compared with the bare one is ours without the
seconds in which completions were segmented and scored, because the bare one gets its rewards for free: what remains is
drawing rows, reading and resizing pictures, the reward's own bookkeeping, and the journal.
`train.finetune.shared_pictures` saves more than all of that costs; a third side, the bare one with shared pictures,
shows the cost by itself. Two further ratios include everything, also encoding new pictures: one to the bare trainer,
the cost of the reward, and one to a training whose masks are decoded from whole pictures, the cost of zooming as the
app does. Steps do not include saving checkpoints.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback
from trl.trainer.grpo_trainer import GRPOTrainer

from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from train.data.mixing import draw_order
from train.data.rows import Plan, scene_rows, split
from train.finetune.grpo_setup import DEFAULT_CONFIG, GrpoSetup, prompts_needed
from train.finetune.run_folder import MetricsLogger, RunFolder
from train.finetune.shared_pictures import share_pictures
from train.finetune.trl_reward import SegR1Reward
from train.finetune.trl_rows import ExampleReader, PromptMaker
from train.grpo import make_trainer

STEPS = 3
"""Steps of a round that are measured; one more goes before them."""


@dataclass
class Course:
    """The measurements of one training.

    Attributes:
        steps: seconds of each measured step.
        scoring: the part of them spent on segmenting and scoring completions.
        rewards: what each call of the reward gave.
        weights: of the policy at the end.
    """

    steps: list[float] = field(default_factory=list)
    scoring: list[float] = field(default_factory=list)
    rewards: list[list[float | None]] = field(default_factory=list)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)


class StepClock(TrainerCallback):
    """Records when each step ended, and the time spent on scoring until then."""

    def __init__(self, scored: Callable[[], float]) -> None:
        self._scored = scored
        self.ends: list[tuple[float, float]] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append((time.perf_counter(), self._scored()))


class WatchedReward:
    """The reward of a training; records its values, and how long segmenting and scoring take."""

    __name__ = SegR1Reward.__name__

    def __init__(self, reward: SegR1Reward, segmenter: Sam2Segmenter) -> None:
        self._reward = reward
        self.given: list[list[float | None]] = []
        self.seconds = 0.0
        reward.terms = partial(self._timed, reward.terms)  # type: ignore[method-assign]
        segmenter.prepare = partial(self._timed, segmenter.prepare)  # type: ignore[method-assign]

    def __call__(self, **columns: Any) -> list[float | None]:
        self.given.append(self._reward(**columns))
        return self.given[-1]

    def _timed(self, work: Callable[..., Any], *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return work(*arguments)
        finally:
            self.seconds += time.perf_counter() - started


def training_overhead(segmenter: Sam2Segmenter, rounds: int) -> dict[str, float]:
    """The time of a step of `train.grpo` relative to a bare ``GRPOTrainer``; the sides take turns at going first."""
    setup = replace(GrpoSetup.read(DEFAULT_CONFIG), max_steps=STEPS + 1)
    plan = split(scene_rows(24), setup.held_out_share)
    # What the bare side is paid is known only when the other one was trained once.
    zoom = segmenter.zoom
    rewards = _ours(setup, plan, segmenter, zoom=zoom).rewards
    sides: tuple[Callable[[], Course], ...] = (
        lambda: _ours(setup, plan, segmenter, zoom=zoom),
        lambda: _bare(setup, plan, rewards, shared=False),
        lambda: _bare(setup, plan, rewards, shared=True),
    )
    courses: tuple[list[Course], ...] = ([], [], [])
    coarse: list[Course] = []
    for round_ in range(rounds):
        for turn in range(len(sides)):
            which = (turn + round_) % len(sides)
            courses[which].append(sides[which]())
        _check_same_work(*(course[-1] for course in courses))
        coarse.append(_ours(setup, plan, segmenter, zoom=None))
    ours, alone, sharing = ([step for course in side for step in course.steps] for side in courses)
    scoring = [step for course in courses[0] for step in course.scoring]
    unpaid = [whole - scored for whole, scored in zip(ours, scoring, strict=True)]
    return {
        "training step, s": statistics.median(ours),
        "bare trl step, s": statistics.median(alone),
        "training, but scoring / bare trl": _ratio(unpaid, alone),
        "training, but scoring / trl with shared pictures": _ratio(unpaid, sharing),
        "training / bare trl": _ratio(ours, alone),
        "training / with masks from whole pictures": _ratio(ours, [step for course in coarse for step in course.steps]),
    }


def _ratio(steps: Iterable[float], others: Iterable[float]) -> float:
    return statistics.median(one / other for one, other in zip(steps, others, strict=True))


def _ours(setup: GrpoSetup, plan: Plan, segmenter: Sam2Segmenter, *, zoom: float | None) -> Course:
    policy = VlmPolicy.load(setup.policy, device="cpu")
    # With nothing in memory, so that every picture is encoded in every round.
    segmenter = Sam2Segmenter(segmenter.predictor, segmenter.model_id, zoom=zoom, clean=segmenter.clean)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(setup, _config(setup, plan, folder), plan, policy, segmenter)
        reward = WatchedReward(trainer.reward_funcs[0], segmenter)
        trainer.reward_funcs[0] = reward
        trainer.add_callback(MetricsLogger(RunFolder(Path(folder))))
        return replace(_course(trainer, policy, lambda: reward.seconds), rewards=reward.given)


def _bare(setup: GrpoSetup, plan: Plan, rewards: list[list[float | None]], shared: bool) -> Course:
    policy = VlmPolicy.load(setup.policy, device="cpu")
    if shared:
        share_pictures(policy.model)
    paid: Iterator[list[float | None]] = iter(rewards)
    with tempfile.TemporaryDirectory() as folder:
        config = _config(setup, plan, folder)
        order = draw_order(plan.train, prompts_needed(config), setup.mixing, config.seed)
        rows = PromptMaker(ExampleReader(plan.train), policy, setup.grammar)({"index": order})
        trainer = GRPOTrainer(
            model=policy.model,
            reward_funcs=lambda **_: next(paid),
            args=config,
            train_dataset=Dataset.from_dict({"prompt": rows["prompt"], "image": rows["image"]}),
            processing_class=policy.processor,
        )
        return _course(trainer, policy, lambda: 0.0)


def _config(setup: GrpoSetup, plan: Plan, folder: str) -> Any:
    return setup.trainer_config(Path(folder), rows=len(plan.train), seed=0, device="cpu", report_to="none")


def _course(trainer: Trainer, policy: VlmPolicy, scored: Callable[[], float]) -> Course:
    clock = StepClock(scored)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    pairs = list(zip(clock.ends, clock.ends[1:], strict=False))
    return Course(
        steps=[later[0] - earlier[0] for earlier, later in pairs],
        scoring=[later[1] - earlier[1] for earlier, later in pairs],
        weights={name: value.detach().clone() for name, value in policy.model.state_dict().items()},
    )


def _check_same_work(ours: Course, bare: Course, sharing: Course) -> None:
    """Check that both sides wrote the same completions; otherwise their times could not be compared.

    Raises:
        AssertionError: when the policies ended with different weights; without sharing, sums are rounded otherwise.
    """
    for name, value in ours.weights.items():
        assert torch.equal(value, sharing.weights[name]), name
        torch.testing.assert_close(value, bare.weights[name], rtol=0, atol=1e-6, msg=name)
