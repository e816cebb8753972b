"""How many files and connections this process may have open."""

from __future__ import annotations

import resource
from typing import Final

WANTED: Final = 65_536
"""File descriptors that a server asks for at its start."""


def raise_descriptor_limit() -> None:
    """Ask for as many file descriptors as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
