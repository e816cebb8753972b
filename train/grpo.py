"""Train a policy by GRPO on Seg-R1's reward, from image-mask pairs and from the corrections of annotators.

``python -m train.grpo --include-feedback`` needs nothing else: the embedded models, generated scenes and whatever
corrections lie in the data folder. Nothing is promoted by itself: the new policy lies in the run's folder until
somebody gives it to the app.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from segr1_app.config import Settings, add_home_argument
from segr1_app.domain import SegR1Error, SettingsError
from segr1_app.policy import VlmPolicy
from segr1_app.segmenter import Sam2Segmenter
from train.checkpoints import WholeCheckpoints, export_policy, load_trained
from train.data import Collected, Plan, pair_rows, scene_rows, select_held_out, split
from train.feedback import feedback_rows
from train.grpo_setup import CONFIGS, DEFAULT_CONFIG, GrpoSetup, prompts_needed
from train.heldout import comparison, read_scores, score_held_out
from train.mixing import draw_order
from train.run_folder import Journal, RunFolder, circumstances, last_step, read_json
from train.trl_reward import Answerer, SegR1Reward
from train.trl_rows import ExampleReader, PromptMaker, training_dataset

logger = logging.getLogger(__name__)

LORA_CONFIG = CONFIGS / "seg-r1-3b-lora.yaml"
"""Whose adapters are used where they are asked for and the config names none."""


class ResumableGrpo(WholeCheckpoints, GRPOTrainer):
    """trl's trainer with checkpoints that are whole or not there."""


