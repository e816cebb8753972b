"""What the course of a training tells: how it ended, and whether reward and answers still go together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean
from typing import Final

Curve = Sequence[tuple[int, float]]
"""(step, value) of a line."""

PARTED: Final = 0.02
"""By how much the reward has to have risen, and that of validation to have fallen, for the two to have parted."""
_LEAST: Final = 3
"""Validations below which nothing is said."""
_BAR: Final = re.compile(r"\d+%\||\bit/s\b|\bs/it\b|\d+(step|row|pair)s?/s|\?(step|row|pair)/s")
_TRACEBACK: Final = "Traceback (most recent call last):"
_RAISED: Final = re.compile(r"^[A-Za-z_][\w.]*(?:: .*)?$")


def last_words(log: str, *, alive: bool, where: str) -> str:
    """The end of what a training said: its progress while it runs, then why it ended.

    Args:
        log: all that it printed; a progress bar writes over its own line.
        alive: whether it still runs.
        where: of the log, for whoever wants to read all of it.
    """
    lines = [line.strip() for line in log.replace("\r", "\n").splitlines() if line.strip()]
    if alive or not lines:
        return lines[-1] if lines else ""
    said = [line for line in lines if not _BAR.search(line)] or lines
    if _TRACEBACK not in said:
        return said[-1]
    start = len(said) - 1 - said[::-1].index(_TRACEBACK)
    # What a library prints while it is torn down comes after the error itself.
    raised = next(
        (line for line in said[start + 1 :] if _RAISED.match(line) and not line.startswith("File ")), said[-1]
    )
    return f"It crashed: {raised} (all it said: {where})"


def describe_parting(curve: Curve, validation: Curve) -> str:
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
        f"The reward of training rose by {rise:.2f} while that of held-out answers fell by {fall:.2f}: it learns what "
        "earns reward, not what the app needs. Stop it, and take a smaller learning rate or more pictures."
    )
