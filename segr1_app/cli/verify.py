"""``verify``: check the whole store."""

from __future__ import annotations

import argparse
from typing import Any

from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help="check the annotation store for damage",
        description="Check every picture, mask, digest and reference; the exit status is 1 if one is damaged.",
    )
    add_home_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print each problem; returns 1 if there is one.

    Raises:
        StoreError: when the store cannot be read at all.
    """
    settings = Settings.from_arguments(arguments)
    with AnnotationStore.open_existing(settings.home) as store:
        problems = 0
        for problem in store.verify():
            print(problem)  # noqa: T201
            problems += 1
    print(f"{problems} problems in {settings.home}" if problems else f"No problems in {settings.home}.")  # noqa: T201
    return 1 if problems else 0
