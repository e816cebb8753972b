"""The table of the effect of more effort."""

from __future__ import annotations

from segr1_app.domain import Effort
from tests.benchmarks.effort import Answered, gain, table


def test_gains_are_of_the_same_pictures_and_carry_their_interval() -> None:
    assert gain([0.5, 0.9, 0.4], [0.4, 0.8, 0.3]) == "+0.100 (+0.100 to +0.100)"
    assert gain([0.6, 0.8], [0.4, 0.8]) == "+0.100 (+0.000 to +0.200)"


def test_there_is_a_row_for_each_set_and_effort() -> None:
    quick = [Answered(0.6, 0.5, 0.1), Answered(0.8, 0.7, 0.3)]
    careful = [Answered(0.7, 0.5, 1.0), Answered(0.9, 0.7, 2.0)]
    lines = table({"sod": {Effort.QUICK: quick, Effort.CAREFUL: careful}}).splitlines()
    assert lines[2:] == [
        "| sod, 2 pictures | quick | 0.700 | 0.600 | 0.20 |  |  |",
        "| sod, 2 pictures | careful | 0.800 | 0.600 | 1.50 | +0.100 (+0.100 to +0.100) | +0.000 (+0.000 to +0.000) |",
    ]
    assert len({line.count("|") for line in lines}) == 1
