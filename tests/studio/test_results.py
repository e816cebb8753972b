"""Predictions as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from segr1_app.domain import Box, ImageSize, ObjectMask, ObjectPrompt, Point, Prediction
from segr1_app.geometry import decode_rle
from segr1_app.images.pictures import picture_from_array
from segr1_app.studio.results import prediction_record, save_prediction


def prediction() -> Prediction:
    mask = np.zeros((30, 40), dtype=bool)
    mask[10:20, 5:25] = True
    return Prediction(
        image_size=ImageSize(40, 30),
        instruction="the »thing«",
        completion="<think> hm </think>",
        policy_size=ImageSize(56, 28),
        reasoning="hm",
        objects=(ObjectPrompt(Box(5, 10, 25, 20), (Point(7, 12, 1), Point(1, 1, 0))),),
        problems=("<bbox> is missing",),
        well_formed=False,
        masks=(ObjectMask(mask, 0.87654321),),
        mask=mask,
        seconds={"policy": 0.123456},
        policy_id="p",
        segmenter_id="s",
    )


def test_the_record_is_json_with_prompts_and_rle() -> None:
    made = prediction()
    record = json.loads(json.dumps(prediction_record(made)))
    assert record["image_size"] == {"width": 40, "height": 30}
    (found,) = record["objects"]
    assert found["box"] == [5, 10, 25, 20]
    assert found["points"] == [{"x": 7, "y": 12, "label": 1}, {"x": 1, "y": 1, "label": 0}]
    assert found["labels"] == [1, 0]
    assert found["confidence"] == 0.8765
    assert np.array_equal(decode_rle(found["mask"]), made.mask)
    assert np.array_equal(decode_rle(record["mask"]), made.mask)
    assert record["problems"] == ["<bbox> is missing"]
    assert record["completion"] == made.completion


def test_three_files_are_written(tmp_path: Path) -> None:
    made, picture = prediction(), picture_from_array(np.full((30, 40, 3), 90, np.uint8))
    files = save_prediction(tmp_path, picture, made, "photo")
    assert {path.name for path in files.values()} == {
        "photo.mask.png",
        "photo.overlay.png",
        "photo.prediction.json",
    }
    mask = np.asarray(Image.open(files["mask"]))
    assert mask.dtype == np.uint8
    assert np.array_equal(mask == 255, made.mask)
    assert set(np.unique(mask)) == {0, 255}
    overlay = np.asarray(Image.open(files["overlay"]))
    assert overlay.shape == (30, 40, 3)
    assert (overlay != 90).any()
    assert "»thing«" in files["record"].read_text(encoding="utf-8")
