"""``sync``: merge the annotations with their copy on the hub, or in a folder."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from segr1_app.domain import SettingsError
from segr1_app.settings.config import Settings, add_dataset_argument, add_home_argument
from segr1_app.store import AnnotationStore
from segr1_app.sync import Synchroniser, remote_of


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sync",
        help="merge the annotations with their remote copy",
        description="Fetch what others pushed and push what was added here. An empty --home is restored completely. A "
        "page started with --dataset syncs automatically.",
    )
    add_dataset_argument(parser)
    add_home_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Sync once; returns 1 if part of the copy cannot be used.

    Raises:
        SegR1Error: when store or copy cannot be reached.
    """
    settings = Settings.from_arguments(arguments)
    if settings.dataset is None:
        raise SettingsError("Nothing to sync with: give --dataset OWNER/NAME or a folder, or set SEGR1_DATASET.")
    remote = remote_of(settings.dataset)
    with AnnotationStore.open(settings.home) as store, tempfile.TemporaryDirectory(dir=settings.home) as folder:
        waiting = store.journal.waiting(remote.name)
        problems = Synchroniser(store, remote, Path(folder)).sync()
    print(f"{settings.home} and {settings.dataset} are in sync; {waiting} records were pushed.")  # noqa: T201
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201
    return 1 if problems else 0
