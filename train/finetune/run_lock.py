"""Only one process at a time trains in a run's folder, and external interruptions give a one-sentence message.

The lock is the operating system's (`filelock`): it is released when the process dies.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from segr1_app.domain import ModelError, SegR1Error, SettingsError

LOCK: Final = ".lock"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_WORDS: Final = (
    "No space left on device",
    "Disk quota exceeded",
    "PytorchStreamWriter failed",
    "inline_container",
)
"""How safetensors and torch report a full disk, for which they have no exception of their own."""


@contextmanager
def locked_run(folder: Path) -> Iterator[None]:
    """Lock a run's folder, which is created if missing; it is removed again if nothing was written.

    Raises:
        SettingsError: when another process holds it, or it cannot be created.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"'{folder}' cannot be made a folder ({error.strerror}): give another place.") from error
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise SettingsError(
            f"Another process is training in '{folder}', and two would mix their results: wait until it "
            "ends, stop it, or give another --output-dir."
        ) from error
    except OSError as error:
        raise SettingsError(f"'{folder}' cannot be written to ({error.strerror}): give another place.") from error
    try:
        yield
    finally:
        # Elsewhere the file is kept: a process that is just opening it would hold a lock that nobody else sees.
        if new and [path.name for path in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
        lock.release()
        # Innermost first; a folder that is not empty is kept.
        with suppress(OSError):
            for path in new:
                path.rmdir()


@contextmanager
def ending_in_words(folder: Path) -> Iterator[None]:
    """Turn external interruptions of a run into one sentence that says how to resume.

    Raises:
        SegR1Error: when it was interrupted, or the disk or the memory is full.
    """
    resume = f"continue with --resume --output-dir {folder}"
    started = (folder / "config.json").is_file
    try:
        yield
    except KeyboardInterrupt as error:
        state = f"Its last checkpoint is kept: {resume}." if started() else "Nothing was trained yet."
        raise SegR1Error(f"The training was interrupted. {state}") from error
    except torch.OutOfMemoryError as error:
        raise ModelError(
            "The GPU's memory is full: give a smaller --batch, with gradient_accumulation_steps increased "
            "accordingly, or "
            f"--lora, or --set gradient_checkpointing=true. {_first_line(error)}"
        ) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        full = getattr(error, "errno", None) in _FULL or any(words in str(error) for words in _FULL_WORDS)
        if not full:
            raise
        raise SegR1Error(f"The disk of '{folder}' is full: free some room there, then {resume}.") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
