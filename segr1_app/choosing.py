"""Which models run where none are named: the full pair where it can run at once, else the embedded one."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

from segr1_app.config import AUTO, DEFAULT_POLICY, DEFAULT_SEGMENTER, FULL_POLICY, FULL_SEGMENTER, Settings
from segr1_app.domain import ModelError
from segr1_app.hub import HubModel, policy_on_hub, segmenter_on_hub

logger = logging.getLogger(__name__)

FULL_MODELS: Final[tuple[HubModel, ...]] = (policy_on_hub(FULL_POLICY), segmenter_on_hub(FULL_SEGMENTER))
EMBEDDED: Final = "The embedded models run, because"
FULL_MEMORY = 14e9
"""Bytes of GPU memory for both full models at work: 7.5 GB and 0.9 GB of weights, a picture's activations and cache."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Models that were chosen.

    Attributes:
        settings: names both.
        reason: why these, in a sentence; empty where somebody named them.
        missing: whether the full pair was passed over because it is not downloaded.
    """

    settings: Settings
    reason: str = ""
    missing: bool = False


def choose_models(settings: Settings) -> Choice:
    """Name the models that ``settings`` leave open.

    The full pair needs a GPU with `FULL_MEMORY` free and all of its files on this machine. Torch, which takes seconds
    to import, is asked for the GPU only where the files are there.
    """
    if AUTO not in {settings.policy, settings.segmenter}:
        return Choice(settings)
    if settings.models != AUTO:
        return Choice(_filled(settings, full=settings.models == "full"))
    if not all(model.cached() for model in FULL_MODELS):
        choice = Choice(_filled(settings, full=False), f"{EMBEDDED} the full ones are not downloaded.", missing=True)
    elif lack := gpu_lack(settings.device):
        choice = Choice(_filled(settings, full=False), f"{EMBEDDED} {lack}.")
    else:
        choice = Choice(_filled(settings, full=True), "The full models run: they and a GPU for them are there.")
    logger.info("%s", choice.reason)
    return choice


def gpu_lack(device: str) -> str:
    """Why the full pair cannot run on a device, as the end of a sentence; empty when it can."""
    from segr1_app.loading import free_memory, resolve_device  # noqa: PLC0415 - torch takes seconds to import

    try:
        found = resolve_device(device)
    except ModelError:
        return f"there is no {device} for the full ones"
    if found.type != "cuda":
        return "there is no GPU for the full ones" if device == AUTO else f"the full ones need a GPU, not {device}"
    free = free_memory(found)
    if free < FULL_MEMORY:
        return f"the full ones need {FULL_MEMORY / 1e9:.0f} GB of GPU memory, and {free / 1e9:.1f} GB are free"
    return ""


def embedded_pair(settings: Settings) -> Settings:
    """The same settings with the models that need nothing."""
    return replace(settings, policy=str(DEFAULT_POLICY), segmenter=str(DEFAULT_SEGMENTER), dialect=AUTO)


def _filled(settings: Settings, *, full: bool) -> Settings:
    policy = FULL_POLICY if full else str(DEFAULT_POLICY)
    segmenter = FULL_SEGMENTER if full else str(DEFAULT_SEGMENTER)
    return replace(
        settings,
        policy=policy if settings.policy == AUTO else settings.policy,
        segmenter=segmenter if settings.segmenter == AUTO else settings.segmenter,
    )
