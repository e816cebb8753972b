"""A short supervised training on corrections before GRPO.

GRPO can only reinforce what a policy already writes now and then: one that never says "there is no such object" is
never rewarded for it. So annotators' corrections are learnt first, mixed with as many pairs, so that the rest is not
forgotten.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from transformers import PrinterCallback

from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.studio.trainings import is_small
from train.data.mixing import Mixing
from train.data.rows import TRACE, Plan
from train.finetune.checkpoints import export_policy, load_trained, whole_checkpoints
from train.finetune.grpo_setup import GrpoSetup
from train.finetune.run_folder import MetricsLogger, RunFolder
from train.finetune.setup import CONFIGS
from train.finetune.sft_setup import SftSetup
from train.finetune.sft_trainer import make_trainer, reason_against

_MIXING: Final = Mixing(feedback_fraction=0.5, max_repeats=16)
"""With few corrections most draws are pairs, so that the few are not memorised."""


def warm_up_plan(setup: GrpoSetup, plan: Plan) -> Plan | None:
    """Corrections that show what to write, and the pairs; None if there is nothing to warm up with."""
    rows = tuple(row for row in plan.train if row.verdict != TRACE and not (row.is_feedback and reason_against(row)))
    return Plan(rows, ()) if setup.warm_up_steps and any(row.is_feedback for row in rows) else None


def warm_up(
    setup: GrpoSetup,
    config: Any,
    *,
    plan: Plan,
    policy: VlmPolicy | None,
    segmenter: Sam2Segmenter,
    run: Path,
    options: dict[str, Any],
) -> Path | None:
    """Train a policy in place on the plan of `warm_up_plan`, and save it.

    Args:
        setup, config: those of the main run.
        plan: the plan of that run.
        policy: the policy to train; None if nothing is left to train.
        segmenter: the run's segmenter.
        run: the run's folder.
        options: options for loading policies.

    Returns:
        The folder of the warmed-up policy; None if there was nothing to warm up with.

    Raises:
        SegR1Error: when a row cannot be read.
    """
    ready = RunFolder(run).warmed
    folder = ready.parent
    rows = warm_up_plan(setup, plan)
    if rows is None:
        return None
    if ready.is_dir():
        return ready
    if policy is None:
        policy = VlmPolicy.load(setup.policy, **options)
    taught = _supervised(setup)
    shutil.rmtree(folder, ignore_errors=True)
    its_config = taught.trainer_config(
        folder, rows=len(rows.train), seed=config.seed, device=str(config.device), report_to="none"
    )
    trainer = make_trainer(taught, its_config, rows, policy, segmenter)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(MetricsLogger(RunFolder(folder), "supervised steps"))
    trainer.train()
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.free_memory()
    if config.process_index == 0:
        (newest,) = whole_checkpoints(folder)
        export_policy(load_trained(newest, setup.policy, **options | {"dtype": "float32"}), ready)
        shutil.rmtree(newest)
    config.distributed_state.wait_for_everyone()
    return ready


def _supervised(setup: GrpoSetup) -> SftSetup:
    """The setup of the warm-up before a training with GRPO."""
    trainer_of = CONFIGS / ("sft-embedded.yaml" if is_small(setup.policy) else "sft-3b-lora.yaml")
    return SftSetup(
        policy=setup.policy,
        segmenter=setup.segmenter,
        grammar=setup.grammar,
        protocol=setup.protocol,
        max_steps=setup.warm_up_steps,
        save_steps=setup.warm_up_steps,
        mixing=_MIXING,
        lora=setup.lora,
        dtype=setup.dtype,
        attention=setup.attention,
        trainer=SftSetup.read(trainer_of).trainer,
    )
