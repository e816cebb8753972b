"""The commands of ``python -m segr1_app``, one module each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from segr1_app.cli import (
    backup,
    deploy,
    download,
    export,
    importing,
    people,
    preannotate,
    predict,
    stats,
    sync,
    verify,
)
from segr1_app.domain import SegR1Error
from segr1_app.files.ending import ending_quietly, terminable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 1 when something went wrong, 2 when it was called wrongly."""
    return ending_quietly(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m segr1_app", description="Seg-R1 without the page. The page itself is started by app.py."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        predict,
        importing,
        preannotate,
        stats,
        export,
        verify,
        backup,
        download,
        sync,
        people,
        deploy,
    ):
        command.add_command(commands)
    given = parser.parse_args(arguments)
    try:
        with terminable():
            status: int = given.run(given)
    except SegR1Error as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)  # noqa: T201
        return 130
    return status
