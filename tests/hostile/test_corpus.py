"""Every input that ever failed, and valid ones, through its parser again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.parsers import PARSERS, seeds

CASES = [(name, seed) for name in PARSERS for seed in seeds(name)]


@pytest.mark.parametrize(("name", "seed"), CASES, ids=[f"{name}-{seed.name}" for name, seed in CASES])
def test_what_failed_once_fails_no_more(name: str, seed: Path) -> None:
    PARSERS[name](seed.read_bytes())
