"""The error for requests that are rejected before they reach gradio."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that is rejected with a status and a sentence.

    Args:
        status: the HTTP status.
        sentence: says what is wrong with the request.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
