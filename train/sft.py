"""Teach a policy to write mask prompts from examples: the cold start before GRPO (Seg-R1, section 3).

The answers are derived from image-mask pairs (`train.data.traces`), read from traces (``--traces``, in FCoT's format),
or corrected by annotators (``--include-feedback``), in which case only the answer is learnt and not the reasoning
before it. ``python -m train.sft`` needs nothing else: the embedded models and generated scenes. Nothing is promoted
automatically: the new policy stays in the run's folder until somebody promotes it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from trl.trainer.sft_config import SFTConfig

from segr1_app.files.logs import report_errors
from train.data.fcot import fcot_rows
from train.data.mixing import describe_shares
from train.data.rows import Collected, Plan, pair_rows
from train.finetune.arguments import add_training_arguments, read_setup
from train.finetune.finetuning import Method
from train.finetune.run_folder import RunFolder
from train.finetune.setup import CONFIGS
from train.finetune.sft_setup import DEFAULT_CONFIG, SftSetup, rows_per_step
from train.finetune.sft_trainer import demonstrations, draw, make_trainer
from train.finetune.stand_in import stand_in_rows
from train.finetune.training import run_training

LORA_CONFIG = CONFIGS / "sft-3b-lora.yaml"


def collect_rows(setup: SftSetup, truths: Collected) -> Collected:
    """Pairs, imported truths and written traces, or scenes if there are none.

    Raises:
        SegR1Error: when data cannot be read.
    """
    if not setup.data and not setup.traces and not truths.rows:
        return stand_in_rows(setup) + truths
    return pair_rows(setup.data) + truths + fcot_rows(setup.traces)


def plan_notes(setup: SftSetup, config: SFTConfig, plan: Plan) -> list[str]:
    """Steps and actual fractions."""
    length = config.max_steps * rows_per_step(config)
    return [f"{config.max_steps} steps: {describe_shares(plan.train, length, setup.mixing, config.seed)}"]


METHOD: Final = Method(
    make_trainer,
    draw,
    collect_rows,
    lambda _, feedback: demonstrations(feedback),
    RunFolder.draw_losses,
    plan_notes,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 1 if data, models or settings are invalid."""
    return report_errors(_run, _parser().parse_args(arguments))


def _run(given: argparse.Namespace) -> int:
    return run_training(METHOD, read_sft_setup(given), given)


def read_sft_setup(given: argparse.Namespace) -> SftSetup:
    """The chosen config, overridden by the arguments of the command line.

    Raises:
        SettingsError: when one of them is invalid.
    """
    setup = read_setup(SftSetup, given, DEFAULT_CONFIG, LORA_CONFIG)
    return setup.with_arguments(traces=tuple(given.traces) if given.traces else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.sft", description=__doc__)
    data, _ = add_training_arguments(parser, DEFAULT_CONFIG, LORA_CONFIG)
    data.add_argument(
        "--traces",
        nargs="+",
        metavar="ID|DIR",
        help="written traces in the format of geshang/FCoT: hub ids or folders of parquet files (default: of "
        "the config)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
