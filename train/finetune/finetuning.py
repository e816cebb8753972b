"""Train a policy on a plan: score it before, train with validations, score it after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from transformers import PrinterCallback, Trainer

from segr1_app.domain import SettingsError
from segr1_app.files.json_files import read_json, write_json
from segr1_app.language.protocol_files import native_protocol
from segr1_app.models.embeddings import EmbeddingFolder
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_files import read_card
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import AUTO
from train.data.rows import Collected, Plan, Row, photograph_rows, select_held_out
from train.finetune.checkpoints import checkpoint_step, export_policy, load_trained
from train.finetune.heldout import HeldOut, HeldOutScores, changes, comparison, read_scores, score_held_out
from train.finetune.launching import announce_zero
from train.finetune.model_card import write_card
from train.finetune.prompt_check import check_prompts
from train.finetune.run_folder import MetricsLogger, RunFolder, last_step
from train.finetune.setup import TrainingSetup
from train.finetune.trl_reward import Answerer
from train.finetune.validation import Validation, gave_up, part_rows, validated

Setup = TypeVar("Setup", bound=TrainingSetup)


@dataclass(frozen=True, slots=True)
class Method(Generic[Setup]):
    """The parts specific to a training method.

    Attributes:
        make_trainer: makes the trainer from a setup, trl's configuration for it, a plan, a policy, a segmenter and the
            order in which rows are drawn, None for that of ``draw``.
        draw: returns indices into a plan's rows, in drawing order for a number of steps, from a seed.
        collect_rows: all rows of a setup and the given imported truths, without corrections; raises a SegR1Error when
            something cannot be read.
        use_feedback: removes corrections that a setup cannot use by this method.
        draw_curves: plots the course of the run into its folder.
        warm_up: runs before the method's own steps; returns the folder of the policy from which these start, or None
            for the setup's own.
        notes: remarks for the reader of a plan: actual fractions, and settings without effect.
    """

    make_trainer: Callable[..., Trainer]
    draw: Callable[[Setup, Any, Plan, int, int], list[int]]
    collect_rows: Callable[[Setup, Collected], Collected]
    use_feedback: Callable[[Setup, Collected], Collected]
    draw_curves: Callable[[RunFolder], None]
    notes: Callable[[Setup, Any, Plan], list[str]]
    warm_up: Callable[..., Path | None] | None = None


# Longer than 60 lines: the steps of a run in order, each a call.
def finetune_policy(
    method: Method[Setup],
    setup: Setup,
    config: Any,
    *,
    plan: Plan,
    folder: RunFolder,
    begin: Callable[[], None],
    order: Sequence[int] | None = None,
    anyway: bool = False,
) -> str:
    """Train to the end, or resume; returns held-out scores before and after as text.

    Args:
        method, setup: method and setup of the run.
        config: trl's configuration, made from the setup.
        plan: training and held-out rows.
        folder: the run's folder.
        begin: called once the models are loaded; records the run's inputs. Nothing is written before: a run with a
            misspelt policy must not look resumable.
        order: indices into the plan's rows in drawing order; by default the method's.
        anyway: train even if the reward does not depend on the prompt.

    Raises:
        SegR1Error: when a model, a picture or a correction cannot be read.
    """
    main, device = config.process_index == 0, str(config.device)
    options = {"device": device, "dtype": setup.trained_dtype, "attention": setup.attention}
    # Held-out rows use the same prompts before, during and after training.
    options["protocol"] = trained_protocol(setup.protocol, setup.policy)
    checkpoint = folder.checkpoint
    segmenter = load_segmenter(setup, device)
    ended = last_step(folder) >= config.max_steps or gave_up(validated(folder.metrics), setup.patience)
    scored, trained = folder.before.exists(), ended and folder.checkpoint is not None
    whole = checkpoint is not None and setup.lora is None
    policy: VlmPolicy | None = None
    if not scored or not (trained or whole):
        policy = VlmPolicy.load(setup.policy, **options)
    if main and not scored:
        check_reward(plan, segmenter, anyway=anyway)
    begin()
    chosen = select_held_out(plan.held_out, setup.held_out_rows + setup.validation_rows)
    compared, during = part_rows(chosen, setup.held_out_rows, setup.validation_rows)
    held_out = compared + photograph_rows(plan, setup.held_out_rows)

    def answers(policy: VlmPolicy, rows: Sequence[Row]) -> HeldOut:
        # Limited as in training: what is cut off there must not count here.
        longest = getattr(config, "max_completion_length", None)
        answerer = Answerer(policy, segmenter, setup.grammar, longest)
        return score_held_out(answerer, rows, setup.reward, rank=config.process_index, ranks=config.world_size)

    def scores(policy: VlmPolicy) -> dict[str, Any]:
        return answers(policy, held_out).as_record()

    if not scored:
        assert policy is not None
        if main:
            folder.keep_pictures(held_out)
        found = scores(policy)
        if main:
            write_json(folder.before, found)
    source = setup.policy
    if method.warm_up is not None:
        warmed = method.warm_up(
            setup, config, plan=plan, policy=policy, segmenter=segmenter, run=folder.path, options=options
        )
        source = str(warmed or source)
    if not trained:
        if whole:
            assert checkpoint is not None
            policy = load_trained(checkpoint, source, **options)
        elif source != setup.policy:
            # Adapters too start from the warm-up's result, merged.
            policy = VlmPolicy.load(source, **options)
        assert policy is not None
        _optimise(
            method,
            setup,
            config,
            plan=plan,
            folder=folder,
            policy=policy,
            segmenter=segmenter,
            order=order,
            score=(lambda live: answers(live, during).scores) if during else None,
        )
    del policy
    if main and not folder.policy.exists():
        best = folder.best_checkpoint(or_start=source != setup.policy)
        # In bfloat16, merging would lose most of what the adapters learnt.
        exact = options | {"dtype": "float32"}
        policy = load_trained(best, source, **exact) if best else VlmPolicy.load(source, **exact)
        export_policy(policy, folder.policy)
        del policy
    config.distributed_state.wait_for_everyone()
    after = scores(VlmPolicy.load(folder.policy, **options))
    return _conclude(method, setup, plan, folder, after, main=main, warmed=source != setup.policy)


def _optimise(
    method: Method[Setup],
    setup: Setup,
    config: Any,
    *,
    plan: Plan,
    folder: RunFolder,
    policy: VlmPolicy,
    segmenter: Sam2Segmenter,
    order: Sequence[int] | None,
    score: Callable[[VlmPolicy], dict[str, HeldOutScores | None]] | None,
) -> None:
    """Make the remaining steps, with a validation at each checkpoint if there are rows for it (``score``)."""
    checkpoint = folder.checkpoint
    with announce_zero(config):
        trainer = method.make_trainer(setup, config, plan, policy, segmenter, order=order)
        trainer.remove_callback(PrinterCallback)
        if config.process_index == 0:
            folder.forget_after(last_step(folder))
        config.distributed_state.wait_for_everyone()
        trainer.add_callback(MetricsLogger(folder))
        # If the policy is sharded among GPUs, no process has all of it to answer with.
        shared_out = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        if score is not None and setup.validate_every != 0 and not shared_out:
            trainer.add_callback(
                Validation(folder.metrics, partial(score, policy), setup.patience, setup.validate_every or 1)
            )
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer.accelerator.wait_for_everyone()
    # Free the trained copy before the exported one is loaded.
    trainer.accelerator.free_memory()


def _conclude(
    method: Method[Setup],
    setup: Setup,
    plan: Plan,
    folder: RunFolder,
    after: dict[str, Any],
    *,
    main: bool,
    warmed: bool,
) -> str:
    """Write the results of a run; returns held-out scores before and after as text.

    Args:
        method, setup, plan, folder: of the training.
        after: the record of held-out answers.
        main: whether this process writes.
        warmed: whether a warm-up came before the steps.
    """
    earlier = read_json(folder.before)
    changed = changes(earlier, after)
    table = comparison(read_scores(earlier["scores"]), read_scores(after["scores"]), changed)
    if main:
        method.draw_curves(folder)
        write_json(folder.after, after)
        best = folder.best_checkpoint(or_start=warmed)
        result = {
            "steps": last_step(folder),
            "exported_step": checkpoint_step(best) if best else 0,
            "before": earlier["scores"],
            "after": after["scores"],
            "changes": {
                group: {name: asdict(change) for name, change in found.items()} for group, found in changed.items()
            },
        }
        write_card(folder, setup, plan, result, table)
        write_json(folder.result, result)
    return table


def check_reward(plan: Plan, segmenter: Sam2Segmenter, *, anyway: bool) -> None:
    """Check before training that the reward distinguishes correct prompts from wrong ones.

    Raises:
        SettingsError: when it does not, unless ``anyway`` is set.
    """
    found = check_prompts(plan.train, segmenter)
    if found is None:
        return
    _print(str(found))
    if not found.tells_apart:
        _print("The reward hardly depends on the prompt, so there is little to learn from it.")
        if not anyway:
            raise SettingsError(
                f"The reward hardly depends on the prompt with this segmenter and these pictures ({found}) "
                "Training with "
                "it teaches little: use another --segmenter, look at the masks with --plan, or give --anyway."
            )


def trained_protocol(asked: str, policy: str) -> str:
    """The protocol with which a policy is trained: the requested one, its own, or, for a stock model, this project's.

    Raises:
        ModelError: when the policy's card cannot be read.
    """
    if asked != AUTO:
        return asked
    folder = Path(policy)
    card = read_card(folder) if folder.is_dir() else None
    return native_protocol("", policy, card.protocol_in(folder) if card else None).name


def load_segmenter(setup: TrainingSetup, device: str) -> Sam2Segmenter:
    """Load the segmenter of a setup, with a folder for its embeddings if requested.

    Raises:
        ModelError: when it cannot be loaded.
    """
    embeddings = EmbeddingFolder(setup.embedding_cache) if setup.embedding_cache else None
    return Sam2Segmenter.load(setup.segmenter, device=device, embeddings=embeddings)


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201
