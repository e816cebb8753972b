"""Requests that go no further than the front door."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that is answered with a status and one sentence.

    Args:
        status: of HTTP.
        sentence: says what is wrong with it.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
