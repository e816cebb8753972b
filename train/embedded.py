"""Make the embedded pair from image-mask pairs: a small SAM2 segmenter and a small Qwen2.5-VL policy."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch

from segr1_app.config import Settings, add_home_argument
from segr1_app.domain import SegR1Error
from train.policy import PolicyConfig, train_policy
from train.run import Budget, TrainingConfig
from train.segmenter import SegmenterConfig, train_segmenter

PARTS = ("segmenter", "policy")
RESTART_PEAK, RESTART_AVERAGE = 0.5, 0.99
"""Of a training that starts from a trained model: the peak learning rate as a share of one from scratch, and the decay
of the moving average, which has to forget the start in fewer steps."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 when the data or the settings are at fault."""
    parser = _parser()
    given = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("train").setLevel(logging.INFO)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        data, out = tuple(given.data), given.out or Settings.from_arguments(given).home / "runs" / "embedded"
        common = {"data": data, "cache": out / "packed", "seed": given.seed, "device": given.device}
        exported = {}
        if given.only in (None, "segmenter"):
            budget = Budget(given.segmenter_minutes, given.steps)
            segmenter = SegmenterConfig(**common, out=out / "segmenter", budget=budget)
            exported["segmenter"] = train_segmenter(_started(segmenter, given.start), resume=given.resume)
        if given.only in (None, "policy"):
            budget = Budget(given.policy_minutes, given.steps)
            policy = PolicyConfig(**common, out=out / "policy", budget=budget, composed=given.composed)
            exported["policy"] = train_policy(_started(policy, given.start), resume=given.resume)
    except SegR1Error as error:
        parser.exit(1, f"{error}\n")
    options = " ".join(f"--{part} {folder}" for part, folder in exported.items())
    print(f"Done. Try it: python app.py {options}")  # noqa: T201
    return 0


Config = TypeVar("Config", bound=TrainingConfig)


def _started(config: Config, pair: Path | None) -> Config:
    """The configuration of a training that goes on from its part of a pair; the given one when there is none."""
    if pair is None:
        return config
    rates = dataclasses.replace(config.rates, peak=config.rates.peak * RESTART_PEAK, average=RESTART_AVERAGE)
    return dataclasses.replace(config, rates=rates, start=pair / config.out.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.embedded", description=__doc__)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders that each hold images/ and masks/"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for checkpoints, learning curves and the models, DIR/{segmenter,policy}/export "
        "(default: runs/embedded in --home)",
    )
    add_home_argument(parser)
    parser.add_argument(
        "--start",
        type=Path,
        metavar="DIR",
        help="go on from the models in DIR/{segmenter,policy} (default: from scratch)",
    )
    parser.add_argument("--only", choices=PARTS, help="train one of the two; both can run side by side")
    parser.add_argument(
        "--segmenter-minutes", type=float, default=100, metavar="N", help="training time (default: %(default)s)"
    )
    parser.add_argument(
        "--policy-minutes", type=float, default=95, metavar="N", help="training time (default: %(default)s)"
    )
    parser.add_argument(
        "--composed",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="teach the policy to tell objects apart: paste others into so many of the pictures that leave place for "
        "them, and ask for one (default: %(default)s; it takes much longer then)",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="train each for N steps, whatever time they take")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="source of all chance (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="torch device (default: the GPU when there is one)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's own choice)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints in --out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
