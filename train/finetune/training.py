"""A training from its arguments to its result, whatever its method: data, resuming, and scores of the policy before and
after.

Nothing is promoted automatically: the new policy stays in the run's folder until somebody promotes it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import torch
from transformers import PrinterCallback, Trainer

from segr1_app.domain import SettingsError
from segr1_app.files.json_files import read_json, write_json
from segr1_app.language.protocol_files import native_protocol
from segr1_app.models.embeddings import EmbeddingFolder
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_files import read_card
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import AUTO, Settings
from segr1_app.studio.trainings import note_process
from train.data.doctor import contact_sheet, overlap, report
from train.data.feedback import feedback_rows
from train.data.rows import Collected, Plan, photograph_rows, select_held_out, split
from train.finetune.checkpoints import export_policy, load_trained
from train.finetune.estimate import estimate
from train.finetune.heldout import comparison, read_scores, score_held_out
from train.finetune.launching import announce_zero, broadcast_folder, check_launch, check_same_training
from train.finetune.run_folder import MetricsLogger, RunFolder, circumstances, last_step
from train.finetune.run_lock import ending_in_words, locked
from train.finetune.setup import TrainingSetup
from train.finetune.trl_reward import Answerer

Setup = TypeVar("Setup", bound=TrainingSetup)

RECORDED: Final = {"setup": "settings", "seed": "seed", "fingerprint": "pictures or corrections", "steps": "length"}
"""What must be unchanged when a training is resumed, in words."""


@dataclass(frozen=True, slots=True)
class Method(Generic[Setup]):
    """The method-specific parts of a training.

    Attributes:
        make_trainer: the trainer of a setup, trl's configuration made of it, a plan, a policy and a segmenter.
        collect_rows: all rows of a setup but corrections; raises a SegR1Error when something cannot be read.
        use_feedback: corrections, without those that the method cannot learn from.
        draw_curves: plots the course of the training into its folder.
        notes: what somebody who reads the plan may not expect: true shares, and settings without an effect.
    """

    make_trainer: Callable[[Setup, Any, Plan, VlmPolicy, Sam2Segmenter], Trainer]
    collect_rows: Callable[[Setup], Collected]
    use_feedback: Callable[[Collected], Collected]
    draw_curves: Callable[[RunFolder], None]
    notes: Callable[[Setup, Any, Plan], list[str]]


def run_training(method: Method[Setup], setup: Setup, given: argparse.Namespace) -> int:
    """The course of a command; 1 when data, models or settings are at fault.

    Args:
        method: of the training.
        setup: read of config and arguments.
        given: the arguments of `add_training_arguments`.
    """
    # trl knows only the old name of what transformers calls activation checkpointing now.
    warnings.filterwarnings("ignore", ".*activation_checkpointing", FutureWarning)
    if given.threads:
        torch.set_num_threads(given.threads)
    home = Settings.from_arguments(argparse.Namespace(home=given.home)).home
    folder = (RunFolder.last if given.resume else RunFolder.new)(home / "runs", given.output_dir)
    before: dict[str, Any] = read_json(folder.config) if given.resume else {}
    # Before thousands of pictures are read, not after.
    needed = estimate(setup)
    config = setup.trainer_config(folder.path, seed=given.seed, device=given.device, report_to=given.report_to)
    if not given.plan:
        check_launch(config)
    with ending_in_words(folder.path):
        collected = method.collect_rows(setup)
        if given.include_feedback:
            # A resumed training keeps the corrections that it was started with.
            collected += method.use_feedback(feedback_rows(home, before.get("corrections")))
        plan = split(collected, setup.held_out_share)
        setup.set_length(config, len(plan.train))
        folder = RunFolder(broadcast_folder(folder.path))
        config.output_dir = str(folder.path)
        main_process = config.process_index == 0
        if main_process:
            _print(plan.table())
            if given.include_feedback and not plan.corrections:
                _print(f"There are no corrections to learn from in '{home}': training continues without them.")
            for line in [*report(plan.train), *method.notes(setup, config, plan), *([str(needed)] if needed else [])]:
                _print(line)
        if given.plan:
            _show_plan(plan, given)
            return 0
        with locked(folder.path) if main_process else nullcontext():
            return _train(method, setup, config, given, plan=plan, folder=folder, before=before)


def _show_plan(plan: Plan, given: argparse.Namespace) -> None:
    """What a plan shows beside its table; nothing of it is written into the data folder."""
    for line in overlap(plan.train, given.against):
        _print(line)
    sheet = given.contact_sheet or Path(tempfile.gettempdir()) / f"segr1-plan-{plan.fingerprint[:12]}.jpg"
    contact_sheet(plan.train, sheet)
    _print(f"Look at some of the masks: {sheet}")


def _train(
    method: Method[Setup],
    setup: Setup,
    config: Any,
    given: argparse.Namespace,
    *,
    plan: Plan,
    folder: RunFolder,
    before: dict[str, Any],
) -> int:
    """Train what was planned, in a folder that this process holds; ``before`` is what a resumed run was started as."""
    main_process = config.process_index == 0
    record = {"setup": setup.record(), "seed": given.seed, "fingerprint": plan.fingerprint, "steps": config.max_steps}
    changed = sorted(name for name in record if before and before.get(name) != record[name])
    if changed:
        raise SettingsError(
            f"The training in '{folder.path}' cannot be resumed, because its "
            f"{', '.join(RECORDED[name] for name in changed)} changed since it was started: give the same arguments "
            "and data as then, or start a new training."
        )

    def begin() -> None:
        if main_process:
            if not before:
                write_json(folder.config, record | {"corrections": plan.corrections} | circumstances())
            note_process(folder.path, os.getpid())
            _print(f"Training for {config.max_steps} steps on {len(plan.train)} rows, in {folder.path}")
        config.distributed_state.wait_for_everyone()
        check_same_training(folder.config, plan.fingerprint)

    result = finetune_policy(method, setup, config, plan=plan, folder=folder, begin=begin)
    if main_process:
        _print(result)
        _print(f"The new policy is not used yet. Try it: python app.py --policy {folder.policy}")
    return 0


def finetune_policy(
    method: Method[Setup], setup: Setup, config: Any, *, plan: Plan, folder: RunFolder, begin: Callable[[], None]
) -> str:
    """Train, or resume a training, to the end; returns held-out scores before and after as text.

    Args:
        method, setup: of the training.
        config: trl's own, made of the setup.
        plan: what is trained on and held out.
        folder: of the run.
        begin: called when the models are loaded; writes down what is trained. Before that nothing is left behind: a
            training whose policy was misspelt is none to go on with.

    Raises:
        SegR1Error: when a model, a picture or a correction cannot be read.
    """
    main, device = config.process_index == 0, str(config.device)
    options = {"device": device, "dtype": setup.trained_dtype, "attention": setup.attention}
    # Held-out rows are asked in the same words before, during and after.
    options["protocol"] = trained_protocol(setup.protocol, setup.policy)
    checkpoint = folder.checkpoint
    segmenter = load_segmenter(setup, device)
    scored, trained = folder.before.exists(), last_step(folder) >= config.max_steps
    whole = checkpoint is not None and setup.lora is None
    policy: VlmPolicy | None = None
    if not scored or not (trained or whole):
        policy = VlmPolicy.load(setup.policy, **options)
    begin()
    held_out = select_held_out(plan.held_out, setup.held_out_rows) + photograph_rows(plan, setup.held_out_rows)

    def scores(policy: VlmPolicy) -> dict[str, Any]:
        answerer = Answerer(policy, segmenter, setup.grammar)
        ranks = {"rank": config.process_index, "ranks": config.world_size}
        return score_held_out(answerer, held_out, setup.reward, **ranks).as_record()

    if not scored:
        assert policy is not None
        if main:
            folder.keep_pictures(held_out)
        found = scores(policy)
        if main:
            write_json(folder.before, found)
    if not trained:
        if whole:
            assert checkpoint is not None
            policy = load_trained(checkpoint, setup.policy, **options)
        assert policy is not None
        with announce_zero(config):
            trainer = method.make_trainer(setup, config, plan, policy, segmenter)
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(MetricsLogger(folder))
            if main:
                folder.forget_after(last_step(folder))
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            trainer.accelerator.wait_for_everyone()
        # The trained copy makes room for the one that is read back.
        trainer.accelerator.free_memory()
        del trainer
    del policy
    if main and not folder.policy.exists():
        newest = folder.checkpoint
        assert newest is not None
        # In bfloat16, merging would lose most of what the adapters learnt.
        export_policy(load_trained(newest, setup.policy, **options | {"dtype": "float32"}), folder.policy)
    config.distributed_state.wait_for_everyone()
    after = scores(VlmPolicy.load(folder.policy, **options))
    old_scores, new_scores = read_json(folder.before)["scores"], after["scores"]
    if main:
        method.draw_curves(folder)
        write_json(folder.after, after)
        write_json(folder.result, {"steps": config.max_steps, "before": old_scores, "after": new_scores})
    return comparison(read_scores(old_scores), read_scores(new_scores))


def trained_protocol(asked: str, policy: str) -> str:
    """By which protocol a policy is trained: the one that is asked for, its own, or, of a stock model, this project's.

    Raises:
        ModelError: when the policy's card cannot be read.
    """
    if asked != AUTO:
        return asked
    folder = Path(policy)
    card = read_card(folder) if folder.is_dir() else None
    return native_protocol("", policy, card.protocol_in(folder) if card else None).name


def load_segmenter(setup: TrainingSetup, device: str) -> Sam2Segmenter:
    """The segmenter of a setup, with a folder for its embeddings where one is asked for.

    Raises:
        ModelError: when it cannot be loaded.
    """
    embeddings = EmbeddingFolder(setup.embedding_cache) if setup.embedding_cache else None
    return Sam2Segmenter.load(setup.segmenter, device=device, embeddings=embeddings)


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201
