"""The commands of ``python -m segr1_app`` and ``segr1``, one module each; the page is added above this package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final, Protocol

from segr1_app import __version__
from segr1_app.cli import (
    accept,
    backup,
    calibrate,
    classes,
    deploy,
    download,
    export,
    importing,
    people,
    preannotate,
    predict,
    request,
    stats,
    sync,
    verify,
)
from segr1_app.domain import SegR1Error
from segr1_app.files.ending import INTERRUPTED, ending_quietly, terminable

PROGRAM: Final = "python -m segr1_app"


class Command(Protocol):
    """A module that declares one command: its arguments, and ``run`` as its default."""

    def add_command(self, commands: Any) -> None:
        """Add a parser to argparse's ``commands``."""


COMMANDS: Final[tuple[Command, ...]] = (
    predict,
    request,
    importing,
    preannotate,
    accept,
    calibrate,
    stats,
    classes,
    export,
    verify,
    backup,
    download,
    sync,
    people,
    deploy,
)


def build_parser(prog: str = PROGRAM, more: Sequence[Command] = ()) -> argparse.ArgumentParser:
    """The argument parser with all commands.

    Args:
        prog: the program's name in its help.
        more: commands defined in higher layers, listed first.
    """
    parser = argparse.ArgumentParser(prog=prog, description="Seg-R1 studio: reasoning segmentation and annotation.")
    parser.add_argument("--version", action="version", version=f"segr1 {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (*more, *COMMANDS):
        command.add_command(commands)
    return parser


def main(arguments: Sequence[str] | None = None, prog: str = PROGRAM, more: Sequence[Command] = ()) -> int:
    """Run a command and return its exit status: 1 for a failure, 2 for wrong arguments.

    Args:
        arguments: the command line without the program; None for that of the process.
        prog, more: as for `build_parser`.
    """
    return ending_quietly(lambda: _run(build_parser(prog, more), arguments))


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    given = parser.parse_args(arguments)
    try:
        with terminable():
            status: int = given.run(given)
    except SegR1Error as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    return status