def make_trainer(
    setup: GrpoSetup, config: GRPOConfig, plan: Plan, policy: VlmPolicy, segmenter: Sam2Segmenter
) -> ResumableGrpo:
    """The trainer of a plan: its rows in their drawn order, its reward, its adapters.

    Args:
        setup: of the training.
        config: made of it, for as many rows as the plan has.
        plan: what is trained on.
        policy: to be trained; adapters are put into it.
        segmenter: makes the masks that are rewarded.
    """
    examples = ExampleReader(plan.train)
    order = draw_order(plan.train, prompts_needed(config), setup.mixing, config.seed)
    trainer = ResumableGrpo(
        model=policy.model,
        reward_funcs=SegR1Reward(examples, Answerer(policy, segmenter, setup.grammar), setup.reward),
        args=config,
        train_dataset=training_dataset(order, PromptMaker(examples, policy, setup.grammar)),
        processing_class=policy.processor,
        peft_config=setup.lora_config(),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train_policy(setup: GrpoSetup, config: GRPOConfig, plan: Plan, folder: RunFolder) -> str:
    """Train, or go on training, to the end; returns held-out scores before and after as text.

    Raises:
        SegR1Error: when a model, a picture or a correction cannot be read.
    """
    main, device = config.process_index == 0, str(config.device)
    options = {"device": device, "dtype": setup.dtype, "attention": setup.attention}
    segmenter = Sam2Segmenter.load(setup.segmenter, device=device)
    held_out = select_held_out(plan.held_out, setup.held_out_rows)
    checkpoint = folder.checkpoint

    def scores(policy: VlmPolicy) -> dict[str, Any]:
        answerer = Answerer(policy, segmenter, setup.grammar)
        ranks = {"rank": config.process_index, "ranks": config.world_size}
        return score_held_out(answerer, held_out, setup.reward, **ranks).as_record()

    if not folder.before.exists():
        if main:
            folder.keep_pictures(held_out)
        found = scores(VlmPolicy.load(setup.policy, **options))
        if main:
            folder.write(folder.before, found)
    if last_step(folder) < config.max_steps:
        if checkpoint is not None and setup.lora is None:
            policy = load_trained(checkpoint, setup.policy, **options)
        else:
            policy = VlmPolicy.load(setup.policy, **options)
        trainer = make_trainer(setup, config, plan, policy, segmenter)
        trainer.add_callback(Journal(folder))
        if main:
            folder.forget_after(last_step(folder))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer.accelerator.wait_for_everyone()
        # The trained copy makes room for the one that is read back.
        trainer.accelerator.free_memory()
        del trainer, policy
    newest = folder.checkpoint
    assert newest is not None
    if main and not folder.policy.exists():
        export_policy(load_trained(newest, setup.policy, **options), folder.policy)
    config.distributed_state.wait_for_everyone()
    after = scores(VlmPolicy.load(folder.policy, **options))
    before, after_scores = read_json(folder.before)["scores"], after["scores"]
    if main:
        folder.draw_rewards()
        folder.write(folder.after, after)
        folder.write(folder.result, {"steps": config.max_steps, "before": before, "after": after_scores})
    return comparison(read_scores(before), read_scores(after_scores))


def gather_rows(setup: GrpoSetup, home: Path, *, include_feedback: bool, only: Sequence[str] | None = None) -> Plan:
    """What to train on: pairs, or scenes where there are none, and corrections when they are wanted.

    Args:
        setup: of the training.
        home: the data folder.
        include_feedback: whether corrections take part.
        only: content hashes of the corrections that may; None for all. A resumed training keeps to its own.

    Raises:
        SegR1Error: when data cannot be read, or nothing is left to train on.
    """
    collected = pair_rows(setup.data) if setup.data else scene_rows()
    feedback = feedback_rows(home, only) if include_feedback else Collected()
    return split(collected + feedback, setup.held_out_share)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 when data, models or settings are at fault."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    # trl knows only the old name of what transformers calls activation checkpointing now.
    warnings.filterwarnings("ignore", ".*activation_checkpointing", FutureWarning)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        _run(given)
    except SegR1Error as error:
        logger.error("%s", error)
        return 1
    return 0


def _run(given: argparse.Namespace) -> None:
    home = Settings.from_arguments(argparse.Namespace(home=given.home)).home
    folder = (RunFolder.last if given.resume else RunFolder.new)(home / "runs", given.output_dir)
    before: dict[str, Any] = read_json(folder.config) if given.resume else {}
    setup = _setup(given)
    only = before.get("corrections")
    plan = gather_rows(setup, home, include_feedback=given.include_feedback, only=only)
    config = setup.trainer_config(
        folder.path, rows=len(plan.train), seed=given.seed, device=given.device, report_to=given.report_to
    )
    main_process = config.process_index == 0
    if main_process:
        _tell(plan.table())
        if given.include_feedback and not plan.corrections:
            _tell(f"There are no corrections to learn from in '{home}': training goes on without them.")
    if given.plan:
        return
    record = {"setup": setup.record(), "seed": given.seed, "fingerprint": plan.fingerprint, "steps": config.max_steps}
    changed = sorted(name for name in record if before and before.get(name) != record[name])
    if changed:
        raise SettingsError(
            f"The training in '{folder.path}' cannot be resumed, because its {', '.join(changed)} changed since it was "
            f"started: give the same arguments and data as then, or start a new training."
        )
    if main_process:
        if not before:
            folder.write(folder.config, record | {"corrections": plan.corrections} | circumstances())
        _tell(f"Training for {config.max_steps} steps on {len(plan.train)} rows, in {folder.path}")
    config.distributed_state.wait_for_everyone()
    result = train_policy(setup, config, plan, folder)
    if main_process:
        _tell(result)
        _tell(f"The new policy is used nowhere yet. Try it: python app.py --policy {folder.policy}")


def _setup(given: argparse.Namespace) -> GrpoSetup:
    setup = GrpoSetup.read(given.config)
    mixing = {name: getattr(given, name) for name in ("feedback_fraction", "max_repeats")}
    lora, trainer = setup.lora, dict(setup.trainer)
    if given.lora is not None:
        lora = (setup.lora or GrpoSetup.read(LORA_CONFIG).lora) if given.lora else None
    if given.vllm_server:
        # The server takes its weights from the trainer before each generation.
        trainer |= {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": given.vllm_server}
    return replace(
        setup.with_arguments(
            policy=given.policy,
            segmenter=given.segmenter,
            data=tuple(given.data) if given.data else None,
            max_steps=given.max_steps,
        ),
        mixing=replace(setup.mixing, **{name: value for name, value in mixing.items() if value is not None}),
        lora=lora,
        trainer=trainer,
    )


def _tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.grpo", description=__doc__)
    add_home_argument(parser)
    data = parser.add_argument_group("what to train on")
    data.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folders with images/ and masks/, or of COD10K-v3, CAMO, DIS5K, DUTS, HKU-IS or ECSSD as they are given "
        "out (default: of the config, else generated scenes)",
    )
    data.add_argument("--include-feedback", action="store_true", help="also learn from the corrections in --home")
    data.add_argument(
        "--feedback-fraction", type=float, metavar="F", help="share of corrections among all draws (default: .4)"
    )
    data.add_argument(
        "--max-repeats", type=int, metavar="N", help="most draws of one correction in this training (default: 4)"
    )
    data.add_argument("--plan", action="store_true", help="only print what would be trained on, and what not and why")
    how = parser.add_argument_group("how to train")
    how.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="settings (default: embedded.yaml)"
    )
    how.add_argument("--policy", default=os.environ.get("SEGR1_POLICY"), metavar="ID|DIR", help="where to start from")
    how.add_argument(
        "--segmenter", default=os.environ.get("SEGR1_SEGMENTER"), metavar="ID|DIR", help="what makes the masks"
    )
    how.add_argument(
        "--lora", action=argparse.BooleanOptionalAction, help="train adapters, or all weights (default: of the config)"
    )
    how.add_argument("--max-steps", type=int, metavar="N", help="optimiser steps (default: of the config, 40)")
    how.add_argument("--vllm-server", metavar="URL", help="generate with a server started by 'trl vllm-serve'")
    how.add_argument("--device", default="auto", help="torch device (default: the GPU when there is one)")
    how.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's own choice)")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="source of all chance (default: %(default)s)")
    out = parser.add_argument_group("what comes out")
    out.add_argument("--output-dir", type=Path, metavar="DIR", help="folder of this run (default: runs/TIME in --home)")
    out.add_argument("--resume", action="store_true", help="go on with the run in --output-dir, else with the last one")
    out.add_argument("--report-to", default="none", metavar="NAME", help="trackio or another reporter (default: none)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
