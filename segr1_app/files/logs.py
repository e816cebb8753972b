"""The app's log: plain sentences for people, or one JSON object per line for machines."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from segr1_app.domain import SegR1Error
from segr1_app.files.ending import INTERRUPTED, ending_quietly

logger = logging.getLogger(__name__)

FIELDS: Final = ("event", "act", "endpoint", "person", "address", "seconds", "failure")
"""Fields that an event may carry in addition to its message, given by ``extra=``."""

TOLD: Final = ("segr1_app.models.host", "segr1_app.models.downloads")
"""Loggers that are always shown: which models run and why, and how far their download is."""


class JsonFormatter(logging.Formatter):
    """Formats an event as one line: time, level, logger, message, and its other fields."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name in FIELDS if (value := getattr(record, name, None)) is not None},
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)


def log_as(form: str) -> None:
    """Send events to standard error: all of them as "json"; as "text" warnings, errors and the loggers in `TOLD`."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("segr1_app").setLevel(logging.INFO if form == "json" else logging.WARNING)
    for name in TOLD:
        logging.getLogger(name).setLevel(logging.INFO)


def report_errors(command: Callable[[argparse.Namespace], int], given: argparse.Namespace) -> int:
    """Run a command; a `SegR1Error` is printed as one line and the exit status is 1, after Ctrl+C `INTERRUPTED`."""
    logging.basicConfig(format="%(message)s")

    def run() -> int:
        try:
            return command(given)
        except SegR1Error as error:
            logger.error("%s", error)
            return 1
        except KeyboardInterrupt:
            logger.error("Stopped.")
            return INTERRUPTED

    return ending_quietly(run)
