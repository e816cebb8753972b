"""The public Python API: its names, that they load nothing before they are used, and what they accept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segr1_app
from segr1_app.domain import ModelError, SettingsError

NAMES = {
    "AnnotationStore",
    "Picture",
    "Pipeline",
    "format_completion",
    "iou",
    "load_mask",
    "load_picture",
    "load_pipeline",
    "parse_completion",
    "s_measure",
    "score",
}


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_public_names_are_these_and_each_can_be_used() -> None:
    assert set(segr1_app.__all__) == NAMES
    assert set(dir(segr1_app)) >= NAMES
    for name in NAMES:
        assert callable(getattr(segr1_app, name))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = segr1_app.nonsense


def test_a_star_import_hands_out_the_public_names() -> None:
    assert python("from segr1_app import *; print(sorted(n for n in dir() if n[0] != '_'))") == str(sorted(NAMES))


@pytest.mark.parametrize(
    ("use", "absent"),
    [
        ("", ("torch", "numpy", "sqlite_utils", "gradio", "transformers")),
        ("segr1_app.AnnotationStore, segr1_app.score, segr1_app.iou", ("torch", "gradio", "transformers")),
        ("segr1_app.parse_completion, segr1_app.load_picture, segr1_app.load_mask", ("torch", "gradio")),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(use: str, absent: tuple[str, ...]) -> None:
    loaded = python(f"import segr1_app, sys; {use or 'pass'}; print(*sys.modules)").split()
    assert not set(absent) & set(loaded)


def test_pictures_masks_and_stores_are_opened_by_text_paths_too(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4), "teal").save(tmp_path / "photo.png")
    Image.new("L", (6, 4), 255).save(tmp_path / "mask.png")
    picture = segr1_app.load_picture(str(tmp_path / "photo.png"))
    assert picture.sha256 == segr1_app.load_picture((tmp_path / "photo.png").read_bytes()).sha256
    mask = segr1_app.load_mask(str(tmp_path / "mask.png"))
    assert mask.dtype == np.bool_
    assert mask.shape == (4, 6)
    with segr1_app.AnnotationStore.open(str(tmp_path / "home")) as store:
        assert list(store.tasks()) == []


def test_an_argument_of_the_pipeline_that_makes_no_sense_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(SettingsError, match="--dtype float8"):
        segr1_app.load_pipeline(dtype="float8")
    with pytest.raises(ModelError, match="nowhere"):
        segr1_app.load_pipeline("./nowhere", models="embedded", device="cpu")
