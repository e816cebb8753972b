"""What both models need to load: a device, a number format and a name to show."""

from __future__ import annotations

from pathlib import Path

import torch

from segr1_app.config import DEFAULT_POLICY, DEFAULT_SEGMENTER
from segr1_app.domain import ModelError


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; "auto" is the first GPU when there is one, else the CPU.

    Raises:
        ModelError: when the name means nothing to torch or the machine lacks that device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"'{name}' is no torch device: try cpu, cuda or cuda:1.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"--device {name} was asked for, but torch finds no GPU here: use --device cpu.")
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format called ``name``; "auto" is bfloat16 on a GPU and float32 elsewhere."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def model_name(folder: Path) -> str:
    """The name of a model folder for the user: its last two parts, or "embedded ..." for those that ship with the app.

    Two, because every training calls what it makes alike.
    """
    resolved = folder.resolve()
    if resolved in (DEFAULT_POLICY, DEFAULT_SEGMENTER):
        return f"embedded {resolved.name}"
    return "/".join(resolved.parts[-2:])
