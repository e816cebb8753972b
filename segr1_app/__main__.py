"""Entry point of ``python -m segr1_app`` and of the console command ``segr1``; ``segr1 app`` serves the page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from segr1_app import cli, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status, as `segr1_app.cli.main` does."""
    installed = Path(sys.argv[0]).stem == "segr1"
    return cli.main(arguments, prog="segr1" if installed else "python -m segr1_app", more=[serve])


if __name__ == "__main__":
    sys.exit(main())
