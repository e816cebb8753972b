"""Train the embedded pair on image-mask pairs: a small SAM2 segmenter and a small Qwen2.5-VL policy.

One command trains both from scratch: the segmenter, the policy's cold start, and GRPO with the segmenter's masks for
the policy's prompts.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import torch
from annotated_types import Ge, Gt

from segr1_app.domain import SegR1Error, SettingsError
from segr1_app.files.ending import INTERRUPTED
from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.studio.trainings import CONFIG, RUN_FOLDERS
from train import grpo
from train.data.pairs import refuse_repeated
from train.data.questions import question_folder
from train.finetune.arguments import Seed, Threads
from train.finetune.run_folder import RunFolder
from train.finetune.schema import check_value
from train.finetune.setup import CONFIGS
from train.scratch.policy import PolicyConfig, train_policy
from train.scratch.run import CHECKPOINT_FILE, EXPORT_FOLDER, TrainingBudget, TrainingConfig
from train.scratch.segmenter import SegmenterConfig, train_segmenter
from train.scratch.teacher import PACKAGES

SEGMENTER, POLICY, GRPO = "segmenter", "policy", "grpo"
BEGUN = {SEGMENTER: CHECKPOINT_FILE, POLICY: CHECKPOINT_FILE, GRPO: CONFIG}
"""The parts in order, with the file in each folder that marks it as started."""
GRPO_CONFIG = CONFIGS / "embedded-last.yaml"
RESTART_PEAK, RESTART_AVERAGE = 0.15, 0.99
"""For training that starts from a trained model: the peak learning rate relative to training from scratch, and the
decay of the moving average, which has to forget the start in fewer steps.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 1 if data or settings are invalid."""
    parser = _parser()
    given = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("train").setLevel(logging.INFO)
    try:
        _check_options(given)
        if given.threads:
            torch.set_num_threads(given.threads)
        out = given.out or Settings.from_arguments(given).home / RUN_FOLDERS["policy"] / "embedded"
        made = _train(given, out)
    except SegR1Error as error:
        parser.exit(1, f"{error}\n")
    except KeyboardInterrupt:
        parser.exit(INTERRUPTED, "Stopped: the last checkpoint is kept; continue with --resume.\n")
    if made is None:
        return 1
    options = " ".join(f"--{part} {folder}" for part, folder in made.items())
    print(f"Done. Try it: python app.py {options}")  # noqa: T201
    return 0


def _train(given: argparse.Namespace, out: Path) -> dict[str, Path] | None:
    """Train the requested parts; returns the folders of the models, or None when GRPO reported a failure.

    Raises:
        SegR1Error: when data, models or settings are invalid.
    """
    if given.workers < 0 or given.enlarge < 1:
        raise SettingsError("--workers must be 0 or more, and --enlarge 1 or more.")
    parts = (given.only,) if given.only else tuple(BEGUN)
    begun = [part for part in parts if (out / part / BEGUN[part]).is_file()]
    if begun and not given.resume:
        raise SettingsError(
            f"'{out}' already contains a training run ({', '.join(begun)}): give --resume, or another --out."
        )
    if given.resume and not begun:
        raise SettingsError(f"There is no training run to resume in '{out}': start without --resume.")
    common = {
        "data": tuple(given.data),
        "cache": out / "packed",
        "seed": given.seed,
        "device": given.device,
        "workers": given.workers,
    }
    made: dict[str, Path] = {}
    if SEGMENTER in parts:
        budget = TrainingBudget(given.segmenter_minutes, given.steps)
        segmenter = SegmenterConfig(**common, out=out / SEGMENTER, budget=budget)
        segmenter = dataclasses.replace(segmenter, batch=segmenter.batch * given.enlarge)
        made[SEGMENTER] = train_segmenter(_started(segmenter, given), resume=SEGMENTER in begun)
    if POLICY in parts:
        budget = TrainingBudget(given.policy_minutes, given.steps)
        policy = PolicyConfig(**common, out=out / POLICY, budget=budget)
        larger = [dataclasses.replace(phase, pictures=phase.pictures * given.enlarge) for phase in policy.phases]
        policy = dataclasses.replace(policy, phases=tuple(larger), teacher=given.teacher)
        made[POLICY] = train_policy(_started(policy, given), resume=POLICY in begun)
    if GRPO in parts:
        run = RunFolder(out / GRPO)
        if not run.result.is_file():
            questions = question_folder(given.data, common["cache"], out / "questions", given.seed)
            data = [*given.data, *([questions] if questions else [])]
            if grpo.main(_grpo_arguments(given, out, run, data, resume=GRPO in begun)):
                return None
        made[POLICY] = run.policy
    return made


def _grpo_arguments(
    given: argparse.Namespace, out: Path, run: RunFolder, data: Sequence[Path], *, resume: bool
) -> list[str]:
    """The arguments of GRPO on ``data``, for the policy in ``out``, or for the start policy if nothing else is
    trained.
    """
    pair = {part: out / part / EXPORT_FOLDER for part in (SEGMENTER, POLICY)}
    if given.only and given.start:
        pair = {part: given.start / part for part in pair}
    steps = given.steps or given.grpo_steps
    arguments = [
        *("--config", GRPO_CONFIG),
        *(option for part, folder in pair.items() for option in (f"--{part}", folder)),
        *("--data", *data),
        *("--output-dir", run.path),
        *("--seed", given.seed),
        *("--device", given.device),
        *(("--max-steps", steps) if steps else ()),
        *(("--resume",) if resume else ()),
    ]
    return [str(argument) for argument in arguments]


Config = TypeVar("Config", bound=TrainingConfig)


def _started(config: Config, given: argparse.Namespace) -> Config:
    """The configuration for starting from one part of a pair, if there is a pair to start from, at the given rate."""
    share = given.peak or (RESTART_PEAK if given.start else 1)
    rates = dataclasses.replace(config.rates, peak=config.rates.peak * share)
    if given.start is None:
        return dataclasses.replace(config, rates=rates)
    rates = dataclasses.replace(rates, average=RESTART_AVERAGE)
    return dataclasses.replace(config, rates=rates, start=given.start / config.out.name)


def _check_options(given: argparse.Namespace) -> None:
    """Check before hours of training what would otherwise fail in or after them.

    Raises:
        SegR1Error: when a value is out of its bounds, or a folder is given twice.
    """
    count, minutes = Annotated[int, Ge(1)] | None, Annotated[float, Gt(0)]
    for option, kind in {
        "seed": Seed,
        "threads": Threads | None,
        "steps": count,
        "grpo_steps": count,
        "workers": Annotated[int, Ge(0)],
        "segmenter_minutes": minutes,
        "policy_minutes": minutes,
        "peak": Annotated[float, Gt(0)] | None,
    }.items():
        check_value(kind, getattr(given, option), f"--{option.replace('_', '-')}")
    refuse_repeated(given.data)


# Longer than 60 lines: one option after another.
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.embedded", description=__doc__)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders with images/ and masks/"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for checkpoints, learning curves and the models: DIR/{segmenter,policy}/export, and after GRPO "
        "DIR/grpo/policy (default: runs/embedded in --home)",
    )
    add_home_argument(parser)
    parser.add_argument(
        "--start",
        type=Path,
        metavar="DIR",
        help="start from the models in DIR/{segmenter,policy} (default: from scratch)",
    )
    parser.add_argument(
        "--only", choices=BEGUN, help="train one part; segmenter and policy can be trained side by side"
    )
    parser.add_argument(
        "--segmenter-minutes", type=float, default=100, metavar="N", help="training time (default: %(default)s)"
    )
    parser.add_argument(
        "--policy-minutes", type=float, default=95, metavar="N", help="training time (default: %(default)s)"
    )
    parser.add_argument(
        "--grpo-steps", type=int, metavar="N", help=f"steps of GRPO (default: of {GRPO_CONFIG.name}, 200)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="train each part for N steps, however long they take")
    parser.add_argument(
        "--peak",
        type=float,
        metavar="SHARE",
        help="largest learning rate of segmenter and policy, as a fraction of that of a training from scratch "
        f"(default: 1, or {RESTART_PEAK} with --start)",
    )
    parser.add_argument(
        "--teacher",
        action="store_true",
        help="let the policy's vision tower also learn what an ImageNet classifier sees in the objects: needs the "
        f"packages {' and '.join(name.replace('_', '-') for name in PACKAGES)}",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="torch device (default: the GPU when there is one)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's own choice)")
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="processes that prepare pictures for segmenter and policy, for a GPU that is faster than the preparation "
        "(default: %(default)s, none)",
    )
    parser.add_argument(
        "--enlarge",
        type=int,
        default=1,
        metavar="N",
        help="N times as many pictures per step of segmenter and policy, which takes a GPU nearly the same time "
        "(default: %(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoints in --out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
