"""Bounds of all numbers in a store, wherever they come from: a client, an import, a sync, an old database.

They are far above anything that people or models produce, and far below what would overflow a sum.
"""

from __future__ import annotations

import math
from typing import Any, Final

MAX_CLICKS: Final = 1_000_000
"""Most clicks of one revision."""
MAX_SECONDS: Final = 31 * 86_400.0
"""Most working time of one revision, in seconds: a month."""
MAX_TIME: Final = 253_402_300_799.0
"""The last second of the year 9999, in Unix seconds: Python has no later dates."""
MAX_COORDINATE: Final = 1e7
"""Largest absolute value of a prompt's coordinate, in pixels."""
MAX_NUMBER: Final = 2**63 - 1
"""The largest number of a record, which is SQLite's largest integer."""
MAX_SCORE: Final = 1e6
"""Largest absolute value of a confidence, a reward or a disagreement."""
MAX_SUM: Final = 2**53
"""The largest sum that is shown: up to here every integer is a float."""
MAX_COMMENT: Final = 10_000
"""Most characters of a comment."""
MAX_PICTURE_NAME: Final = 1_000
"""Characters of a picture's name that are kept."""
MAX_DRAFT: Final = 64 * 2**20
"""Most characters of a draft."""


def clipped(value: float | None, most: float) -> float:
    """A number of a database that anybody may have written to, clipped to [0, ``most``]; 0 for None and NaN."""
    return min(max(value, 0.0), most) if value is not None and not math.isnan(value) else 0.0


def is_count(value: Any, most: int, *, least: int = 0) -> bool:
    """Whether a value is an int from ``least`` to ``most``; False for bools and floats."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: Any, most: float, *, least: float = 0.0) -> bool:
    """Whether a value is a finite number from ``least`` to ``most``; False for bools."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
