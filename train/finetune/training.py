"""Run a training from its arguments to its result, with any method: data, resuming, and scores before and after.

Nothing is promoted automatically: the new policy stays in the run's folder until somebody promotes it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, TypeVar

import torch

from segr1_app.files.json_files import read_json, write_json
from segr1_app.models.policy_files import check_policy_source
from segr1_app.models.segmenter_files import check_segmenter_source
from segr1_app.studio.trainings import RUN_FOLDERS, note_process
from train.data.doctor import contact_sheet, describe_plan, shared_pictures
from train.data.feedback import feedback_rows
from train.data.rows import Collected, Plan, split
from train.data.truths import truth_rows, without_corrected
from train.finetune.arguments import training_home
from train.finetune.dry_step import dry_step
from train.finetune.estimate import estimate
from train.finetune.finetuning import Method, finetune_policy
from train.finetune.launching import broadcast_folder, check_launch, check_reporters, check_same_training
from train.finetune.model_card import write_manifest
from train.finetune.run_folder import RunFolder, circumstances, refuse_changed
from train.finetune.run_lock import ending_in_words, locked_run
from train.finetune.setup import TrainingSetup

Setup = TypeVar("Setup", bound=TrainingSetup)

RECORDED: Final = {"setup": "settings", "seed": "seed", "fingerprint": "pictures or corrections", "steps": "length"}
"""What must be unchanged when a run is resumed, with descriptions."""


def run_training(method: Method[Setup], setup: Setup, given: argparse.Namespace) -> int:
    """Run a training command; returns 1 if data, models or settings are invalid.

    Args:
        method: the training method.
        setup: read from config and arguments.
        given: the arguments of `add_training_arguments`.
    """
    # trl knows only the old name of what transformers now calls activation checkpointing.
    warnings.filterwarnings("ignore", ".*activation_checkpointing", FutureWarning)
    if given.threads:
        torch.set_num_threads(given.threads)
    home = training_home(given)
    folder = (RunFolder.last if given.resume else RunFolder.new)(home / RUN_FOLDERS["policy"], given.output_dir)
    extended = RunFolder.done(given.extend) if given.extend else None
    before: dict[str, Any] = read_json((extended or folder).config) if given.resume or extended else {}
    # Checked before thousands of pictures are read, not after.
    check_policy_source(setup.policy)
    check_segmenter_source(setup.segmenter)
    needed = estimate(setup)
    config = setup.trainer_config(folder.path, seed=given.seed, device=given.device, report_to=given.report_to)
    check_reporters(config.report_to)
    planned = given.plan or given.dry_step
    if not planned:
        check_launch(config)
    with ending_in_words(folder.path):
        # A resumed run keeps the corrections and truths with which it was started.
        corrections = feedback_rows(home, before.get("corrections")) if given.include_feedback else Collected()
        truths = truth_rows(home, before.get("truths")) if given.include_truths else Collected()
        collected = method.collect_rows(setup, without_corrected(truths, corrections))
        collected += method.use_feedback(setup, corrections)
        plan = split(collected, setup.held_out_share)
        setup.set_length(config, len(plan.train))
        folder = RunFolder(broadcast_folder(folder.path))
        config.output_dir = str(folder.path)
        main_process = config.process_index == 0
        if main_process:
            notes = [*method.notes(setup, config, plan), *([str(needed)] if needed else [])]
            _print(describe_plan(plan, home if given.include_feedback else None, notes))
        if planned:
            _show_plan(plan, given)
            if given.dry_step:
                took = dry_step(method, setup, plan, steps=config.max_steps, seed=given.seed, device=given.device)
                _print(str(took))
            return 0
        segments = before.get("segments", [before["steps"]] if before else [config.max_steps])
        if extended:
            segments = [*segments, config.max_steps]
        config.max_steps = sum(segments)
        with locked_run(folder.path) if main_process else nullcontext():
            if extended and main_process:
                folder.continue_from(extended)
            config.distributed_state.wait_for_everyone()
            order = [
                index
                for number, steps in enumerate(segments)
                for index in method.draw(setup, config, plan, steps, given.seed + number)
            ]
            return _train(
                method, setup, config, given, plan=plan, folder=folder, before=before, segments=segments, order=order
            )


def _show_plan(plan: Plan, given: argparse.Namespace) -> None:
    """Show what a plan contains besides its table; nothing is written into the data folder."""
    for line in shared_pictures(plan.rows, given.against):
        _print(line)
    sheet = given.contact_sheet or Path(tempfile.gettempdir()) / f"segr1-plan-{plan.fingerprint[:12]}.jpg"
    contact_sheet(plan.rows, sheet)
    _print(f"Contact sheet of some masks: {sheet}")


def _train(
    method: Method[Setup],
    setup: Setup,
    config: Any,
    given: argparse.Namespace,
    *,
    plan: Plan,
    folder: RunFolder,
    before: dict[str, Any],
    segments: list[int],
    order: list[int],
) -> int:
    """Train as planned, in a folder locked by this process.

    Args:
        method, setup, config, given, plan, folder: those of the run.
        before: the recorded start of a run that is resumed or extended; empty for a new one.
        segments: steps requested at first, and by each extension.
        order: indices into the plan's rows, in drawing order.
    """
    main_process = config.process_index == 0
    record = {"setup": setup.record(), "seed": given.seed, "fingerprint": plan.fingerprint, "steps": config.max_steps}
    known = {name: before.get(name) for name in record} if before else {}
    if before and given.extend:
        # An extension is longer and uses the same setting for it.
        known["steps"] = record["steps"]
        known["setup"] = {**(before["setup"]), "max_steps": record["setup"]["max_steps"]}
    changed = sorted(name for name in known if known[name] != record[name])
    refuse_changed(folder.path, [RECORDED[name] for name in changed])

    def begin() -> None:
        if main_process:
            if not folder.config.exists():
                more = {"segments": segments, "corrections": plan.corrections, "truths": plan.truths}
                write_json(folder.config, record | more | circumstances())
                write_manifest(folder.path, plan, order)
            note_process(folder.path, os.getpid())
            _print(f"Training for {config.max_steps} steps on {len(plan.train)} rows, in {folder.path}")
        config.distributed_state.wait_for_everyone()
        check_same_training(folder.config, plan.fingerprint)

    result = finetune_policy(
        method, setup, config, plan=plan, folder=folder, begin=begin, order=order, anyway=given.anyway
    )
    if main_process:
        _print(result)
        _print(f"The new policy is not used yet. Try it: python app.py --policy {folder.policy}")
    return 0


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201
