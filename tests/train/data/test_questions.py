"""Questions about composed scenes, written as pairs with instructions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segr1_app.images.masks import load_mask
from segr1_app.images.pictures import load_picture
from tests.train.scratch.test_segmenter import write_pairs
from train.data.layouts import find_pair_folder
from train.data.questions import SIDE, question_folder
from train.data.traces import COLOURS, WHICH


def test_every_question_is_a_pair_with_its_own_instruction(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "discs", 40)
    made = question_folder([data], tmp_path / "cache", tmp_path / "out" / "questions", seed=1)
    assert made == tmp_path / "out" / "questions"
    found = find_pair_folder(made)
    assert {pair.stem for pair in found.listing.pairs} == found.instructions.keys()
    scenes: dict[str, list[str]] = {}
    for pair in found.listing.pairs:
        number, word = pair.stem.split("-")
        scenes.setdefault(number, []).append(word)
        assert word in (*WHICH, *COLOURS)
        assert f" {word} " in found.instructions[pair.stem]
        picture, mask = load_picture(pair.image), load_mask(pair.mask)
        assert max(picture.size) == SIDE
        # The words mean one of the discs, which are all orange on dark ground.
        ground = picture.pixels[~mask].astype(int)
        assert mask.any()
        assert picture.pixels[mask].mean(axis=0)[0] > 150
        assert (ground[:, 0] > 150).mean() > 0.005, "there are others that it does not mean"
    assert len(scenes) > 2
    assert max(map(len, scenes.values())) > 1
    stamp = (made / "instructions.json").stat().st_mtime_ns
    assert question_folder([data], tmp_path / "cache", made, seed=2) == made
    assert (made / "instructions.json").stat().st_mtime_ns == stamp, "what is there is used again"


def test_pictures_that_leave_no_place_give_no_questions(tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (tmp_path / "full" / part).mkdir(parents=True)
        Image.fromarray(np.full((32, 32), 255, np.uint8)).save(tmp_path / "full" / part / "a.png")
    assert question_folder([tmp_path / "full"], tmp_path / "cache", tmp_path / "questions", seed=0) is None
    assert not (tmp_path / "questions").exists()
