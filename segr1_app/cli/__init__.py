"""The command line: ``python -m segr1_app COMMAND``."""

from segr1_app.cli.main import main

__all__ = ["main"]
