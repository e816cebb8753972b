"""The questions of the benchmark of nouns: the truth is what the noun says, and answers are judged by it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.nouns import BESIDE, PASTED, NounAnswer, composed_questions, single_questions
from train.data.nouns import FEWEST, NOUNS_FILE, NamedPair, named_pairs

COLOURS = {"ball": (220, 40, 40), "cup": (40, 60, 220), "leaf": (40, 190, 40)}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> list[NamedPair]:
    """Squares on black ground whose colour follows from their noun."""
    folder = tmp_path_factory.mktemp("named") / "squares"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rows = ["stem,noun"]
    for number in range(3 * FEWEST):
        noun = list(COLOURS)[number % 3]
        mask = np.zeros((80, 100), dtype=bool)
        mask[20 + number % 10 : 50, 30:65] = True
        pixels = np.zeros((80, 100, 3), np.uint8)
        pixels[mask] = COLOURS[noun]
        Image.fromarray(pixels).save(folder / "images" / f"{number:02}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / f"{number:02}.png")
        rows.append(f"{number:02},{noun}")
    (folder / NOUNS_FILE).write_text("\n".join(rows), encoding="utf-8")
    return named_pairs([folder])


def test_of_two_objects_the_truth_is_the_one_of_the_noun(named: list[NamedPair]) -> None:
    questions = list(composed_questions(named, 8))
    assert [question.kind for question in questions] == [PASTED, PASTED, BESIDE, BESIDE] * 4
    for question in questions:
        assert not (question.truth & question.other).any()
        shown = question.picture.pixels[question.truth].mean(axis=0)
        distances = {noun: np.abs(shown - colour).sum() for noun, colour in COLOURS.items()}
        assert min(distances, key=distances.__getitem__) == question.noun
    assert {question.noun for question in questions} == COLOURS.keys()


def test_every_other_question_is_about_what_is_not_there(named: list[NamedPair]) -> None:
    questions = list(single_questions(named, 6))
    assert len(questions) == 12
    for present, absent in zip(questions[::2], questions[1::2], strict=True):
        assert present.picture is absent.picture
        assert present.noun != absent.noun
        assert present.truth.any()
        assert not absent.truth.any()
        assert np.abs(present.picture.pixels[present.truth].mean(axis=0) - COLOURS[present.noun]).max() < 1


@pytest.mark.parametrize(("overlap", "other", "right"), [(0.6, 0.1, True), (0.5, 0.1, False), (0.6, 0.6, False)])
def test_an_answer_is_right_if_it_is_mostly_what_was_asked_for(overlap: float, other: float, right: bool) -> None:
    assert NounAnswer("cup", PASTED, overlap, other, abstains=False).right is right
