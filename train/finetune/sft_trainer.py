"""The trainer for supervised runs, and the corrections it can use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from segr1_app.language.codec import Grammar
from segr1_app.language.writing import write_answer
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.store import RejectReason
from train.data.mixing import draw_order
from train.data.rows import Collected, LeftOut, Plan, Row
from train.finetune.checkpoints import WholeCheckpoints
from train.finetune.sft_setup import SftSetup, rows_per_step
from train.finetune.trl_rows import ExampleReader, training_dataset
from train.finetune.trl_traces import NOTHING, AnswerCollator, TraceMaker
from train.finetune.unlearnt_tokens import separate_unlearnt_tokens

NOT_IMITABLE: Final = frozenset(str(reason) for reason in RejectReason) - {str(RejectReason.NO_OBJECT)}
"""Verdicts that say what is wrong but not what would be correct."""


class ResumableSft(WholeCheckpoints, SFTTrainer):
    """trl's trainer with atomic checkpoints."""


def make_trainer(
    setup: SftSetup,
    config: SFTConfig,
    plan: Plan,
    policy: VlmPolicy,
    segmenter: Sam2Segmenter,  # noqa: ARG001
    *,
    order: Sequence[int] | None = None,
) -> ResumableSft:
    """The trainer of a plan: its rows in their drawn order, with their answers, and its adapters.

    Args:
        setup: the run's setup.
        config: made from it, for as many rows as the plan has.
        plan: the training rows.
        policy: the policy to train; adapters are inserted into it.
        segmenter: not needed for training.
        order: the order in which the plan's rows are drawn; by default that of `draw` for the whole run.
    """
    examples = ExampleReader(plan.train)
    if setup.lora is None and any(row.verdict == str(RejectReason.NO_OBJECT) for row in plan.train):
        separate_unlearnt_tokens(policy, [write_answer(policy.protocol, NOTHING, (), Grammar.ABSTENTION)])
    if order is None:
        order = draw(setup, config, plan, config.max_steps, config.seed)
    return ResumableSft(
        model=policy.model,
        args=config,
        data_collator=AnswerCollator(policy.processor, whole_conversation=setup.whole_conversation),
        train_dataset=training_dataset(
            order, TraceMaker(examples, policy, setup.grammar, config.seed, text_first=setup.text_first)
        ),
        processing_class=policy.processor,
        peft_config=setup.lora_config(),
    )


def draw(setup: SftSetup, config: SFTConfig, plan: Plan, steps: int, seed: int) -> list[int]:
    """Indices into a plan's rows, in drawing order, for a number of steps."""
    return draw_order(plan.train, steps * rows_per_step(config), setup.mixing, seed)


def reason_against(row: Row) -> str | None:
    """Why a policy cannot learn by writing a correction; None if it can."""
    return "the correct answer is unknown" if row.verdict in NOT_IMITABLE else None


def demonstrations(feedback: Collected) -> Collected:
    """Corrections that show a policy what to write; rejects without a mask show only what not to write."""
    reasons = [reason_against(row) for row in feedback.rows]
    kept = tuple(row for row, reason in zip(feedback.rows, reasons, strict=True) if reason is None)
    left_out = tuple(
        LeftOut(row.source, row.verdict, reason)
        for row, reason in zip(feedback.rows, reasons, strict=True)
        if reason is not None
    )
    return Collected(kept, feedback.left_out + left_out)
