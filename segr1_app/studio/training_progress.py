"""Interpret the course of a training run: how it ended, and whether the reward still reflects held-out answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean
from typing import Final

Points = Sequence[tuple[int, float]]
"""(step, value) of a line."""

PARTED: Final = 0.02
"""How much the training reward must have risen, and the validation reward fallen, for a warning."""
_LEAST: Final = 3
"""Minimum number of validations for a warning."""
_BAR: Final = re.compile(r"\d+%\||\bit/s\b|\bs/it\b|\d+(step|row|pair)s?/s|\?(step|row|pair)/s")
_TRACEBACK: Final = "Traceback (most recent call last):"
_RAISED: Final = re.compile(r"^[A-Za-z_][\w.]*(?:: .*)?$")


def last_words(log: str, *, alive: bool, where: str) -> str:
    """The end of a training run's output: its progress while it runs, then why it ended.

    Args:
        log: everything it printed; a progress bar overwrites its own line.
        alive: whether it is still running.
        where: the location of the full log.
    """
    lines = [line.strip() for line in log.replace("\r", "\n").splitlines() if line.strip()]
    if alive or not lines:
        return lines[-1] if lines else ""
    said = [line for line in lines if not _BAR.search(line)] or lines
    if _TRACEBACK not in said:
        return said[-1]
    start = len(said) - 1 - said[::-1].index(_TRACEBACK)
    # Libraries may print messages during shutdown, after the error itself.
    raised = next(
        (line for line in said[start + 1 :] if _RAISED.match(line) and not line.startswith("File ")), said[-1]
    )
    return f"It crashed: {raised} (full output: {where})"


def describe_parting(curve: Points, validation: Points) -> str:
    """A warning when the reward of training rises while held-out answers get worse; empty otherwise.

    Args:
        curve: mean reward of every step.
        validation: mean reward of the app's answers to held-out pictures.
    """
    if len(validation) < _LEAST or len(curve) < _LEAST:
        return ""
    third = max(1, len(curve) // 3)
    rise = fmean(value for _, value in curve[-third:]) - fmean(value for _, value in curve[:third])
    fall = validation[0][1] - fmean(value for _, value in validation[-2:])
    if rise < PARTED or fall < PARTED:
        return ""
    return (
        f"The training reward rose by {rise:.2f} while that of held-out answers fell by {fall:.2f}: it learns what "
        "earns reward, not what the app needs. Stop it, and use a smaller learning rate or more pictures."
    )
