"""Sync regularly, and once more at the end."""

from __future__ import annotations

import logging
import threading

from segr1_app.domain import SegR1Error
from segr1_app.sync.syncing import Synchroniser

logger = logging.getLogger(__name__)


class Scheduler:
    """Syncs in its own thread.

    Args:
        synchroniser: syncs.
        seconds: time between syncs, and thus the most work that a crash of the machine can lose.
    """

    def __init__(self, synchroniser: Synchroniser, seconds: float) -> None:
        self._synchroniser = synchroniser
        self._seconds = seconds
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sync", daemon=True)

    def start(self) -> None:
        """Sync once, then start the thread: a wiped disk is restored before the first visitor."""
        self._try()
        self._thread.start()

    def stop(self) -> None:
        """Sync once more and stop."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        self._try()

    def _work(self) -> None:
        while not self._ending.wait(self._seconds):
            self._try()

    def _try(self) -> None:
        try:
            problems = self._synchroniser.sync()
        except SegR1Error as error:
            logger.warning("sync failed: %s", error)
            return
        except Exception:
            # The thread must survive any content of a remote: without it nothing is synced, and nobody would notice.
            logger.exception("sync failed; it will be retried")
            return
        for problem in problems:
            logger.warning("a synced record was left out: %s", problem)
        logger.debug("synced with %s", self._synchroniser.state.remote)
