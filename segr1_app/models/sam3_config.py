"""Check the ``config.json`` of a SAM 3, which is untrusted: only its parts, only known keys, only plausible sizes.

transformers would make any model that a part of the file names. What is not listed here is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from huggingface_hub.errors import StrictDataclassError
from transformers import Sam3Config, Sam3TrackerConfig

from segr1_app.domain import ModelError
from segr1_app.language.typed_text import one_line
from segr1_app.models.foreign_folder import read_model_json

CONFIG_FILE: Final = "config.json"
Parts = Mapping[str, str]
"""The parts of a model by their keys, with their ``model_type``; those of a part have longer keys, with a point."""
VISION: Final = {"vision_config": "sam3_vision_model", "vision_config.backbone_config": "sam3_vit_model"}
TRACKER: Final[Parts] = VISION | {
    "prompt_encoder_config": "sam3_tracker_prompt_encoder",
    "mask_decoder_config": "sam3_tracker_mask_decoder",
}
CONCEPTS: Final[Parts] = VISION | {
    "text_config": "clip_text_model",
    "geometry_encoder_config": "sam3_geometry_encoder",
    "detr_encoder_config": "sam3_detr_encoder",
    "detr_decoder_config": "sam3_detr_decoder",
    "mask_decoder_config": "sam3_mask_decoder",
}
_LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "image_size": (32, 4096),
    "pretrain_image_size": (32, 4096),
    "patch_size": (4, 64),
    "window_size": (1, 256),
    "num_channels": (3, 3),
    "hidden_size": (8, 4096),
    "fpn_hidden_size": (8, 1024),
    "intermediate_size": (8, 32_768),
    "mlp_dim": (8, 8192),
    "iou_head_hidden_dim": (8, 1024),
    "projection_dim": (8, 4096),
    "num_hidden_layers": (1, 64),
    "num_layers": (1, 64),
    "num_attention_heads": (1, 64),
    "num_queries": (1, 1000),
    "num_upsampling_stages": (1, 8),
    "attention_downsample_rate": (1, 8),
    "num_multimask_outputs": (1, 8),
    "num_point_embeddings": (4, 4),
    "mask_input_channels": (4, 64),
    "iou_head_depth": (2, 8),
    "roi_size": (1, 32),
    "scale": (1, 16),
    "vocab_size": (1, 2**18),
    "max_position_embeddings": (1, 1024),
    "bos_token_id": (0, 2**18),
    "eos_token_id": (0, 2**18),
    "pad_token_id": (0, 2**18),
    "global_attn_indexes": (0, 63),
    "backbone_feature_sizes": (1, 4096),
    "scale_factors": (0.5, 4),
    "rope_theta": (1, 10**7),
    "layer_norm_eps": (0, 1),
    "layer_scale_init_value": (0, 1),
    "dynamic_multimask_stability_delta": (0, 10),
    "dynamic_multimask_stability_thresh": (0, 1),
}
_FLAGS: Final = frozenset({"dynamic_multimask_via_stability"})
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "hidden_act": frozenset({"gelu", "relu", "quick_gelu", "silu"}),
    "rope_type": frozenset({"axial"}),
}
MAX_ITEMS: Final = 64


def read_tracker_config(folder: Path) -> Sam3TrackerConfig:
    """The configuration of the tracker in a SAM 3's folder, of the published kind or of the tracker alone.

    Raises:
        ModelError: when it cannot be read, or describes something else.
    """
    path = folder / CONFIG_FILE
    content = read_model_json(path)
    config: Sam3TrackerConfig = _made(
        path, Sam3TrackerConfig, _part(path, content, "sam3_tracker", "tracker_config"), TRACKER
    )
    vision: Any = config.vision_config
    prompts: Any = config.prompt_encoder_config
    decoder: Any = config.mask_decoder_config
    grid = _grid(path, vision)
    if (prompts.image_size, prompts.patch_size) != (vision.image_size, vision.backbone_config.patch_size):
        raise _refusal(path, "its parts are for pictures of different sizes")
    if len({vision.fpn_hidden_size, prompts.hidden_size, decoder.hidden_size}) > 1:
        raise _refusal(path, "its parts have different widths")
    if vision.backbone_feature_sizes != [[side, side] for side in (4 * grid, 2 * grid, grid)]:
        raise _refusal(path, f"its maps are not 4, 2 and 1 times {grid} wide")
    return config


def read_concept_config(folder: Path) -> Sam3Config:
    """The configuration of the concept model in a SAM 3's folder, of the published kind or of that model alone.

    Raises:
        ModelError: when it cannot be read, or describes something else.
    """
    path = folder / CONFIG_FILE
    content = read_model_json(path)
    config: Sam3Config = _made(path, Sam3Config, _part(path, content, "sam3", "detector_config"), CONCEPTS)
    vision: Any = config.vision_config
    _grid(path, vision)
    inner = (config.geometry_encoder_config, config.detr_encoder_config, config.detr_decoder_config)
    parts: tuple[Any, ...] = (*inner, config.mask_decoder_config)
    if any(part.hidden_size != vision.fpn_hidden_size for part in parts):
        raise _refusal(path, "its parts have different widths")
    if any(part.hidden_size % part.num_attention_heads for part in parts):
        raise _refusal(path, "the width of a part is not a multiple of its attention heads")
    return config


def _part(path: Path, content: Mapping[str, Any], alone: str, key: str) -> Mapping[str, Any]:
    """The description of one of SAM 3's two models."""
    kind = content.get("model_type")
    part = content if kind == alone else content.get(key) if kind == "sam3_video" else None
    if not isinstance(part, Mapping):
        raise _refusal(path, f"it describes neither a {alone} nor a sam3_video that has one")
    return part


