"""Streaming of a completion from the thread that generates it to the thread that reads it, until it is stopped."""

from __future__ import annotations

import threading
import time
from typing import Any

import torch
from transformers import StoppingCriteria, TextIteratorStreamer

READER_SECONDS = 0.05
"""Tokens that come faster than this are streamed together: sooner than an eye could tell them apart."""


class PacedStreamer(TextIteratorStreamer):
    """Passes tokens on at most every `READER_SECONDS`.

    A small model makes one in a few milliseconds. A reader that wakes for each would take a core from the next one's
    matrix products, whose threads wait for the last of them: a twentieth of the time on two cores.
    """

    def __init__(self, tokenizer: Any, **options: Any) -> None:
        super().__init__(tokenizer, **options)
        self._tokens: list[torch.Tensor] = []
        self._due = 0.0

    def put(self, value: torch.Tensor) -> None:
        if self.next_tokens_are_prompt:
            super().put(value)  # type: ignore[no-untyped-call]
            return
        self._tokens.append(value)
        if time.monotonic() >= self._due:
            self._hand_on()

    def end(self) -> None:
        self._hand_on()
        super().end()  # type: ignore[no-untyped-call]

    def _hand_on(self) -> None:
        if self._tokens:
            super().put(torch.cat(self._tokens))  # type: ignore[no-untyped-call]
            self._tokens.clear()
        self._due = time.monotonic() + READER_SECONDS


class StopWhen(StoppingCriteria):
    """Ends the generation at the next token once the event is set."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> Any:  # noqa: ARG002
        return torch.full((input_ids.shape[0],), self._event.is_set(), device=input_ids.device, dtype=torch.bool)
