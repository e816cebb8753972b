"""Train a policy with GRPO on Seg-R1's reward, from image-mask pairs and annotators' corrections.

``python -m train.grpo --include-feedback`` needs nothing else: the embedded models, generated scenes and the
corrections in the data folder. Nothing is promoted automatically: the new policy stays in the run's folder until
somebody promotes it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from segr1_app.files.logs import report_errors
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from train.data.mixing import describe_shares, draw_order
from train.data.rows import Collected, Plan, pair_rows
from train.finetune.arguments import add_training_arguments, read_setup
from train.finetune.checkpoints import WholeCheckpoints
from train.finetune.finetuning import Method
from train.finetune.grpo_setup import DEFAULT_CONFIG, GrpoSetup, notes, prompts_needed
from train.finetune.run_folder import RunFolder
from train.finetune.setup import CONFIGS
from train.finetune.shared_pictures import share_pictures
from train.finetune.stand_in import stand_in_rows
from train.finetune.training import run_training
from train.finetune.trl_reward import Answerer, SegR1Reward
from train.finetune.trl_rows import ExampleReader, PromptMaker, training_dataset
from train.finetune.warm_up import warm_up, warm_up_plan

LORA_CONFIG = CONFIGS / "seg-r1-3b-lora.yaml"


class ResumableGrpo(WholeCheckpoints, GRPOTrainer):
    """trl's trainer with atomic checkpoints."""


def make_trainer(
    setup: GrpoSetup,
    config: GRPOConfig,
    plan: Plan,
    policy: VlmPolicy,
    segmenter: Sam2Segmenter,
    *,
    order: Sequence[int] | None = None,
) -> ResumableGrpo:
    """The trainer of a plan: its rows in their drawn order, its reward, its adapters.

    Args:
        setup: the run's setup.
        config: made from it, for as many rows as the plan has.
        plan: the training rows.
        policy: the policy to train; adapters are inserted into it, and it encodes a picture once per group.
        segmenter: makes the masks for the reward.
        order: the order in which the plan's rows are drawn; by default that of `draw` for the whole run.
    """
    examples = ExampleReader(plan.train)
    if order is None:
        order = draw(setup, config, plan, config.max_steps, config.seed)
    share_pictures(policy.model)
    return ResumableGrpo(
        model=policy.model,
        reward_funcs=SegR1Reward(examples, Answerer(policy, segmenter, setup.grammar), setup.reward),
        args=config,
        train_dataset=training_dataset(order, PromptMaker(examples, policy, setup.grammar)),
        processing_class=policy.processor,
        peft_config=setup.lora_config(),
    )


def draw(setup: GrpoSetup, config: GRPOConfig, plan: Plan, steps: int, seed: int) -> list[int]:
    """Indices into a plan's rows, in drawing order, for a number of steps."""
    return draw_order(plan.train, prompts_needed(config, steps), setup.mixing, seed)


def collect_rows(setup: GrpoSetup, truths: Collected) -> Collected:
    """Pairs and imported truths, or scenes if there are neither.

    Raises:
        SegR1Error: when data cannot be read.
    """
    return pair_rows(setup.data) + truths if setup.data or truths.rows else stand_in_rows(setup) + truths


def plan_notes(setup: GrpoSetup, config: GRPOConfig, plan: Plan) -> list[str]:
    """Steps, actual fractions, and settings with an unexpected effect."""
    shares = describe_shares(plan.train, prompts_needed(config), setup.mixing, config.seed)
    warm = warm_up_plan(setup, plan)
    first = [f"{setup.warm_up_steps} supervised steps on the corrections come first."] if warm else []
    return [*first, f"{config.max_steps} steps: {shares}", *notes(setup, config)]


METHOD: Final = Method(
    make_trainer, draw, collect_rows, lambda _, feedback: feedback, RunFolder.draw_rewards, plan_notes, warm_up
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 1 if data, models or settings are invalid."""
    return report_errors(_run, _parser().parse_args(arguments))


def _run(given: argparse.Namespace) -> int:
    return run_training(METHOD, read_grpo_setup(given), given)


def read_grpo_setup(given: argparse.Namespace) -> GrpoSetup:
    """The chosen config, overridden by the arguments of the command line.

    Raises:
        SettingsError: when one of them is invalid.
    """
    setup = read_setup(GrpoSetup, given, DEFAULT_CONFIG, LORA_CONFIG)
    if not given.vllm_server:
        return setup
    # The server receives its weights from the trainer before each generation.
    server = {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": given.vllm_server}
    return replace(setup, trainer={**setup.trainer, **server})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.grpo", description=__doc__)
    _, how = add_training_arguments(parser, DEFAULT_CONFIG, LORA_CONFIG)
    how.add_argument("--vllm-server", metavar="URL", help="generate with a server started by 'vllm serve'")
    return parser


if __name__ == "__main__":
    sys.exit(main())
