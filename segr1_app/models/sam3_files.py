"""SAM 3 on disk: its tracker and its concept model, from the weights that transformers saves for both or for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import CLIPTokenizer, PreTrainedModel, Sam3Model, Sam3TrackerModel
from transformers.utils.logging import disable_progress_bar

from segr1_app.domain import ModelError
from segr1_app.files.foreign_json import ForeignJsonError, parse_json
from segr1_app.language.typed_text import one_line
from segr1_app.models.foreign_folder import MAX_TOKENIZER, check_links
from segr1_app.models.loading import parameter_count
from segr1_app.models.sam3_config import CONFIG_FILE, read_concept_config, read_tracker_config

WEIGHTS_FILE: Final = "model.safetensors"
TOKENIZER_FILE: Final = "tokenizer.json"
MOST_TOKENS: Final = 32
"""Tokens of a phrase, with those for its beginning and end."""


def load_tracker(folder: Path, device: torch.device) -> Sam3TrackerModel:
    """The tracker in a SAM 3's folder, in eval mode on its device. Nothing else in the folder is read.

    Raises:
        ModelError: when the folder is incomplete, damaged, or describes something else.
        torch.OutOfMemoryError: when it does not fit into the device's memory.
    """
    _check_folder(folder)
    model: Sam3TrackerModel = _load(folder, Sam3TrackerModel, read_tracker_config(folder), _try_tracker).to(device)
    return model


def load_concept_model(folder: Path, device: torch.device) -> Sam3Model:
    """The concept model in a SAM 3's folder, in eval mode on its device.

    Raises:
        ModelError, torch.OutOfMemoryError: as `load_tracker`.
    """
    _check_folder(folder)
    model: Sam3Model = _load(folder, Sam3Model, read_concept_config(folder), _try_concept_model).to(device)
    return model


def load_tokenizer(folder: Path, vocabulary: int) -> CLIPTokenizer:
    """The tokenizer in a SAM 3's folder: the tokens and merges in its ``tokenizer.json``, and nothing else.

    Args:
        folder: contains it.
        vocabulary: number of tokens that the text encoder knows.

    Raises:
        ModelError: when there is none, it cannot be read, or it has other tokens.
    """
    path = folder / TOKENIZER_FILE
    try:
        if path.stat().st_size > MAX_TOKENIZER:
            raise ModelError(f"'{path}' has more than {MAX_TOKENIZER // 2**20} MiB.")
        content = parse_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read ({error.strerror}): the concept model needs it.") from error
    except ForeignJsonError as error:
        raise ModelError(f"'{path}' cannot be used: {error}.") from error
    model = content.get("model") if isinstance(content, dict) else None
    tokens, merges = (model.get("vocab"), model.get("merges")) if isinstance(model, dict) else (None, None)
    if not isinstance(tokens, dict) or not isinstance(merges, list):
        raise ModelError(f"'{path}' is not the tokenizer of a SAM 3: it has no tokens with merges.")
    if not all(type(number) is int and 0 <= number < vocabulary for number in tokens.values()):
        raise ModelError(f"'{path}' has tokens that the concept model does not know: it belongs to another one.")
    pairs: list[Any] = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in merges if pair]
    if not all(len(pair) == 2 and {*pair, "".join(pair)} <= tokens.keys() for pair in pairs):
        raise ModelError(f"'{path}' is not the tokenizer of a SAM 3: it merges what are no tokens.")
    return CLIPTokenizer(vocab=tokens, merges=pairs)


def _check_folder(folder: Path) -> None:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ModelError(
                f"'{folder}' contains no SAM 3: {name} is missing. Its folder has {CONFIG_FILE} and {WEIGHTS_FILE}, as "
                "on the model hub."
            )
    check_links(folder)


def _load(folder: Path, kind: type[Any], config: Any, attempt: Callable[[Any], object]) -> Any:
    """A model from its checked configuration and its weights.

    Args:
        folder: contains them.
        kind: the model's class.
        config: its configuration.
        attempt: runs the model on meta tensors, which finds sizes that do not fit together.
    """
    weights = folder / WEIGHTS_FILE
    disable_progress_bar()
    try:
        with torch.device("meta"):
            shape: PreTrainedModel = kind(config).eval()
            if shape.num_parameters() > parameter_count(folder):
                raise ModelError(
                    f"'{folder / CONFIG_FILE}' describes a larger model than the weights in '{weights}' are for: they "
                    "do not belong together."
                )
            with torch.inference_mode():
                attempt(shape)
        # From tensors, because the name of a folder would bring what else lies there: adapters and other files.
        model, report = kind.from_pretrained(
            None, config=config, state_dict=load_file(weights), dtype=torch.float32, output_loading_info=True
        )
    except torch.OutOfMemoryError:
        raise
    except (SafetensorError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, OSError) as error:
        raise ModelError(
            f"The SAM 3 in '{folder}' cannot be loaded, its weights are damaged or belong to another {CONFIG_FILE}: "
            f"{one_line(str(error))[:300]}"
        ) from error
    lacking = sorted(report["missing_keys"]) or sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise ModelError(
            f"The weights in '{weights}' are not those that its {CONFIG_FILE} describes: {lacking[0]} is missing."
        )
    return model.eval()


def _try_tracker(model: Sam3TrackerModel) -> None:
    side = cast(int, model.prompt_encoder.input_image_size)
    model(
        pixel_values=torch.zeros(1, 3, side, side),
        input_points=torch.zeros(1, 1, 1, 2),
        input_labels=torch.zeros(1, 1, 1, dtype=torch.int),
        input_masks=torch.zeros(1, 1, *model.prompt_encoder.mask_input_size),
        multimask_output=False,
    )


def _try_concept_model(model: Sam3Model) -> None:
    # The rest of it asks for values, which meta tensors do not have.
    side = model.config.image_size
    model.get_vision_features(torch.zeros(1, 3, side, side))
    model.get_text_features(input_ids=torch.zeros(1, MOST_TOKENS, dtype=torch.long))
