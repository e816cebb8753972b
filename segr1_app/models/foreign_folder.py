"""Check a model folder from an untrusted source: no code, no links that leave it, and plausible sizes only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from segr1_app.domain import ModelError
from segr1_app.files.foreign_json import ForeignJsonError, parse_json
from segr1_app.models.chat_templates import check_template

MAX_CONFIG: Final = 16 * 2**20
"""Largest configuration in bytes; that of a tokenizer with all its special tokens has a few hundred thousand."""
MAX_TOKENIZER: Final = 256 * 2**20
"""Largest ``tokenizer.json`` in bytes."""
MAX_INTEGER: Final = 2**31 - 1
"""Largest integer in a configuration, except for the keys of `_MOST`."""
CODE: Final = frozenset({"auto_map", "custom_pipelines"})
"""Keys with which configurations refer to their own code."""
CONFIGS: Final = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.json",
)
_MOST: Final[Mapping[str, int]] = {
    "hidden_size": 65_536,
    "out_hidden_size": 65_536,
    "embed_dim": 65_536,
    "intermediate_size": 2**19,
    "num_hidden_layers": 1024,
    "num_layers": 1024,
    "depth": 1024,
    "num_attention_heads": 2048,
    "num_key_value_heads": 2048,
    "num_heads": 2048,
    "num_experts": 4096,
    "head_dim": 8192,
    "vocab_size": 2**22,
    "max_position_embeddings": 2**25,
    "model_max_length": 2**63,
    "max_new_tokens": 2**20,
    "max_length": 2**25,
    "num_beams": 64,
    "num_return_sequences": 64,
    "patch_size": 1024,
    "merge_size": 64,
    "spatial_merge_size": 64,
    "temporal_patch_size": 64,
    "min_pixels": 10**9,
    "max_pixels": 10**9,
    "shortest_edge": 10**9,
    "longest_edge": 10**9,
    "height": 65_536,
    "width": 65_536,
    "image_size": 65_536,
}
_AT_LEAST_ONE: Final = frozenset(
    {"hidden_size", "vocab_size", "num_attention_heads", "num_heads", "patch_size", "merge_size", "spatial_merge_size"}
    | {"temporal_patch_size", "max_new_tokens", "num_beams", "num_return_sequences", "longest_edge", "max_pixels"}
)
# Some tokenizers write "no limit" as this number, which is not a size.
_UNLIMITED: Final = frozenset({"model_max_length"})


def check_links(folder: Path) -> None:
    """Reject links that leave a model's folder; in the hub's cache, whose files are all links, its blobs folder is
    allowed.

    Raises:
        ModelError: when there is one.
    """
    home = folder.resolve()
    allowed = [home]
    if home.parent.name == "snapshots":
        allowed.append(home.parent.parent / "blobs")
    for path in home.iterdir():
        if path.is_symlink() and not any(path.resolve().is_relative_to(place) for place in allowed):
            raise ModelError(f"'{path}' is a link to a file outside its folder: put the file itself there.")


def check_policy_files(folder: Path) -> None:
    """Reject a policy whose files could do more than describe a model; reads everything except its weights and
    vocabulary.

    Raises:
        ModelError: for links that leave the folder, code, numbers that no model has, or an invalid chat template.
    """
    check_links(folder)
    if (folder / "tokenizer.json").is_file() and (folder / "tokenizer.json").stat().st_size > MAX_TOKENIZER:
        raise ModelError(f"'{folder / 'tokenizer.json'}' has more than {MAX_TOKENIZER // 2**20} MiB.")
    configs = {name: read_model_json(folder / name) for name in CONFIGS if (folder / name).is_file()}
    for name, content in configs.items():
        _check_numbers(folder / name, "", content)
    for template, where in _templates(folder, configs):
        check_template(template, where)


def read_model_json(path: Path) -> dict[str, Any]:
    """Read one of a model's configurations.

    Raises:
        ModelError: when it cannot be read, is too large, or refers to its own code.
    """
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise ModelError(f"'{path}' has more than {MAX_CONFIG // 2**20} MiB.")
        content = parse_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read ({error.strerror}).") from error
    except ForeignJsonError as error:
        raise ModelError(f"'{path}' cannot be used: {error}.") from error
    if not isinstance(content, dict):
        raise ModelError(f"'{path}' is not a configuration: it is not a JSON object.")
    code = CODE & content.keys()
    if code:
        raise ModelError(
            f"'{path}' refers to its own code ({min(code)}), and code from a model is never run here: choose another "
            "model, or remove that entry if transformers supports the model."
        )
    return content


def _check_numbers(path: Path, place: str, value: Any) -> None:
    key = place.rpartition(".")[2]
    match value:
        case dict():
            for name, inner in value.items():
                _check_numbers(path, f"{place}.{name}" if place else name, inner)
        case list():
            for inner in value:
                _check_numbers(path, place, inner)
        case bool():
            pass
        case int() if key not in _UNLIMITED:
            least, most = (1 if key in _AT_LEAST_ONE else -MAX_INTEGER), _MOST.get(key, MAX_INTEGER)
            if not least <= value <= most:
                raise ModelError(f"'{path}' is refused: its {place} is not a number from {least} to {most}.")
        case float() if not math.isfinite(value):
            raise ModelError(f"'{path}' is refused: its {place} is not finite.")


def _templates(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Every chat template in a folder, with its name for messages."""
    for path in sorted({*folder.glob("*.jinja"), *folder.glob("additional_chat_templates/*.jinja")}):
        try:
            yield path.read_text(encoding="utf-8"), f"The chat template '{path}'"
        except (OSError, ValueError) as error:
            raise ModelError(f"The chat template '{path}' cannot be read ({error}).") from error
    for name, content in configs.items():
        found = content.get("chat_template")
        named = found if isinstance(found, list) else [{"template": found}] if found is not None else []
        for each in named:
            template = each.get("template") if isinstance(each, dict) else None
            if not isinstance(template, str):
                raise ModelError(f"The chat template in '{folder / name}' is not text.")
            yield template, f"The chat template in '{folder / name}'"
