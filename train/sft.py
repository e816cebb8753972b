"""Teach a policy to write mask prompts from examples: the cold start before GRPO (Seg-R1, section 3).

The answers are derived from image-mask pairs (`train.data.traces`), written by somebody (``--traces``, in the form of
FCoT), or corrected by annotators (``--include-feedback``), of which only the answer is learnt and not the reasoning
before it.
``python -m train.sft`` needs nothing else: the embedded models and generated scenes. Nothing is promoted by itself: the
new policy lies in the run's folder until somebody gives it to the app.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from segr1_app.files.logs import report_errors
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.store import RejectReason
from train.data.fcot import fcot_rows
from train.data.mixing import describe_shares, draw_order
from train.data.rows import Collected, LeftOut, Plan, pair_rows, scene_rows
from train.finetune.arguments import add_training_arguments, read_setup
from train.finetune.checkpoints import WholeCheckpoints
from train.finetune.run_folder import RunFolder
from train.finetune.setup import CONFIGS
from train.finetune.sft_setup import DEFAULT_CONFIG, SftSetup, rows_per_step
from train.finetune.training import Method, run_training
from train.finetune.trl_rows import ExampleReader, training_dataset
from train.finetune.trl_traces import AnswerCollator, TraceMaker

LORA_CONFIG = CONFIGS / "sft-3b-lora.yaml"
NOT_IMITABLE: Final = frozenset(str(reason) for reason in RejectReason) - {str(RejectReason.NO_OBJECT)}
"""Verdicts that say what is wrong and not what would be right."""


class ResumableSft(WholeCheckpoints, SFTTrainer):
    """trl's trainer with checkpoints that are whole or not there."""


def make_trainer(
    setup: SftSetup,
    config: SFTConfig,
    plan: Plan,
    policy: VlmPolicy,
    segmenter: Sam2Segmenter,  # noqa: ARG001
) -> ResumableSft:
    """The trainer of a plan: its rows in their drawn order, with their answers, and its adapters.

    Args:
        setup: of the training.
        config: made of it, for as many rows as the plan has.
        plan: what is trained on.
        policy: to be trained; adapters are put into it.
        segmenter: not needed to train.
    """
    examples = ExampleReader(plan.train)
    order = draw_order(plan.train, config.max_steps * rows_per_step(config), setup.mixing, config.seed)
    return ResumableSft(
        model=policy.model,
        args=config,
        data_collator=AnswerCollator(policy.processor),
        train_dataset=training_dataset(order, TraceMaker(examples, policy, setup.grammar, config.seed)),
        processing_class=policy.processor,
        peft_config=setup.lora_config(),
    )


def collect_rows(setup: SftSetup) -> Collected:
    """Pairs and written traces, or scenes where there are neither.

    Raises:
        SegR1Error: when data cannot be read.
    """
    if not setup.data and not setup.traces:
        return scene_rows()
    return pair_rows(setup.data) + fcot_rows(setup.traces)


def demonstrations(feedback: Collected) -> Collected:
    """Corrections that tell what to write; rejects without a mask tell only what not to."""
    left_out = tuple(
        LeftOut(row.source, row.verdict, "nobody said what would be right")
        for row in feedback.rows
        if row.verdict in NOT_IMITABLE
    )
    return Collected(
        tuple(row for row in feedback.rows if row.verdict not in NOT_IMITABLE), feedback.left_out + left_out
    )


def plan_notes(setup: SftSetup, config: SFTConfig, plan: Plan) -> list[str]:
    """Steps and true shares."""
    length = config.max_steps * rows_per_step(config)
    return [f"{config.max_steps} steps: {describe_shares(plan.train, length, setup.mixing, config.seed)}"]


METHOD: Final = Method(make_trainer, collect_rows, demonstrations, RunFolder.draw_losses, plan_notes)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 when data, models or settings are at fault."""
    return report_errors(_run, _parser().parse_args(arguments))


def _run(given: argparse.Namespace) -> int:
    setup = read_setup(SftSetup, given, LORA_CONFIG)
    return run_training(METHOD, setup.with_arguments(traces=tuple(given.traces) if given.traces else None), given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.sft", description=__doc__)
    data, _ = add_training_arguments(parser, DEFAULT_CONFIG)
    data.add_argument(
        "--traces",
        nargs="+",
        metavar="ID|DIR",
        help="written traces in the form of geshang/FCoT: hub ids or folders of parquet files (default: of the config)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
