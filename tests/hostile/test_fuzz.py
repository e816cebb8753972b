"""Random bytes, and corpora with random edits, through every parser: no crash, and no errors except this project's.

Inputs that fail belong in ``corpus/PARSER``, where `test_corpus` reads it from then on. For more than the usual
examples: ``SEGR1_FUZZ=10000 python -m pytest tests/hostile/test_fuzz.py``, or `tests.hostile.guided`.
"""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.parsers import PARSERS, seeds

EXAMPLES: Final = int(os.environ.get("SEGR1_FUZZ", "25"))
TOKENS: Final = (
    *(b"[", b"]", b"{", b"}", b'"', b"\\", b",", b":", b"-", b"1e308", b"1e400", b"NaN", b"null", b"true", b"-1"),
    *(
        b"9223372036854775807",
        b"9" * 500,
        b"\xff\xfe",
        b"\0",
        b"\xef\xbb\xbf",
        b"../",
        b"\\ud800",
        b"${x}",
        b"&a",
        b"*a",
    ),
    *(b"<points>", b"</think>", b"[" * 70, b"0" * 64, b"o"),
)
EDIT: Final = st.tuples(
    st.integers(0, 2**16), st.integers(0, 40), st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8))
)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """Bytes, or a member of a parser's corpus with some of its bytes replaced."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    content = draw(st.sampled_from([seed.read_bytes()[:20_000] for seed in seeds(name)]))
    for place, length, new in draw(st.lists(EDIT, min_size=1, max_size=4)):
        start = place % (len(content) + 1)
        content = content[:start] + new + content[start + length :]
    return content


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_damage_is_refused_in_words(name: str) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(name))
    def run(content: bytes) -> None:
        PARSERS[name](content)

    run()
