"""The order of training rows: corrections mixed among pairs, weighted by how often they are drawn.

Scaling a correction's reward would have no effect, because GRPO divides each group's rewards by their standard
deviation. So the weight is the number of times a row is drawn (as in HIL-SERL, arXiv 2410.21845, which mixes both
sources in each batch). The whole order is computed in advance from a seed; a resumed run computes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Lt

from segr1_app.domain import SettingsError
from train.data.rows import Row


@dataclass(frozen=True, slots=True)
class Mixing:
    """The mixing of corrections and pairs.

    Attributes:
        feedback_fraction: the fraction of all draws that are corrections, as long as there are enough of them.
        max_repeats: most draws of one correction in a whole run; half of that if it was accepted unedited.

    Raises:
        SettingsError: when the fraction is not in [0, 1), or max_repeats is less than 1.
    """

    feedback_fraction: Annotated[float, Ge(0), Lt(1)] = 0.4
    max_repeats: Annotated[int, Ge(1)] = 4

    def __post_init__(self) -> None:
        if not 0 <= self.feedback_fraction < 1:
            raise SettingsError(
                f"mixing.feedback_fraction is {self.feedback_fraction}: it must be at least 0 and less than 1, because "
                "some original pairs are always used."
            )
        if self.max_repeats < 1:
            raise SettingsError(
                f"mixing.max_repeats is {self.max_repeats}: at least 1 is needed; to leave corrections out, leave out "
                "--include-feedback."
            )


def draw_order(rows: Sequence[Row], length: int, mixing: Mixing, seed: int) -> list[int]:
    """``length`` indices into ``rows``: corrections spread evenly among pairs, each reshuffled for every pass.

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
        # Positions at which the running number of corrections reaches the next integer.
        if (place + 1) * slots // length > taken:
            order.append(corrections[taken])
            taken += 1
        else:
            drawn = drawn or [int(index) for index in rng.permutation(pairs)]
            order.append(drawn.pop())
    return order


def _corrections(rows: Sequence[Row], repeats: int, rng: np.random.Generator) -> list[int]:
    """All draws of corrections in order, pass by pass; those accepted unedited only in every other pass."""
    draws: list[int] = []
    for turn in range(repeats):
        members = [index for index, row in enumerate(rows) if row.is_feedback and (turn % 2 == 0 or not row.unedited)]
        draws += [int(index) for index in rng.permutation(members)]
    return draws


def describe_shares(rows: Sequence[Row], length: int, mixing: Mixing, seed: int) -> str:
    """How many of ``length`` draws are corrections, and, if fewer than requested, why."""
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
            f" {mixing.feedback_fraction:.0%} was requested, but mixing.max_repeats = {mixing.max_repeats} "
            "allows no more: "
            "give more corrections, fewer steps or a larger --max-repeats."
        )
    return text
