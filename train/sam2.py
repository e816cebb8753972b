"""Fine-tune a segmenter on image-mask pairs and on the corrections of annotators.

``python -m train.sam2 --data DIR --include-feedback`` trains the prompt encoder and the mask decoder of a SAM 2 with
annotators' own prompts and simulated ones; with ``--rank``, adapters of the image encoder, too. Nothing is promoted
automatically: the new segmenter stays in the run's folder until the app is started with it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import torch
from annotated_types import Ge, Gt, Le, Lt

from segr1_app.domain import SettingsError
from segr1_app.files.json_files import read_json, write_json
from segr1_app.files.logs import report_errors
from segr1_app.models.checkpoint import checkpoint_hash
from segr1_app.models.embeddings import EmbeddingFolder
from segr1_app.models.loading import resolve_device
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.models.segmenter_files import check_segmenter_source, is_sam3, official_name, write_segmenter_files
from segr1_app.settings.config import DEFAULT_SEGMENTER, add_home_argument
from segr1_app.settings.promotion import promoted
from segr1_app.studio.trainings import RUN_FOLDERS, SEGMENTER, note_process
from train.data.doctor import describe_plan
from train.data.feedback import feedback_rows, useless_for_segmenter
from train.data.mixing import Mixing, describe_shares, draw_order
from train.data.rows import Collected, Plan, pair_rows, scene_rows, select_held_out, split
from train.data.truths import truth_rows, without_corrected
from train.finetune.arguments import Seed, Threads, training_home
from train.finetune.model_card import write_manifest
from train.finetune.run_folder import RunFolder, circumstances, refuse_changed
from train.finetune.run_lock import ending_in_words, locked_run
from train.finetune.schema import check_value
from train.finetune.segmenter.scores import ObjectScore, as_records, score_changes, score_objects
from train.finetune.segmenter.tuning import SegmenterTuning, Tuning

RUNS: Final = RUN_FOLDERS["segmenter"]
EMBEDDINGS: Final = "embeddings"
HELD_OUT_SHARE: Final = 0.1
DEFAULTS: Final = Tuning()
MIXING: Final = Mixing(feedback_fraction=0.5, max_repeats=40)
"""A step of a segmenter draws eight objects in a tenth of a policy's time: corrections are drawn more often."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 1 if data, models or settings are invalid."""
    return report_errors(_run, _parser().parse_args(arguments))


def _run(given: argparse.Namespace) -> int:
    home = training_home(given)
    given.segmenter = given.segmenter or promoted(home, "segmenter") or str(DEFAULT_SEGMENTER)
    tuning, mixing = _tuning(given), _mixing(given)
    check_segmenter_source(given.segmenter)
    if is_sam3(given.segmenter):
        raise SettingsError(
            f"--segmenter {given.segmenter} is a SAM 3, and only SAM 2 is trained here: give a SAM 2, or use this one "
            "as it is."
        )
    resolve_device(given.device)
    if given.threads:
        torch.set_num_threads(given.threads)
    folder = (RunFolder.last if given.resume else RunFolder.new)(home / RUNS, given.output_dir)
    with ending_in_words(folder.path):
        before: dict[str, Any] = read_json(folder.config) if given.resume else {}
        plan = _plan(given, home, before)
        order = draw_order(plan.train, tuning.max_steps * tuning.batch, mixing, tuning.seed)
        shares = describe_shares(plan.train, len(order), mixing, tuning.seed)
        _print(describe_plan(plan, home if given.include_feedback else None, [shares]))
        if given.plan:
            return 0
        segmenter = Sam2Segmenter.load(given.segmenter, device=given.device)
        record = {
            "segmenter": given.segmenter,
            "weights": checkpoint_hash(given.segmenter),
            "tuning": asdict(tuning),
            "mixing": asdict(mixing),
            "fingerprint": plan.fingerprint,
        }
        changed = sorted(name for name in record if before and before.get(name) != record[name])
        refuse_changed(folder.path, changed)
        with locked_run(folder.path):
            if not before:
                course = {"steps": tuning.max_steps, "save_steps": tuning.save_steps}
                learnt = {"corrections": plan.corrections, "truths": plan.truths}
                write_json(folder.config, record | course | learnt | circumstances())
                write_manifest(folder.path, plan, order)
            note_process(folder.path, os.getpid())
            _train(folder, given, plan=plan, order=order, tuning=tuning, segmenter=segmenter)
    return 0


