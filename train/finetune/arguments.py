"""The command-line arguments shared by all training commands, and the setup made from them."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, TypeVar

from annotated_types import Ge, Le, Lt

from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore
from segr1_app.studio.trainings import SMALL_PARAMETERS, is_small
from train.finetune.schema import check_value
from train.finetune.setup import TrainingSetup

Setup = TypeVar("Setup", bound=TrainingSetup)

Seed = Annotated[int, Ge(0), Lt(2**32)]
"""A random seed that all libraries take."""
Threads = Annotated[int, Ge(1), Le(1024)]
"""CPU threads; OpenMP ends the process when it cannot start as many."""
SHORTCUTS: Final = {
    "policy": "policy",
    "segmenter": "segmenter",
    "data": "data",
    "max_steps": "max_steps",
    "embedding_cache": "embedding_cache",
    "feedback_fraction": "mixing.feedback_fraction",
    "max_repeats": "mixing.max_repeats",
    "lr": "trainer.learning_rate",
    "batch": "trainer.per_device_train_batch_size",
    "group": "trainer.num_generations",
    "beta": "trainer.beta",
    "tokens": "trainer.max_completion_length",
    "rank": "lora.r",
}
"""Command-line options, and the settings for which they are shortcuts."""


def read_setup(kind: type[Setup], given: argparse.Namespace, small: Path, large: Path) -> Setup:
    """The chosen config, overridden by the arguments of `add_training_arguments`.

    Args:
        kind: the kind of setup.
        given: the arguments.
        small: the config for policies of the embedded one's size, and for when no policy is named.
        large: the config for larger policies; it also provides the adapters if they are requested and the config has
            none.

    Raises:
        SettingsError: when one of them is invalid.
    """
    check_value(Seed, given.seed, "--seed")
    if given.threads is not None:
        check_value(Threads, given.threads, "--threads")
    assignments = [
        f"{key}={json.dumps(value, default=str)}"
        for option, key in SHORTCUTS.items()
        if (value := getattr(given, option, None)) is not None
    ]
    config, assignments = given.config or small, [*assignments, *given.set]
    setup = kind.read(config, assignments)
    if given.config is None and not is_small(setup.policy):
        config = large
        setup = kind.read(config, assignments)
    if given.lora is False:
        return replace(setup, lora=None)
    plain = kind.read(config).lora is None
    if plain and (given.lora or setup.lora):
        # With --lora, adapters are those of the large policy's config, except for the settings given.
        return replace(setup, lora=(kind.read(large).lora or {}) | (setup.lora or {}))
    return setup


def training_home(given: argparse.Namespace) -> Path:
    """The data folder of a training.

    Raises:
        StoreError: when corrections or truths are asked for from a named folder without annotations: a mistyped name
            would be created for the run, and the training would learn from nothing.
    """
    home = Settings.from_arguments(argparse.Namespace(home=given.home)).home
    if (given.include_feedback or given.include_truths) and given.home is not None:
        AnnotationStore.open_existing(home).close()
    return home


# Longer than 60 lines: it only declares arguments, one after the other.
def add_training_arguments(
    parser: argparse.ArgumentParser, small: Path, large: Path
) -> tuple[argparse._ArgumentGroup, argparse._ArgumentGroup]:
    """Declare the arguments of all training commands; returns the groups for data and for settings, to which more
    can be added.

    Args:
        parser: receives them.
        small, large: as for `read_setup`.
    """
    add_home_argument(parser)
    data = parser.add_argument_group("what to train on")
    data.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[Path(folder) for folder in os.environ.get("SEGR1_TRAIN_DATA", "").split(os.pathsep) if folder] or None,
        metavar="DIR",
        help="folders with images/ and masks/ (and instructions.json: instructions by stem), or of COD10K-v3, CAMO, "
        "DIS5K, DUTS, HKU-IS or ECSSD in their original layout "
        "(default: those of SEGR1_TRAIN_DATA, of the config, else generated scenes for a small policy)",
    )
    data.add_argument("--include-feedback", action="store_true", help="also learn from the corrections in --home")
    data.add_argument("--include-truths", action="store_true", help="also use the imported ground truths in --home")
    data.add_argument("--feedback-fraction", metavar="F", help="fraction of corrections among all draws (default: .4)")
    data.add_argument("--max-repeats", metavar="N", help="most draws of one correction in this run (default: 4)")
    data.add_argument("--plan", action="store_true", help="only print which data would be used, and which not and why")
    data.add_argument(
        "--dry-step",
        action="store_true",
        help="like --plan; also load the models and make one step, to measure the time and memory that training takes",
    )
    how = parser.add_argument_group("how to train")
    how.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"settings (default: {small.name}, or {large.name} for a policy of more than "
        f"{SMALL_PARAMETERS // 10**6} million weights)",
    )
    how.add_argument("--policy", default=os.environ.get("SEGR1_POLICY"), metavar="ID|DIR", help="where to start from")
    how.add_argument(
        "--segmenter",
        default=os.environ.get("SEGR1_SEGMENTER"),
        metavar="ID|DIR",
        help="segmenter that makes the masks",
    )
    how.add_argument(
        "--embedding-cache",
        type=Path,
        metavar="DIR",
        help="cache the segmenter's embeddings in this folder, in half precision, up to 32 GiB: a picture is then "
        "encoded once for all runs (default: of the config, else only recent ones are kept, in memory)",
    )
    how.add_argument(
        "--lora", action=argparse.BooleanOptionalAction, help="train adapters, or all weights (default: of the config)"
    )
    how.add_argument("--max-steps", metavar="N", help="optimiser steps (default: of the config)")
    how.add_argument("--lr", metavar="X", help="learning rate")
    how.add_argument("--batch", metavar="N", help="completions or rows per process and pass")
    how.add_argument("--group", metavar="N", help="completions per prompt, for GRPO")
    how.add_argument("--beta", metavar="X", help="weight of the KL divergence from the initial policy, for GRPO")
    how.add_argument("--tokens", metavar="N", help="longest completion in tokens, for GRPO")
    how.add_argument("--rank", metavar="N", help="rank of the adapters")
    how.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any setting listed in docs/training.md; may be repeated; overrides --config and all other options",
    )
    how.add_argument("--anyway", action="store_true", help="train even if the reward does not depend on the prompt")
    how.add_argument("--device", default="auto", help="torch device (default: the GPU when there is one)")
    how.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's own choice)")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")
    data.add_argument(
        "--against",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="with --plan: also list pictures that are in a benchmark's folder, under any name and size",
    )
    data.add_argument(
        "--contact-sheet",
        type=Path,
        metavar="FILE",
        help="with --plan: the contact sheet of masks (default: in the folder for temporary files)",
    )
    out = parser.add_argument_group("what comes out")
    out.add_argument("--output-dir", type=Path, metavar="DIR", help="folder of this run (default: runs/TIME in --home)")
    out.add_argument("--resume", action="store_true", help="continue the run in --output-dir, else the last one")
    out.add_argument(
        "--extend",
        type=Path,
        metavar="RUN",
        help="train a finished run for --max-steps more, in a new folder, with the same arguments",
    )
    out.add_argument("--report-to", default="none", metavar="NAME", help="trackio or another reporter (default: none)")
    return data, how
