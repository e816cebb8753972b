"""The models behind the page: loaded in the background, so that the page opens before they are ready."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from segr1_app.domain import ModelError, SegR1Error
from segr1_app.models.checkpoint import checkpoint_hash
from segr1_app.models.selection import FULL_MODELS, choose_models, embedded_because, embedded_pair
from segr1_app.settings.config import DEFAULT_POLICY, DEFAULT_SEGMENTER, Settings
from segr1_app.settings.space import has_zero_gpu

if TYPE_CHECKING:
    from segr1_app.models.hub import HubModel
    from segr1_app.models.pipeline import Pipeline

logger = logging.getLogger(__name__)

DOWNLOAD_COMMAND = "python -m segr1_app download"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The state of the models as the page shows it.

    Attributes:
        state: whether they are loading, ready, or failed.
        policy, segmenter: their names.
        device: where they run; empty until they are loaded.
        understands: the instructions that a small policy accepts; empty for one that takes any instruction.
        failure: why the requested models cannot be used; empty when they can.
        reason: why these were chosen; empty when they were named.
        offered: whether the full models would run here once they are downloaded.
    """

    state: Literal["loading", "ready", "failed"]
    policy: str
    segmenter: str
    device: str = ""
    understands: str = ""
    failure: str = ""
    reason: str = ""
    offered: bool = False


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """A pipeline with its description; see `ModelStatus`."""

    pipeline: Pipeline
    device: str
    understands: str


