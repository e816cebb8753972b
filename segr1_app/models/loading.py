"""What loading either model needs: device, free memory, number format, attention implementation and display name."""

from __future__ import annotations

import gc
import math
from pathlib import Path

import psutil
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.utils.import_utils import is_flash_attn_2_available

from segr1_app.domain import ModelError
from segr1_app.settings.config import DEFAULT_POLICY, DEFAULT_SEGMENTER

MOST_DESCRIBED = 10
"""Largest ratio of the parameters that a policy's configuration describes to those in its weight files."""
FLASH_CAPABILITY = (8, 0)
"""Compute capability of the first GPUs that flash-attention 2 supports (Ampere)."""


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; "auto" is the first GPU if there is one, else the CPU.

    Raises:
        ModelError: when torch does not know the name or the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"'{name}' is not a torch device: try cpu, cuda or cuda:1.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"--device {name} was requested, but torch finds no GPU here: use --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise ModelError(f"--device {name} was requested, but the last GPU here is cuda:{last}: use an existing one.")
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format called ``name``; "auto" is bfloat16 on a GPU and float32 elsewhere."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def fastest_attention(device: torch.device, number: torch.dtype) -> str:
    """The fastest attention by its name in transformers: flash-attention if installed, on GPUs that support it, else
    SDPA.

    Args:
        device: the policy's device.
        number: the policy's number format; flash-attention supports at most 16 bits.
    """
    halved = device.type == "cuda" and number.itemsize == 2
    if halved and is_flash_attn_2_available() and torch.cuda.get_device_capability(device) >= FLASH_CAPABILITY:
        return "flash_attention_2"
    return "sdpa"


def free_memory(device: torch.device) -> int:
    """Free memory on a device in bytes."""
    if device.type == "cuda":
        # Memory cached by torch's allocator counts as free.
        gc.collect()
        torch.cuda.empty_cache()
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    available: int = psutil.virtual_memory().available
    return available


def parameter_count(folder: Path) -> int:
    """The number of parameters in the safetensors files of a folder; reads their headers only.

    Raises:
        OSError, SafetensorError: when one cannot be read.
    """
    count = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            count += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return count


def check_memory(folder: Path, dtype: torch.dtype, device: torch.device, advice: str) -> None:
    """Reject weights that cannot fit before loading them exhausts the machine's memory.

    Args:
        folder: contains the weights as safetensors.
        dtype: the number format in which they are loaded.
        device: the device onto which they are loaded.
        advice: the beginning of the message; the figures follow it.

    Raises:
        ModelError: when the weights alone need more memory than is free.
        OSError, SafetensorError: when they cannot be read.
    """
    needed, free = parameter_count(folder) * dtype.itemsize, free_memory(device)
    if needed > free:
        raise ModelError(f"{advice} (It needs {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free on {device}.)")


def check_description(folder: Path) -> None:
    """Reject a policy whose configuration describes far more parameters than its weight files contain: the rest would
    be randomly initialised.

    Args:
        folder: contains ``config.json`` and the weights as safetensors.

    Raises:
        ModelError: when it does.
        OSError, ValueError, StrictDataclassError, SafetensorError: when they cannot be read.
    """
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        described = AutoModelForImageTextToText.from_config(config).num_parameters()
    held = parameter_count(folder)
    # Quantised weights pack up to eight parameters into one number.
    if described > MOST_DESCRIBED * held:
        raise ModelError(
            f"'{folder / 'config.json'}' describes a model of {described:.3g} parameters, its weights have {held:.3g}: "
            "they do not belong together."
        )


def model_name(folder: Path) -> str:
    """The display name of a model folder: the last two parts of its path, or "embedded ..." for those shipped with the
    app. Two, because the folders of all training runs end alike.
    """
    resolved = folder.resolve()
    if resolved in (DEFAULT_POLICY, DEFAULT_SEGMENTER):
        return f"embedded {resolved.name}"
    return "/".join(resolved.parts[-2:])
