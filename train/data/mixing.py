"""The order in which rows are trained on: corrections among pairs, weighted by how often they are drawn.

Scaling a correction's reward would have no effect, because GRPO divides each group's rewards by their own spread. So
the weight is the number of times a row is drawn (as in HIL-SERL, arXiv 2410.21845, which mixes both sources in each
batch).
The whole order is computed in advance from a seed: a resumed training computes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segr1_app.domain import SettingsError
from train.data.rows import Row


@dataclass(frozen=True, slots=True)
class Mixing:
    """The mixing of corrections and pairs.

    Attributes:
        feedback_fraction: the share of all draws that are corrections, as long as there are enough of them.
        max_repeats: most draws of one correction in a whole training; half of that where it was accepted unedited.

    Raises:
        SettingsError: when the fraction is not in [0, 1), or nothing may be drawn even once.
    """

    feedback_fraction: float = 0.4
    max_repeats: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.feedback_fraction < 1:
            raise SettingsError("--feedback-fraction must be from 0 to below 1: original pairs always stay in.")
        if self.max_repeats < 1:
            raise SettingsError(
                "--max-repeats must be at least 1; to leave corrections out, leave out --include-feedback."
            )


def draw_order(rows: Sequence[Row], length: int, mixing: Mixing, seed: int) -> list[int]:
    """Indices into ``rows``, ``length`` of them: corrections spread evenly among pairs, each in passes of new order.

    Raises:
        ValueError: when there are no pairs among the rows.
    """
    pairs = [index for index, row in enumerate(rows) if not row.is_feedback]
    if not pairs:
        raise ValueError("there are no pairs to mix corrections into")
    rng = np.random.default_rng((seed, 1))
    corrections = _corrections(rows, mixing.max_repeats, rng)
    slots = min(round(mixing.feedback_fraction * length), len(corrections))
    order: list[int] = []
    drawn: list[int] = []
    taken = 0
    for place in range(length):
        # Places at which the running share of corrections reaches the next whole number.
        if (place + 1) * slots // length > taken:
            order.append(corrections[taken])
            taken += 1
        else:
            drawn = drawn or [int(index) for index in rng.permutation(pairs)]
            order.append(drawn.pop())
    return order


def _corrections(rows: Sequence[Row], repeats: int, rng: np.random.Generator) -> list[int]:
    """All draws of corrections in order: pass after pass, those that were accepted unedited in every other one."""
    draws: list[int] = []
    for turn in range(repeats):
        members = [index for index, row in enumerate(rows) if row.is_feedback and (turn % 2 == 0 or not row.unedited)]
        draws += [int(index) for index in rng.permutation(members)]
    return draws


def describe_shares(rows: Sequence[Row], length: int, mixing: Mixing, seed: int) -> str:
    """How many of ``length`` draws are corrections, and why fewer than asked for where that is so."""
    order = draw_order(rows, length, mixing, seed)
    drawn = [index for index in order if rows[index].is_feedback]
    if not any(row.is_feedback for row in rows):
        return f"{length} draws of {len(rows)} rows, {length / len(rows):.1f} of each."
    text = (
        f"{length} draws, {len(drawn)} of them corrections ({len(drawn) / length:.0%}): {len(set(drawn))} corrections, "
        f"each up to {max(map(drawn.count, set(drawn)), default=0)} times."
    )
    if len(drawn) < round(mixing.feedback_fraction * length):
        text += (
            f" {mixing.feedback_fraction:.0%} was asked for; mixing.max_repeats, {mixing.max_repeats}, allows no more: "
            "give more corrections, fewer steps or a larger --max-repeats."
        )
    return text
