"""The limit on open files and connections of this process."""

from __future__ import annotations

import resource
from typing import Final

WANTED: Final = 65_536
"""Number of file descriptors that a server requests at startup."""


def raise_descriptor_limit() -> None:
    """Raise the soft limit on file descriptors as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
