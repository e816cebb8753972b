"""Imported ground truths as training pairs: each once, and not where a correction is learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segr1_app.domain import Mask
from segr1_app.images.pictures import Picture, picture_from_array
from segr1_app.store import AnnotatedObject, AnnotationStore, Correction, Verdict
from tests.store.values import PROMPT
from train.data.feedback import feedback_rows
from train.data.rows import Collected, split
from train.data.truths import truth_rows, without_corrected
from train.grpo import main


def picture(shade: int) -> Picture:
    noise = np.random.default_rng(shade).integers(0, 255, (8, 10, 3), np.uint8)
    return picture_from_array(noise.repeat(8, axis=0).repeat(8, axis=1))


@pytest.fixture
def truth() -> Mask:
    mask = np.zeros((64, 80), dtype=bool)
    mask[10:40, 20:60] = True
    return mask


@pytest.fixture
def home(tmp_path: Path, truth: Mask) -> Path:
    """A data folder with five pictures: three truths, one of them accepted, an empty truth, and none."""
    with AnnotationStore.open(tmp_path) as store:
        for number, mask in enumerate((truth, truth, truth, ~(truth | ~truth), None)):
            task = store.add_task(store.add_picture(picture(number), f"{number}.png"), "the box", mask)
            if number == 0:
                store.save(task.id, "ada", Correction(Verdict.ACCEPT, (AnnotatedObject(PROMPT, truth),)))
    return tmp_path


def test_every_truth_is_a_pair_once(home: Path, truth: Mask) -> None:
    found = truth_rows(home)
    assert [(row.source, row.verdict, row.instruction, row.name) for row in found.rows] == [
        ("imported", "pair", "the box", f"{number}.png") for number in range(3)
    ]
    assert [(entry.source, entry.reason) for entry in found.left_out] == [("imported", "its mask is empty")]
    loaded = found.rows[1].load()
    assert loaded.picture.sha256 == picture(1).sha256
    assert np.array_equal(loaded.truth.mask, truth)
    # A correction that is learnt from takes the place of its task's truth.
    corrections = feedback_rows(home)
    kept = without_corrected(found, corrections)
    assert [row.name for row in kept.rows] == ["1.png", "2.png"]
    plan = split(kept + corrections, 0.1)
    assert sorted(plan.truths) == [2, 3]
    # A resumed training takes those with which it was started.
    assert [row.truth for row in truth_rows(home, plan.truths).rows] == [2, 3]


def test_a_folder_without_a_store_has_none_and_gets_none(tmp_path: Path) -> None:
    assert truth_rows(tmp_path) == Collected()
    assert not any(tmp_path.iterdir())


def test_truths_take_the_place_of_generated_scenes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(home), "--include-truths", "--plan"]) == 0
    listed = capsys.readouterr().out
    assert "imported" in listed
    assert "scenes" not in listed
