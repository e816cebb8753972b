"""Check a segmenter's ``config.yaml``, which is untrusted: only components of SAM 2, in plausible sizes, are allowed.

Hydra instantiates its classes, and would instantiate, and thus run, any class that the file names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import safe_open

from segr1_app.domain import ModelError

ROOT_CLASS: Final = "sam2.modeling.sam2_base.SAM2Base"
CLASSES: Final = frozenset(
    {
        ROOT_CLASS,
        "sam2.modeling.backbones.hieradet.Hiera",
        "sam2.modeling.backbones.image_encoder.FpnNeck",
        "sam2.modeling.backbones.image_encoder.ImageEncoder",
        "sam2.modeling.memory_attention.MemoryAttention",
        "sam2.modeling.memory_attention.MemoryAttentionLayer",
        "sam2.modeling.memory_encoder.CXBlock",
        "sam2.modeling.memory_encoder.Fuser",
        "sam2.modeling.memory_encoder.MaskDownSampler",
        "sam2.modeling.memory_encoder.MemoryEncoder",
        "sam2.modeling.position_encoding.PositionEmbeddingSine",
        "sam2.modeling.sam.transformer.RoPEAttention",
    }
)
"""All classes that sam2's own configurations use."""
MAX_BYTES: Final = 64 * 2**10
MAX_DEPTH: Final = 12
MAX_ENTRIES: Final = 64
MAX_VALUE: Final = 16_384
"""Largest whole number of a configuration, but for those of `_MOST`."""
MAX_ZOOM: Final = 16.0
_MOST: Final[Mapping[str, int]] = {
    "image_size": 4096,
    "feat_sizes": 256,
    "num_layers": 16,
    "stages": 64,
    "num_heads": 64,
    "embed_dim": 1024,
    "d_model": 1024,
    "embedding_dim": 1024,
    "kv_in_dim": 1024,
    "dim_feedforward": 8192,
    "num_pos_feats": 1024,
    "num_maskmem": 64,
    "kernel_size": 31,
    "dim_mul": 2,
    "head_mul": 2,
    "temperature": 10**6,
}
_REFUSED: Final = frozenset({"weights_path"})
"""Arguments of the allowed classes that would read other files."""


def read_segmenter_config(path: Path) -> DictConfig:
    """Read the configuration in a segmenter's folder: "model" for hydra, and "zoom" if present.

    Raises:
        ModelError: when it cannot be read, or has a class or a size that no SAM 2 has.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _refusal(path, f"it has more than {MAX_BYTES // 2**10} KiB")
        text = path.read_text(encoding="utf-8")
        _check_events(path, text)
        config = OmegaConf.create(text)
        # Interpolations, which could read environment variables, are not resolved, and are rejected.
        content = OmegaConf.to_container(config, resolve=False)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise _refusal(path, f"it cannot be read ({type(error).__name__})") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise _refusal(path, "it has no 'model'")
    if content["model"].get("_target_") != ROOT_CLASS:
        raise _refusal(path, f"its model is not a {ROOT_CLASS}")
    _check(path, "model", content["model"])
    zoom = content.get("zoom", 1.0)
    if isinstance(zoom, bool) or not isinstance(zoom, int | float) or not 0 < zoom <= MAX_ZOOM:
        raise _refusal(path, f"its zoom must be a number greater than 0 and at most {MAX_ZOOM:g}")
    checked = OmegaConf.create({name: content[name] for name in ("model", "zoom") if name in content})
    assert isinstance(checked, DictConfig)
    return checked


def check_trunk(config: DictConfig, path: Path, weights: Path) -> None:
    """Reject a configuration whose image encoder does not match the weights, before memory is allocated for it.

    Raises:
        ModelError: when it does not match.
        OSError, SafetensorError: when the header of the weights cannot be read.
    """
    trunk = OmegaConf.select(config, "model.image_encoder.trunk")
    if not isinstance(trunk, DictConfig):
        raise _refusal(path, "its model has no image encoder")
    with safe_open(weights, "np") as tensors:
        names = list(tensors.keys())
        blocks = {name.split(".")[3] for name in names if name.startswith("image_encoder.trunk.blocks.")}
        embedding = "image_encoder.trunk.patch_embed.proj.weight"
        width = tensors.get_slice(embedding).get_shape()[0] if embedding in names else 0
    if width != trunk.get("embed_dim", 96) or len(blocks) != sum(trunk.get("stages", (2, 3, 16, 3))):
        raise ModelError(f"The weights '{weights}' do not match the sizes in {path.name}: they belong to another one.")


def _check_events(path: Path, text: str) -> None:
    """Reject aliases, which can expand to any size, and deep nesting, before anything recurses into it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if getattr(event, "anchor", None) is not None:
            raise _refusal(path, "it has YAML anchors or aliases")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _refusal(path, f"it nests more than {MAX_DEPTH} levels deep")


def _check(path: Path, place: str, value: Any) -> None:
    if isinstance(value, dict):
        target = value.get("_target_")
        if target is not None and not (isinstance(target, str) and target in CLASSES):
            raise _refusal(path, f"{place} names {str(target)[:80]!r}, which is not a component of SAM 2")
        for name, inner in value.items():
            if not isinstance(name, str) or name in _REFUSED or (name.startswith("_") and name != "_target_"):
                raise _refusal(path, f"{place} has {str(name)[:80]!r}, which is not allowed")
            if name != "_target_":
                _check(path, f"{place}.{name}", inner)
    elif isinstance(value, list):
        if len(value) > MAX_ENTRIES or any(isinstance(inner, dict | list) for inner in value):
            raise _refusal(path, f"{place} is not a list of up to {MAX_ENTRIES} values")
        for inner in value:
            _check_scalar(path, place, inner)
    else:
        _check_scalar(path, place, value)


def _check_scalar(path: Path, place: str, value: Any) -> None:
    key = place.rpartition(".")[2]
    most = _MOST.get(key, MAX_VALUE)
    match value:
        case None | bool():
            if key == "compile_image_encoder" and value:
                raise _refusal(path, f"{place} is not allowed: nothing is compiled here")
        case int() | float():
            if not -most <= value <= most:  # nor is NaN
                raise _refusal(path, f"{place} is not a number up to {most}")
        case str():
            if len(value) > 64 or "${" in value or value == "???":
                raise _refusal(path, f"{place} is not a plain word")
        case _:
            raise _refusal(path, f"{place} is neither a number nor a word")


def _refusal(path: Path, reason: str) -> ModelError:
    return ModelError(f"'{path}' is not an acceptable SAM 2 configuration: {reason}.")
