"""A second policy, to compare with that of the page on one picture; loaded and unloaded on request."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from segr1_app.domain import ModelError, SegR1Error
from segr1_app.models.checkpoint import checkpoint_hash
from segr1_app.models.host import DOWNLOAD_COMMAND, ModelHost
from segr1_app.models.hub import policy_on_hub
from segr1_app.settings.config import AUTO, Settings
from segr1_app.settings.space import has_zero_gpu

if TYPE_CHECKING:
    from segr1_app.models.pipeline import AnyPolicy, Pipeline


@dataclass(frozen=True, slots=True)
class SecondStatus:
    """The state of the second policy.

    Attributes:
        state: whether there is none, it is loading, ready, or could not be loaded.
        policy: its name; empty if there is none.
        failure: why it could not be loaded.
    """

    state: Literal["none", "loading", "ready", "failed"] = "none"
    policy: str = ""
    failure: str = ""


class SecondPolicy:
    """Loads a second policy in a background thread; it shares the segmenter of the first.

    It is unloaded when it is closed, when another one is opened, and before the first policy is replaced.

    Args:
        models: the first policy and the segmenter.
        loader: makes the policy from the settings.
    """

    def __init__(self, models: ModelHost, loader: Callable[[Settings], AnyPolicy] | None = None) -> None:
        self._models, self._load = models, loader or _load_policy
        self._lock = threading.Lock()
        self._status = SecondStatus()
        self._policy: AnyPolicy | None = None
        self._opened = 0
        self._settled = threading.Event()
        models.before_switch(self.close)

    @property
    def status(self) -> SecondStatus:
        return self._status

    def open(self, policy: str, server: str = "") -> None:
        """Start loading a second policy; returns immediately.

        Args:
            policy: a model folder or a hub id, or the model's name on the server.
            server: URL of an OpenAI-compatible server that runs it; empty to run it here.

        Raises:
            ModelError: when it is the first one, is not on this machine, or cannot be looked for.
            SettingsError: when the URL cannot be that of a server.
        """
        settings = self._settings(policy.strip(), server.strip())
        self.close()
        with self._lock:
            self._opened += 1
            self._status = SecondStatus("loading", policy.strip())
            self._settled.clear()
            threading.Thread(target=self._work, args=(settings, self._opened), name="load-second", daemon=True).start()

    def close(self) -> None:
        """Unload the second policy. A run that is using it ends first; its memory is free after that."""
        with self._lock:
            self._opened += 1
            held = self._policy is not None
            self._status, self._policy = SecondStatus(), None
            self._settled.set()
        if held:
            self._release_memory()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until loading has ended in one way or another; False if that takes longer than ``seconds``."""
        return self._settled.wait(seconds)

    def pipeline(self) -> Pipeline | None:
        """The second policy with the segmenter of the first; None if it is not ready.

        Raises:
            ModelError: when the first models could not be loaded.
        """
        policy = self._policy
        return None if policy is None else replace(self._models.pipeline(), policy=policy)

    def _release_memory(self) -> None:
        from segr1_app.models.loading import free_memory, resolve_device  # noqa: PLC0415 - brings torch along

        gc.collect()
        # On a GPU, what torch holds for later goes back, too.
        free_memory(resolve_device(self._models.settings.device))

    def _settings(self, policy: str, server: str) -> Settings:
        if has_zero_gpu():
            raise ModelError("On ZeroGPU models are loaded when the Space starts: there can be no second policy.")
        if not policy:
            raise ModelError("Name the second policy: a model folder, a hub id, or its name on the server.")
        first = self._models.settings
        settings = replace(first, policy=policy, policy_server=server or None, protocol=AUTO)
        settings.check()
        if not server:
            _check_on_this_machine(policy)
        if settings.policy_server == first.policy_server and self._has_first_weights(policy):
            raise ModelError(f"'{policy}' is the policy that already answers: name another one.")
        return settings

    def _has_first_weights(self, policy: str) -> bool:
        """Whether a policy is the first one, or a copy of it."""
        return policy == self._models.settings.policy or checkpoint_hash(policy) == self._models.checkpoint

    def _work(self, settings: Settings, opened: int) -> None:
        status = SecondStatus("failed", settings.policy, "Loading the policy failed; the terminal shows what happened.")
        policy = None
        try:
            # What the first models need is no longer free when this one is loaded.
            self._models.pipeline()
            policy = self._load(settings)
            status = SecondStatus("ready", policy.model_id)
        except SegR1Error as error:
            status = replace(status, failure=str(error))
        finally:
            # Any unexpected error propagates to the thread's traceback; nobody is left waiting.
            with self._lock:
                if opened == self._opened:
                    self._status, self._policy = status, policy
                    self._settled.set()


def _load_policy(settings: Settings) -> AnyPolicy:
    from segr1_app.models.pipeline import load_policy  # noqa: PLC0415 - brings torch along

    return load_policy(settings)


def _check_on_this_machine(policy: str) -> None:
    from segr1_app.models.policy_files import check_policy_source  # noqa: PLC0415 - brings safetensors along

    check_policy_source(policy)
    if not Path(policy).is_dir() and policy_on_hub(policy).cached() is None:
        raise ModelError(f"{policy} is not on this machine: download it with '{DOWNLOAD_COMMAND} --policy {policy}'.")
