"""What the commands of training and evaluation have in common: how they end."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable

from segr1_app.domain import SegR1Error

logger = logging.getLogger(__name__)


def told(command: Callable[[argparse.Namespace], int], given: argparse.Namespace) -> int:
    """Run a command; an error of this project's becomes one line and the status 1."""
    logging.basicConfig(format="%(message)s")
    try:
        return command(given)
    except SegR1Error as error:
        logger.error("%s", error)
        return 1
