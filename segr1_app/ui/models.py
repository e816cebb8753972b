"""The models behind the page: loaded in the background, so that the page is there before they are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from segr1_app.checkpoint import checkpoint_hash
from segr1_app.config import DEFAULT_POLICY, DEFAULT_SEGMENTER, Settings
from segr1_app.domain import ModelError, SegR1Error

if TYPE_CHECKING:
    from segr1_app.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What the page says about its models.

    Attributes:
        state: whether they can be used yet, or ever.
        policy, segmenter: their names.
        device: where they run; empty until they are loaded.
        understands: what a small policy says it can be asked; empty for one that takes any instruction.
        failure: why they cannot be used; empty unless ``state`` is "failed".
    """

    state: Literal["loading", "ready", "failed"]
    policy: str
    segmenter: str
    device: str = ""
    understands: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """A pipeline and what is to be said about it; see `ModelStatus`."""

    pipeline: Pipeline
    device: str
    understands: str


class ModelHost:
    """Loads the models in a thread of its own and hands them out, one run at a time.

    Args:
        settings: which models, and how to run them.
        loader: makes the models from the settings.
    """

    def __init__(self, settings: Settings, loader: Callable[[Settings], LoadedModels] | None = None) -> None:
        self._settings = settings
        self._load = loader or load
        self._status = ModelStatus("loading", _named(settings.policy), _named(settings.segmenter))
        self._loaded: LoadedModels | None = None
        self._checkpoint: tuple[str, str] | None = None
        self._settled = threading.Event()
        self._begun = False
        self._beginning = threading.Lock()
        # A plain lock: a run that the user leaves may be ended by another thread than the one that began it.
        self.turn = threading.Lock()

    @property
    def settings(self) -> Settings:
        """What the models are loaded from."""
        return self._settings

    @property
    def checkpoint(self) -> str:
        """Digest of the policy's weights.

        Raises:
            ModelError: when they cannot be read.
        """
        policy = self._settings.policy
        if self._checkpoint is None or self._checkpoint[0] != policy:
            self._checkpoint = policy, checkpoint_hash(policy)
        return self._checkpoint[1]

    def switch(self, policy: str) -> None:
        """Use another policy from now on; whoever asks for the pipeline waits until it is loaded.

        The old one is let go first: two large ones would not fit beside each other.
        """
        with self.turn:
            if self._begun:
                self._settled.wait()
            self._settled.clear()
            self._settings = replace(self._settings, policy=policy)
            self._loaded, self._begun = None, False
            self._status = ModelStatus("loading", _named(policy), _named(self._settings.segmenter))
        self.start()

    @property
    def status(self) -> ModelStatus:
        return self._status

    def start(self, after: float = 0.0) -> None:
        """Begin to load, unless that has begun; returns at once.

        Args:
            after: seconds to leave the processor to others first. Whoever needs the models earlier begins at once.
        """
        if after:
            timer = threading.Timer(after, self.start)
            timer.daemon = True
            timer.start()
            return
        with self._beginning:
            if self._begun:
                return
            self._begun = True
        threading.Thread(target=self._work, name="load-models", daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the models are loaded or have failed to; False when ``seconds`` ran out before."""
        return self._settled.wait(seconds)

    def pipeline(self) -> Pipeline:
        """The loaded pipeline; begins to load it if nobody has, and waits for it.

        Raises:
            ModelError: when the models could not be loaded; its text is that of ``status.failure``.
        """
        self.start()
        self._settled.wait()
        loaded = self._loaded
        if loaded is None:
            raise ModelError(self._status.failure or "The models are being changed: try again in a moment.")
        return loaded.pipeline

    def _work(self) -> None:
        status = replace(
            self._status, state="failed", failure="Loading the models failed; the terminal shows what happened."
        )
        try:
            self._loaded = self._load(self._settings)
            status = ModelStatus(
                state="ready",
                policy=self._loaded.pipeline.policy.model_id,
                segmenter=self._loaded.pipeline.segmenter.model_id,
                device=self._loaded.device,
                understands=self._loaded.understands,
            )
        except SegR1Error as error:
            status = replace(self._status, state="failed", failure=str(error))
        finally:
            # Anything unforeseen goes on to the thread's own traceback; nobody is left waiting for it.
            self._status = status
            self._settled.set()


def load(settings: Settings) -> LoadedModels:
    """Load both models as ``settings`` say.

    Raises:
        ModelError: when one of them cannot be loaded.
    """
    # Imported here because torch, transformers and sam2 take seconds, for which the page need not wait.
    from segr1_app.pipeline import Pipeline, load_models  # noqa: PLC0415

    policy, segmenter = load_models(settings)
    return LoadedModels(
        pipeline=Pipeline(policy, segmenter),
        device=str(policy.device),
        understands=policy.card.understands if policy.card else "",
    )


def _named(source: str) -> str:
    """A model's name before it is loaded."""
    if source in (str(DEFAULT_POLICY), str(DEFAULT_SEGMENTER)):
        return f"embedded {Path(source).name}"
    return source
