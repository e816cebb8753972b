"""``export``: the annotations in other tools' formats."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.formats import FORMATS


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write the annotations in another tool's format",
        description="Write every current accepted or fixed mask. What a format cannot hold is listed at the end; "
        "jsonl holds everything, also history and rejects.",
    )
    parser.add_argument("format", choices=sorted(FORMATS), help="the format to write")
    parser.add_argument("out", type=Path, metavar="DIR", help="new or empty folder")
    add_home_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export the annotations.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with AnnotationStore.open_existing(Settings.from_arguments(arguments).home) as store:
        report = FORMATS[arguments.format](store, arguments.out)
    print(f"{report.written} tasks exported to {arguments.out}")  # noqa: T201
    for warning in report.warnings:
        print(f"Note: {warning}", file=sys.stderr)  # noqa: T201
    return 0