def _plan(given: argparse.Namespace, home: Path, before: dict[str, Any]) -> Plan:
    """The training and held-out rows; a resumed training keeps the corrections and truths with which it was started."""
    corrections, truths = Collected(), Collected()
    if given.include_feedback:
        corrections = feedback_rows(home, before.get("corrections"), useless_for_segmenter)
    if given.include_truths:
        truths = without_corrected(truth_rows(home, before.get("truths")), corrections)
    pairs = pair_rows(given.data) if given.data or truths.rows else scene_rows()
    return split(pairs + truths + corrections, HELD_OUT_SHARE)


def _train(
    folder: RunFolder,
    given: argparse.Namespace,
    *,
    plan: Plan,
    order: Sequence[int],
    tuning: Tuning,
    segmenter: Sam2Segmenter,
) -> None:
    """Score, train, write the new segmenter, and score it."""
    held_out = select_held_out(plan.held_out, given.held_out_rows)
    scored = [ObjectScore(**each) for each in read_json(folder.before)] if folder.before.exists() else []
    before = scored or list(score_objects(segmenter, held_out))
    write_json(folder.before, as_records(before))
    embeddings = EmbeddingFolder(given.embedding_cache or folder.path / EMBEDDINGS)
    training = SegmenterTuning(segmenter, plan.train, order, tuning, folder=folder.path, embeddings=embeddings)
    made = training.resume()
    if folder.metrics.exists():
        folder.forget_after(made)
    _print(f"Training for {tuning.max_steps - made} steps on {len(plan.train)} rows, in {folder.path}")
    with folder.metrics.open("a", encoding="utf-8") as metrics:

        def log(values: dict[str, float]) -> None:
            metrics.write(f"{json.dumps(values)}\n")
            metrics.flush()

        training.run(log)
    target = folder.path / SEGMENTER
    write_segmenter_files(segmenter.model, given.segmenter, target)
    # Read back: what is scored is what the app will load.
    after = score_objects(Sam2Segmenter.load(target, device=given.device), held_out)
    table, record = score_changes(before, after)
    write_json(folder.after, as_records(after))
    folder.draw_losses()
    write_json(folder.result, {"steps": tuning.max_steps, "held_out": record})
    shutil.rmtree(folder.path / EMBEDDINGS, ignore_errors=True)
    _print(table)
    _print(f"The new segmenter is not used yet. Try it: python app.py --segmenter {target}")


def _tuning(given: argparse.Namespace) -> Tuning:
    """The options of the command line, checked.

    Raises:
        SettingsError: when one of them is out of its bounds.
    """
    count, share = Annotated[int, Ge(1)], Annotated[float, Ge(0), Lt(1)]
    check_value(count, given.held_out_rows, "--held-out-rows")
    check_value(Threads | None, given.threads, "--threads")
    return Tuning(
        max_steps=check_value(count, given.max_steps, "--max-steps"),
        save_steps=check_value(count, given.save_steps, "--save-steps"),
        batch=check_value(count, given.batch, "--batch"),
        clicks=check_value(Annotated[int, Ge(0)], given.clicks, "--clicks"),
        learning_rate=check_value(Annotated[float, Gt(0)], given.lr, "--lr"),
        average=check_value(share, given.average, "--average"),
        # The loss with which it was trained.
        focal=official_name(given.segmenter) is not None if given.focal is None else given.focal,
        rank=check_value(Annotated[int, Ge(0), Le(256)], given.rank, "--rank"),
        seed=check_value(Seed, given.seed, "--seed"),
    )


