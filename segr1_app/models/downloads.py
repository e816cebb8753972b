"""Background downloads of models, and their progress."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tqdm import tqdm

from segr1_app.domain import ModelError
from segr1_app.models.hub import HubModel

logger = logging.getLogger(__name__)

LOGGED_SHARE = 0.1
"""The fraction of the bytes after which progress is logged again."""


@dataclass(frozen=True, slots=True)
class DownloadState:
    """The progress of a download.

    Attributes:
        state: whether it was started, is running, is done, or failed.
        done, total: bytes.
        seconds: time since it was started.
        trouble: why it failed; empty unless ``state`` is "failed".
    """

    state: Literal["idle", "running", "done", "failed"] = "idle"
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    trouble: str = ""


class Download:
    """Downloads models from the hub in a background thread.

    When started again after a failure it resumes: complete files are not downloaded again.

    Args:
        models: what to download.
        finished: called when everything is downloaded.
    """

    def __init__(self, models: Sequence[HubModel], finished: Callable[[], None]) -> None:
        self._models, self._finished = tuple(models), finished
        self._lock = threading.Lock()
        self._state = DownloadState()
        self._began = 0.0
        self._before = self._logged = 0

    @property
    def state(self) -> DownloadState:
        return self._state

    def size(self) -> int:
        """The number of bytes that remain to be downloaded.

        Raises:
            ModelError: when the hub does not report it.
        """
        return sum(model.bytes_to_fetch() for model in self._models)

    def start(self) -> None:
        """Start unless already running; returns immediately."""
        with self._lock:
            if self._state.state == "running":
                return
            self._state, self._began, self._before = DownloadState("running"), time.monotonic(), 0
            self._logged = 0
        threading.Thread(target=self._work, name="download", daemon=True).start()

    def _work(self) -> None:
        ending = DownloadState("failed", trouble="The download failed; the terminal shows what happened.")
        try:
            self._update(total=self.size())
            logger.info("Downloading %s: %s", self._names(), _gigabytes(self._state.total))
            for model in self._models:
                model.fetch(_counter(lambda done: self._update(done=self._before + done)))
                self._before = self._state.done
            # Called before the state becomes "done", so that a reader of that state finds the models in use.
            self._finished()
            ending = DownloadState("done", self._state.total, self._state.total, time.monotonic() - self._began)
            logger.info("Downloaded %s in %.0f s", self._names(), ending.seconds)
        except ModelError as error:
            ending = DownloadState("failed", self._state.done, self._state.total, trouble=str(error))
            logger.warning("%s", error)
        finally:
            # Any unexpected error propagates to the thread's traceback.
            self._state = ending

    def _update(self, *, done: int | None = None, total: int | None = None) -> None:
        state = self._state
        # The hub's client counts received and written bytes in separate bars: the larger count is the right one.
        furthest = state.done if done is None else max(done, state.done)
        seconds = time.monotonic() - self._began
        self._state = DownloadState("running", furthest, state.total if total is None else total, seconds)
        if furthest >= self._logged + LOGGED_SHARE * self._state.total > 0:
            self._logged = furthest
            logger.info("Downloaded %s of %s", _gigabytes(furthest), _gigabytes(self._state.total))

    def _names(self) -> str:
        return " and ".join(model.repo_id for model in self._models)


def _counter(tell: Callable[[int], None]) -> type[Any]:
    """A tqdm class that draws nothing and only reports the number of bytes."""

    class Counter(tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "file": io.StringIO()})

        def update(self, n: float | None = 1) -> bool | None:
            moved: bool | None = super().update(n)
            if self.unit == "B":
                tell(int(self.n))
            return moved

    return Counter


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
