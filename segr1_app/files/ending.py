"""How a command exits when its output pipe is closed, or it is interrupted or terminated."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import UnsupportedOperation
from types import FrameType
from typing import Final, NoReturn

BROKEN_PIPE: Final = 128 + signal.SIGPIPE
"""Exit status of a command whose output pipe was closed, as a shell reports it for ``cat big | head``."""
TERMINATED: Final = 128 + signal.SIGTERM
INTERRUPTED: Final = 128 + signal.SIGINT
"""Exit status of a command that was stopped by Ctrl+C."""


def ending_quietly(command: Callable[[], int]) -> int:
    """Run a command; if its output pipe is closed (``| head``), it exits silently.

    Returns:
        The command's own exit status, or `BROKEN_PIPE`.
    """
    try:
        try:
            return command()
        finally:
            # Flush buffered output, so that it fails here and not when Python exits.
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE


def _discard_output() -> None:
    """Redirect both streams to the null device: Python flushes them again when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        # A stream replaced by a test has no file descriptor.
        with suppress(UnsupportedOperation):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextmanager
def terminable() -> Iterator[None]:
    """Make SIGTERM raise an exception in the command, so that its temporary files are removed."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(TERMINATED)

    # Only the main thread may set a handler, and one that was set before, by a launcher, is kept.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
