"""Draw a random subset by seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def draw(items: Sequence[Item], limit: int | None, seed: int) -> list[Item]:
    """All items, or ``limit`` of them drawn by ``seed``, in their original order."""
    if limit is None or limit >= len(items):
        return list(items)
    drawn = set(random.Random(seed).sample(range(len(items)), limit))
    return [item for index, item in enumerate(items) if index in drawn]
