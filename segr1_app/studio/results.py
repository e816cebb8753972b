"""Write a prediction to files: a JSON record, a mask and an overlay, the same for page and command line."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segr1_app.domain import ImageSize, Mask, ObjectMask, ObjectPrompt, Prediction
from segr1_app.geometry import encode_rle
from segr1_app.images.pictures import Picture
from segr1_app.language.prompt_json import prompt_value
from segr1_app.studio.contracts import PredictionRecord, PromptRecord, SizeRecord
from segr1_app.studio.render import draw_overlay


def prediction_record(prediction: Prediction) -> PredictionRecord:
    """A prediction as JSON values.

    Coordinates are pixels of the original picture, x before y; masks are COCO RLE of its size; ``policy_size`` is the
    frame of the completion's own numbers.
    """
    return {
        "image_size": _size(prediction.image_size),
        "instruction": prediction.instruction,
        "reasoning": prediction.reasoning,
        "completion": prediction.completion,
        "well_formed": prediction.well_formed,
        "problems": list(prediction.problems),
        "abstains": prediction.abstains,
        "policy_size": _size(prediction.policy_size),
        "objects": [
            {**prompt_record(prompt), "mask": encode_rle(found.mask), "confidence": round(found.confidence, 4)}
            for prompt, found in zip(prediction.objects, prediction.masks, strict=True)
        ],
        "mask": encode_rle(prediction.mask),
        "seconds": {stage: round(value, 4) for stage, value in prediction.seconds.items()},
        "policy": prediction.policy_id,
        "segmenter": prediction.segmenter_id,
    }


def save_prediction(folder: Path, picture: Picture, prediction: Prediction, stem: str = "") -> dict[str, Path]:
    """Write mask, overlay and record of a prediction.

    Args:
        folder: the existing folder to write to.
        picture: the picture that was segmented.
        prediction: the result.
        stem: the beginning of the files' names; without it they are called just ``mask.png`` and so on.

    Returns:
        The files by content: "mask" (8-bit PNG, 0 or 255), "overlay" (PNG) and "record" (JSON).

    Raises:
        OSError: when one of them cannot be written.
    """
    prefix = f"{stem}." if stem else ""
    files = {
        "mask": folder / f"{prefix}mask.png",
        "overlay": folder / f"{prefix}overlay.png",
        "record": folder / f"{prefix}prediction.json",
    }
    record = json.dumps(prediction_record(prediction), indent=2, ensure_ascii=False)
    # The record is written first: it identifies the other two as results even if only one of them gets written.
    files["record"].write_text(record + "\n", encoding="utf-8")
    _write_png(files["mask"], prediction.mask.astype(np.uint8) * 255)
    _write_png(files["overlay"], draw_overlay(picture.pixels, prediction.objects, prediction.masks))
    return files


def save_correction(
    folder: Path,
    picture: Picture,
    objects: Sequence[ObjectPrompt],
    masks: Sequence[ObjectMask],
    *,
    prediction: Prediction | None,
    edits: Sequence[Mapping[str, Any]],
) -> dict[str, Path]:
    """Write mask, overlay and record of a corrected picture.

    Args:
        folder: the existing folder to write to.
        picture: the annotated picture.
        objects: the final prompts.
        masks: their final masks, in the picture's size, one per object.
        prediction: the corrected prediction; None if the prompts were drawn from scratch.
        edits: further JSON values to record, one set per object.

    Returns:
        The files, as those of `save_prediction`.

    Raises:
        OSError: when one of them cannot be written.
    """
    nothing = np.zeros(picture.pixels.shape[:2], dtype=np.bool_)
    union: Mask = np.logical_or.reduce([nothing, *(found.mask for found in masks)])
    files = {
        "mask": folder / "corrected-mask.png",
        "overlay": folder / "corrected-overlay.png",
        "record": folder / "correction.json",
    }
    _write_png(files["mask"], union.astype(np.uint8) * 255)
    _write_png(files["overlay"], draw_overlay(picture.pixels, objects, masks))
    record = {
        "image_size": _size(picture.size),
        "sha256": picture.sha256,
        "objects": [
            {**prompt_record(prompt), "mask": encode_rle(found.mask), "confidence": round(found.confidence, 4), **more}
            for prompt, found, more in zip(objects, masks, edits, strict=True)
        ],
        "mask": encode_rle(union),
        "prediction": prediction_record(prediction) if prediction else None,
    }
    files["record"].write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return files


def _write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    # Encoded in memory first: when Pillow's encoder writes to a file itself, its error does not give the reason.
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    path.write_bytes(encoded.getbuffer())


def _size(size: ImageSize) -> SizeRecord:
    return {"width": size.width, "height": size.height}


def prompt_record(prompt: ObjectPrompt) -> PromptRecord:
    """A prompt as JSON values."""
    return {**prompt_value(prompt), "labels": [point.label for point in prompt.points]}