def _mixing(given: argparse.Namespace) -> Mixing:
    return Mixing(
        feedback_fraction=check_value(float, given.feedback_fraction, "--feedback-fraction"),
        max_repeats=check_value(int, given.max_repeats, "--max-repeats"),
    )


# Longer than 60 lines: it only declares arguments, one after the other.
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.sam2", description=__doc__)
    add_home_argument(parser)
    data = parser.add_argument_group("what to train on")
    data.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[Path(folder) for folder in os.environ.get("SEGR1_TRAIN_DATA", "").split(os.pathsep) if folder],
        metavar="DIR",
        help="folders of pairs, as of train.grpo (default: those of SEGR1_TRAIN_DATA, else generated scenes)",
    )
    data.add_argument("--include-feedback", action="store_true", help="also learn from the corrections in --home")
    data.add_argument("--include-truths", action="store_true", help="also use the imported ground truths in --home")
    data.add_argument(
        "--feedback-fraction",
        default=MIXING.feedback_fraction,
        metavar="F",
        help="fraction of corrections among all draws (default: %(default)s)",
    )
    data.add_argument(
        "--max-repeats",
        default=MIXING.max_repeats,
        metavar="N",
        help="most draws of one correction in this training (default: %(default)s)",
    )
    data.add_argument("--plan", action="store_true", help="only print which data would be used, and which not and why")
    how = parser.add_argument_group("how to train")
    how.add_argument(
        "--segmenter",
        default=os.environ.get("SEGR1_SEGMENTER"),
        metavar="ID|DIR",
        help="where to start from (default: the one that was promoted in --home, else the embedded one)",
    )
    how.add_argument("--max-steps", default=DEFAULTS.max_steps, metavar="N", help="optimiser steps (%(default)s)")
    how.add_argument("--save-steps", default=DEFAULTS.save_steps, metavar="N", help="between checkpoints (%(default)s)")
    how.add_argument("--batch", default=DEFAULTS.batch, metavar="N", help="objects per step (%(default)s)")
    how.add_argument(
        "--clicks", default=DEFAULTS.clicks, metavar="N", help="most corrective clicks per object (%(default)s)"
    )
    how.add_argument("--lr", default=DEFAULTS.learning_rate, metavar="X", help="learning rate (%(default)s)")
    how.add_argument(
        "--rank",
        default=DEFAULTS.rank,
        metavar="N",
        help="also train low-rank adapters of the image encoder, of this rank (default: %(default)s, a frozen encoder)",
    )
    how.add_argument(
        "--average",
        default=DEFAULTS.average,
        metavar="X",
        help="decay of the moving average of the weights (%(default)s)",
    )
    how.add_argument(
        "--focal",
        action=argparse.BooleanOptionalAction,
        help="use the focal loss or cross-entropy for pixels (default: focal for SAM 2's own checkpoints)",
    )
    how.add_argument(
        "--embedding-cache",
        type=Path,
        metavar="DIR",
        help="keep embeddings in this folder for later trainings (default: in the run's folder, until it is done)",
    )
    how.add_argument("--device", default="auto", help="torch device (default: the GPU when there is one)")
    how.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's own choice)")
    how.add_argument("--seed", default=DEFAULTS.seed, metavar="N", help="random seed (default: %(default)s)")
    how.add_argument(
        "--held-out-rows",
        type=int,
        default=30,
        metavar="N",
        help="held-out pictures of pairs and of corrections each that are scored before and after (%(default)s)",
    )
    out = parser.add_argument_group("what comes out")
    out.add_argument(
        "--output-dir", type=Path, metavar="DIR", help=f"folder of this run (default: {RUNS}/TIME in --home)"
    )
    out.add_argument("--resume", action="store_true", help="continue the run in --output-dir, else the last one")
    return parser


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