def _made(path: Path, kind: type[Any], content: Mapping[str, Any], parts: Parts) -> Any:
    try:
        return kind(**_checked(path, content, parts))
    except (StrictDataclassError, ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise _refusal(path, one_line(str(error))[:300]) from error


def _checked(path: Path, content: Mapping[str, Any], parts: Parts, place: str = "") -> dict[str, Any]:
    """The parts and values that a SAM 3 has, without any others."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{place}{key}"
        if name in parts:
            if not isinstance(value, Mapping):
                raise _refusal(path, f"{name} is not a part of a SAM 3")
            kind = value.get("model_type", parts[name])
            # The tracker of the published file is the one for videos, whose parts are the same.
            if str(kind).replace("sam3_tracker_video", "sam3_tracker") != parts[name]:
                raise _refusal(path, f"{name} is a {str(kind)[:60]!r}, not a {parts[name]}")
            inner = {part: kind for part, kind in parts.items() if part.startswith(f"{name}.")}
            found[key] = _checked(path, value, inner, f"{name}.") | {"model_type": parts[name]}
        elif key == "rope_parameters" and isinstance(value, Mapping):
            found[key] = _checked(path, value, {}, f"{name}.")
        elif place and key in _LIMITS and value is not None:
            _check_numbers(path, name, value, *_LIMITS[key])
            found[key] = value
        elif place and key in _FLAGS:
            found[key] = bool(value)
        elif place and key in _WORDS:
            if value not in _WORDS[key]:
                raise _refusal(path, f"{name} is none of {', '.join(sorted(_WORDS[key]))}")
            found[key] = value
    missing = {part for part in parts if "." not in part.removeprefix(place)} - {f"{place}{key}" for key in found}
    if missing:
        raise _refusal(path, f"it has no {min(missing)}")
    return found


def _check_numbers(path: Path, place: str, value: Any, least: float, most: float, *, depth: int = 0) -> None:
    match value:
        case bool():
            pass
        case int() | float() if least <= value <= most:  # NaN is not
            return
        case list() if len(value) <= MAX_ITEMS and depth < 2:
            for inner in value:
                _check_numbers(path, place, inner, least, most, depth=depth + 1)
            return
    raise _refusal(path, f"{place} is not a number from {least:g} to {most:g}")


def _grid(path: Path, vision: Any) -> int:
    """How many patches fit into a side of the picture."""
    side, patch = vision.image_size, vision.backbone_config.patch_size
    if not isinstance(side, int) or not isinstance(patch, int) or side % patch:
        raise _refusal(path, "its image_size is not a multiple of its patch_size")
    return side // patch


def _refusal(path: Path, reason: str) -> ModelError:
    return ModelError(f"'{path}' is not an acceptable SAM 3 configuration: {reason}.")
