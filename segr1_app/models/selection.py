"""Choose the models when none are named: the full pair if it can run right away, else the embedded one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from segr1_app.domain import ModelError
from segr1_app.models.hub import HubModel, policy_on_hub, segmenter_on_hub
from segr1_app.settings.config import AUTO, DEFAULT_POLICY, DEFAULT_SEGMENTER, FULL_POLICY, FULL_SEGMENTER, Settings

POLICY: Final = policy_on_hub(FULL_POLICY)
SEGMENTER: Final = segmenter_on_hub(FULL_SEGMENTER)
FULL_MODELS: Final = (POLICY, SEGMENTER)
FULL_MEMORY: Final = {POLICY: 11e9, SEGMENTER: 3e9}
"""GPU memory in bytes that each needs while running: 7.5 GB and 0.9 GB for weights, plus activations and cache.
"""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The chosen models.

    Attributes:
        settings: names both.
        reason: a sentence on why these were chosen; empty if they were named.
        open: the full models that were neither requested nor excluded.
        missing: whether they were not chosen because they are not downloaded.
    """

    settings: Settings
    reason: str = ""
    open: tuple[HubModel, ...] = ()
    missing: bool = False

    def lack(self) -> str:
        """Why the full models left open cannot run here, as the end of a sentence; empty if they can."""
        return gpu_lack(self.settings.device, sum(FULL_MEMORY[model] for model in self.open))


def choose_models(settings: Settings) -> ModelChoice:
    """Choose the models that ``settings`` leave open: the full ones if they can run right away, else the embedded ones.

    The full ones need all of their files on this machine and a GPU with `FULL_MEMORY` free. Torch, which takes seconds
    to import, is asked about the GPU only if the files are present.
    """
    given = {POLICY: settings.policy, SEGMENTER: settings.segmenter}
    left = tuple(model for model in FULL_MODELS if given[model] == AUTO)
    if not left:
        return ModelChoice(settings)
    if settings.models != AUTO:
        return ModelChoice(_filled(settings, full=settings.models == "full"))
    choice = ModelChoice(_filled(settings, full=False), open=left)
    if not all(model.cached() for model in left):
        return replace(choice, reason=embedded_because(left, "the full weights are not downloaded"), missing=True)
    if lack := choice.lack():
        return replace(choice, reason=embedded_because(left, lack))
    return ModelChoice(
        _filled(settings, full=True), f"The full {_who(left)}: weights and a GPU for them are available.", left
    )


def embedded_because(left: tuple[HubModel, ...], lack: str) -> str:
    """The sentence that explains why embedded models run in place of full ones.

    Args:
        left: the full ones.
        lack: the end of the sentence.
    """
    return f"The embedded {_who(left)}, because {lack}."


def _who(models: tuple[HubModel, ...]) -> str:
    return "models run" if len(models) > 1 else f"{models[0].option.removeprefix('--')} runs"


def gpu_lack(device: str, needed: float) -> str:
    """Why full models cannot run on a device, as the end of a sentence; empty if they can.

    Args:
        device: as for `resolve_device`.
        needed: required memory in bytes.
    """
    from segr1_app.models.loading import free_memory, resolve_device  # noqa: PLC0415 - torch takes seconds to import

    try:
        found = resolve_device(device)
    except ModelError:
        return f"there is no {device} for the full weights"
    if found.type != "cuda":
        return (
            "there is no GPU for the full weights" if device == AUTO else f"the full weights need a GPU, not {device}"
        )
    free = free_memory(found)
    if free < needed:
        return f"the full weights need {needed / 1e9:.0f} GB of GPU memory, and {free / 1e9:.1f} GB are free"
    return ""


def embedded_pair(settings: Settings) -> Settings:
    """The same settings with the embedded models filled in."""
    return replace(
        settings, policy=str(DEFAULT_POLICY), segmenter=str(DEFAULT_SEGMENTER), protocol=AUTO, policy_server=None
    )


def _filled(settings: Settings, *, full: bool) -> Settings:
    policy = FULL_POLICY if full else str(DEFAULT_POLICY)
    segmenter = FULL_SEGMENTER if full else str(DEFAULT_SEGMENTER)
    return replace(
        settings,
        policy=policy if settings.policy == AUTO else settings.policy,
        segmenter=segmenter if settings.segmenter == AUTO else settings.segmenter,
    )
