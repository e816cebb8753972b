"""A policy that is almost the embedded one, as a short training would leave it."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from segr1_app.settings.config import DEFAULT_POLICY


def near_checkpoint(folder: Path) -> Path:
    """A copy of the embedded policy with other weights and the same answers; returns the folder."""
    shutil.copytree(DEFAULT_POLICY, folder)
    weights = load_file(folder / "model.safetensors")
    name = min(weights)
    weights[name] = weights[name] * 1.0009765625
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder
