"""Segmenters on disk and on the hub: folders of this project, the original checkpoints of SAM 2, and SAM 3."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import NamedTuple

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES, build_sam2

from segr1_app.domain import ModelError
from segr1_app.files.atomic import whole_path
from segr1_app.language.typed_text import one_line
from segr1_app.models.foreign_folder import check_links, read_model_json
from segr1_app.models.hub import SAM3, segmenter_on_hub
from segr1_app.models.loading import model_name
from segr1_app.models.predictor import Predictor
from segr1_app.models.sam2_predictor import Sam2Predictor
from segr1_app.models.segmenter_config import check_trunk, read_segmenter_config

CONFIG_FILE = "config.yaml"
WEIGHTS_FILE = "model.safetensors"
_DAMAGED = (pickle.UnpicklingError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, EOFError)
"""Exceptions raised when a damaged or hostile .pt file is read."""


class SegmenterFiles(NamedTuple):
    """A loaded segmenter.

    Attributes:
        predictor: the model in eval mode, on its device.
        name: for display.
        zoom: the zoom factor towards a prompt, as for `prompt_window`; None for none.
        clean: specks and holes below this fraction of a mask's area are removed, as by `clean_mask`; 0 for none.
    """

    predictor: Predictor
    name: str
    zoom: float | None = None
    clean: float = 0.0


def load_segmenter_files(source: str | Path, device: torch.device) -> SegmenterFiles:
    """Read a folder or a hub id, ``facebook/sam2*`` or ``facebook/sam3``, which is downloaded if missing.

    Raises:
        ModelError: when there is no such model, or its files are damaged or cannot be downloaded.
        torch.OutOfMemoryError: when it does not fit into the device's memory.
    """
    check_segmenter_source(source)
    folder = Path(source)
    return _from_folder(folder, device) if folder.is_dir() else _from_hub(str(source), device)


def check_segmenter_source(source: str | Path) -> None:
    """Check that a segmenter can be looked for: a folder, or the hub id of a SAM 2 or 3. Nothing is read.

    Raises:
        ModelError: when it cannot.
    """
    if not Path(source).is_dir() and str(source) not in {*HF_MODEL_ID_TO_FILENAMES, SAM3}:
        known = ", ".join([*sorted(name for name in HF_MODEL_ID_TO_FILENAMES if "2.1" in name), SAM3])
        raise ModelError(f"No segmenter at '{source}': give an existing model folder or one of {known}.")


def is_sam3(source: str | Path) -> bool:
    """Whether a segmenter is a SAM 3; its weights are not read.

    Raises:
        ModelError: when the configuration in its folder cannot be read.
    """
    config = Path(source) / "config.json"
    if not Path(source).is_dir():
        return str(source) == SAM3
    return config.is_file() and str(read_model_json(config).get("model_type")).startswith("sam3")


def check_whole_segmenter(folder: Path) -> None:
    """Check that a folder contains a complete segmenter; only checks that its files exist.

    Raises:
        ModelError: when it does not.
    """
    embedded = (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()
    if not (folder.is_dir() and (embedded or official_name(folder) is not None)):
        raise ModelError(f"'{folder}' contains no complete segmenter: train again.")


def write_segmenter_files(model: torch.nn.Module, source: str | Path, folder: Path) -> None:
    """Write a fine-tuned model so that `load_segmenter_files` reads it: in the form of the one it was made from.

    Args:
        model: with the new weights, of the same shape as ``source``.
        source: where it was loaded from.
        folder: where it is written to, under the names that a loader looks for.

    Raises:
        OSError: when the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    original = official_name(source)
    if original is not None:
        with whole_path(folder / original, lasting=True) as partial:
            torch.save({"model": weights}, partial)
        return
    with whole_path(folder / CONFIG_FILE, lasting=True) as partial:
        shutil.copyfile(Path(source) / CONFIG_FILE, partial)
    with whole_path(folder / WEIGHTS_FILE, lasting=True) as partial:
        save_file(weights, partial)


def official_name(source: str | Path) -> str | None:
    """Under which name sam2's own checkpoints hold the weights of ``source``; None for anything else."""
    if not Path(source).is_dir():
        known = HF_MODEL_ID_TO_FILENAMES.get(str(source))
        return str(known[1]) if known else None
    names = [str(weights) for _, weights in HF_MODEL_ID_TO_FILENAMES.values()]
    return next((name for name in names if (Path(source) / name).is_file()), None)


def _from_folder(folder: Path, device: torch.device) -> SegmenterFiles:
    name = model_name(folder)
    for config_name, weights in HF_MODEL_ID_TO_FILENAMES.values():
        if (folder / weights).is_file():
            return SegmenterFiles(_from_checkpoint(config_name, folder / weights, device), name)
    if is_sam3(folder):
        return SegmenterFiles(_sam3(folder, device), name)
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"'{folder}' contains no segmenter: {' and '.join(missing)} missing. A segmenter folder has {CONFIG_FILE} "
            f"and {WEIGHTS_FILE}, as train.scratch.segmenter writes them, a .pt file of SAM 2 under its original name, "
            "or a SAM 3 as on the model hub."
        )
    check_links(folder)
    config = read_segmenter_config(folder / CONFIG_FILE)
    try:
        check_trunk(config, folder / CONFIG_FILE, folder / WEIGHTS_FILE)
        model: torch.nn.Module = instantiate(config.model, _recursive_=True)
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except torch.OutOfMemoryError:
        raise
    except (InstantiationException, OmegaConfBaseException) as error:
        raise ModelError(f"'{folder / CONFIG_FILE}' does not describe a model: {one_line(str(error))[:300]}") from error
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ModelError(
            f"The weights in '{folder}' are damaged or belong to another {CONFIG_FILE}: {error}"
        ) from error
    zoom = float(config.zoom) if "zoom" in config else None
    clean = float(config.clean) if "clean" in config else 0.0
    return SegmenterFiles(Sam2Predictor(model.to(device).eval()), name, zoom, clean)


def _from_hub(repo_id: str, device: torch.device) -> SegmenterFiles:
    if repo_id == SAM3:
        return SegmenterFiles(_sam3(segmenter_on_hub(repo_id).fetch(), device), repo_id)
    config_name, weights = HF_MODEL_ID_TO_FILENAMES[repo_id]
    file = segmenter_on_hub(repo_id).fetch() / weights
    if not file.is_file():
        raise ModelError(f"The repository {repo_id} has no {weights}: give --segmenter another name or a model folder.")
    return SegmenterFiles(_from_checkpoint(config_name, file, device), repo_id)


def _from_checkpoint(config_name: str, file: Path, device: torch.device) -> Predictor:
    """Load a model from one of the sam2 package's own configurations, with weights in their original layout."""
    try:
        # Loaded with weights_only=True, so that no file can execute code.
        model: torch.nn.Module = build_sam2(config_name, str(file), device=str(device))
    except torch.OutOfMemoryError:
        raise
    except _DAMAGED as error:
        raise ModelError(f"The weights in '{file}' are damaged: delete them and start again.") from error
    return Sam2Predictor(model)


def _sam3(folder: Path, device: torch.device) -> Predictor:
    # Imported here, so that nothing of SAM 3 is loaded unless it is asked for.
    from segr1_app.models.sam3_files import load_tracker  # noqa: PLC0415
    from segr1_app.models.sam3_predictor import Sam3Predictor  # noqa: PLC0415

    return Sam3Predictor(load_tracker(folder, device))
