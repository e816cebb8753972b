"""``backup``: a copy of the store, made while it is in use."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "backup",
        help="copy the annotation store while it is in use",
        description="Copy a consistent snapshot of database and pictures into a folder that can be used as --home. "
        "An older backup there is updated.",
    )
    parser.add_argument("target", type=Path, metavar="DIR", help="the folder of the copy")
    add_home_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Copy the store; returns 1 if some of its pictures could not be copied.

    Raises:
        StoreError: when the copy cannot be made.
    """
    with AnnotationStore.open_existing(Settings.from_arguments(arguments).home) as store:
        problems = store.backup(arguments.target)
    for problem in problems:
        print(problem)  # noqa: T201
    print(f"The annotations were copied to {arguments.target}")  # noqa: T201
    return 1 if problems else 0
