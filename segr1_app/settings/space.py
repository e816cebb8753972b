"""The environment variables that a Hugging Face Space sets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Space:
    """A Space, as described by its environment variables.

    Attributes:
        id: its name on the hub, OWNER/NAME.
        signs_in: whether visitors can sign in with their account on the hub (``hf_oauth`` in its README).
    """

    id: str
    signs_in: bool

    @property
    def owner(self) -> str:
        """The account that owns it."""
        return self.id.partition("/")[0]

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Self | None:
        """The Space on which this process runs; None elsewhere."""
        if environ.get("SYSTEM") != "spaces" or not environ.get("SPACE_ID"):
            return None
        return cls(environ["SPACE_ID"], signs_in=bool(environ.get("OAUTH_CLIENT_ID")))


def has_zero_gpu(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a Space on ZeroGPU; the ``spaces`` package checks the same variable."""
    return environ.get("SPACES_ZERO_GPU", "").lower() in {"1", "t", "true"}