class ModelHost:
    """Loads the models in a background thread and lends them out, one run at a time.

    When the models cannot be loaded, the embedded ones replace them, and the status says so.

    Args:
        settings: which models, and how to run them; anything left open is chosen.
        loader: makes the models from the settings.
    """

    def __init__(self, settings: Settings, loader: Callable[[Settings], LoadedModels] | None = None) -> None:
        self._asked = settings
        self._load = loader or load
        self._choose()
        self._loaded: LoadedModels | None = None
        self._checkpoint: tuple[str, str] | None = None
        self._settled = threading.Event()
        self._begun = False
        self._beginning = threading.Lock()
        self._before_switch: list[Callable[[], None]] = []
        # A plain lock: a run that the user leaves may be ended by another thread than the one that began it.
        self.turn = threading.Lock()

    @property
    def settings(self) -> Settings:
        """The settings from which the models are loaded; they name both."""
        return self._settings

    @property
    def downloads(self) -> tuple[HubModel, ...]:
        """The full models that would replace embedded ones."""
        return self._choice.open or FULL_MODELS

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

    def load_here(self) -> None:
        """Load the models in this thread; returns when they are loaded or loading has failed.

        ZeroGPU emulates a GPU only for the thread that imported it, and packs what was moved there when the page is
        launched: a background thread would be too late and find no GPU.
        """
        with self._beginning:
            self._begun = True
        self._work()

    def before_switch(self, call: Callable[[], None]) -> None:
        """Let ``call`` free memory before the policy is replaced."""
        self._before_switch.append(call)

    def switch(self, *, policy: str | None = None, segmenter: str | None = None) -> None:
        """Switch to other models; requests for the pipeline wait until they are loaded.

        The old ones are released first: two large ones would not fit into memory together.

        Args:
            policy, segmenter: folders or hub ids; None for the present one.

        Raises:
            ModelError: on ZeroGPU, where models are chosen at the start.
        """
        if has_zero_gpu():
            raise ModelError(
                "On ZeroGPU models are loaded when the Space starts: set its variables SEGR1_MODELS, "
                "SEGR1_POLICY and SEGR1_SEGMENTER."
            )
        for call in self._before_switch:
            call()
        with self.turn:
            if self._begun:
                self._settled.wait()
            self._settled.clear()
            # A policy on this machine does not use the server, which keeps serving the policy it was configured for.
            policy = policy or self._asked.policy
            server = self._asked.policy_server if policy == self._asked.policy else None
            segmenter = segmenter or self._asked.segmenter
            self._asked = replace(self._asked, policy=policy, policy_server=server, segmenter=segmenter)
            self._loaded = None
            self._choose()
            self._begun = False
        self.start()

    def choose_again(self) -> None:
        """Choose and load the models again, now that more are downloaded."""
        self.switch()

    def _choose(self) -> None:
        self._choice = choose_models(self._asked)
        self._settings = settings = self._choice.settings
        self._status = ModelStatus(
            "loading", _named(settings.policy), _named(settings.segmenter), reason=self._choice.reason
        )

    @property
    def status(self) -> ModelStatus:
        return self._status

    def start(self, after: float = 0.0) -> None:
        """Start loading unless that has started already; returns immediately.

        Args:
            after: seconds to wait first, which leaves the CPU to others. A request for the models starts loading
                immediately.
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
        """Wait until the models are loaded or loading has failed; False if that takes longer than ``seconds``."""
        return self._settled.wait(seconds)

    def pipeline(self) -> Pipeline:
        """The loaded pipeline; starts loading it if necessary and waits for it.

        Raises:
            ModelError: when the models could not be loaded; its message is that of ``status.failure``.
        """
        self.start()
        self._settled.wait()
        loaded = self._loaded
        if loaded is None:
            raise ModelError(self._status.failure or "The models are being replaced: try again in a moment.")
        return loaded.pipeline

    def _work(self) -> None:
        status = replace(
            self._status, state="failed", failure="Loading the models failed; the terminal shows what happened."
        )
        try:
            self._loaded, failure = self._load_or_fall_back()
            status = ModelStatus(
                state="ready",
                policy=self._loaded.pipeline.policy.model_id,
                segmenter=self._loaded.pipeline.segmenter.model_id,
                device=self._loaded.device,
                understands=self._loaded.understands,
                failure=failure,
                reason=self._choice.reason,
            )
            if self._choice.missing:
                lack = self._choice.lack()
                reason = embedded_because(self._choice.open, lack) if lack else status.reason
                status = replace(status, reason=reason, offered=not lack and not has_zero_gpu())
            if status.offered:
                logger.info("%s Download them from the page, or with: %s", status.reason, DOWNLOAD_COMMAND)
            elif status.reason:
                logger.info("%s", status.reason)
        except SegR1Error as error:
            status = replace(status, state="failed", failure=str(error))
        finally:
            # Any unexpected error propagates to the thread's traceback; nobody is left waiting.
            self._status = status
            self._settled.set()

    def _load_or_fall_back(self) -> tuple[LoadedModels, str]:
        """The models, and the reason why they are not the chosen ones; empty if they are.

        Raises:
            SegR1Error: the error of the chosen models, when the embedded ones cannot be loaded either.
        """
        try:
            return self._load(self._settings), ""
        except SegR1Error as error:
            refusal = error
            logger.warning("%s", refusal)
            fallback = embedded_pair(self._settings)
            if fallback == self._settings:
                raise
            try:
                loaded = self._load(fallback)
            except SegR1Error:
                raise refusal from None
        self._settings = fallback
        return loaded, f"{refusal} Until then, the small embedded models answer."


def load(settings: Settings) -> LoadedModels:
    """Load both models as configured by ``settings``.

    Raises:
        ModelError: when one of them cannot be loaded.
    """
    # Imported here because torch, transformers and sam2 take seconds, which the page should not wait for.
    from segr1_app.models.pipeline import load_models, working_together  # noqa: PLC0415

    policy, segmenter = load_models(settings)
    pipeline = working_together(policy, segmenter)
    if has_zero_gpu():
        from segr1_app.models.segmenter import Sam2Segmenter  # noqa: PLC0415
        from segr1_app.models.zerogpu import on_zero_gpu  # noqa: PLC0415

        # The exception of the ``spaces`` package; like that package, it is imported nowhere else.
        refusal = import_module("gradio.exceptions").Error
        pipeline = on_zero_gpu(pipeline, Sam2Segmenter.load(settings.segmenter, device="cpu"), refusal)
    return LoadedModels(
        pipeline=pipeline,
        device=str(policy.device),
        understands=policy.card.understands if policy.card else "",
    )


def _named(source: str) -> str:
    """The name of a model that is not loaded yet."""
    if source in (str(DEFAULT_POLICY), str(DEFAULT_SEGMENTER)):
        return f"embedded {Path(source).name}"
    return source
