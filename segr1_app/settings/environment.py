"""Environment variables of gradio and of its server that would change what others may do."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

KEPT: Final = frozenset({"GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"})
"""What the page sets itself."""
OF_THE_SERVER: Final = frozenset({"FORWARDED_ALLOW_IPS", "WEB_CONCURRENCY"})


def take_over_gradio(environ: MutableMapping[str, str]) -> list[str]:
    """Remove gradio's own variables, before gradio is imported.

    With some of them gradio would serve any folder (``GRADIO_ALLOWED_PATHS``), let pages of other sites in
    (``GRADIO_LOCAL_DEV_MODE``), let visitors edit code (``GRADIO_VIBE_MODE``), or run several independent processes
    (``GRADIO_NUM_WORKERS``). The page has its own options for what users may set.

    Returns:
        The names of those that were set, in alphabetical order.
    """
    found = sorted(
        name for name in environ if (name.startswith("GRADIO_") and name not in KEPT) or name in OF_THE_SERVER
    )
    for name in found:
        del environ[name]
    # None: a header that anybody can send must not change the address of a request.
    environ["FORWARDED_ALLOW_IPS"] = ""
    return found
