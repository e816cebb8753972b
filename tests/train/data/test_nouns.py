"""Nouns of data sets: which are read, which are refused, and which pictures are kept out of the training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from segr1_app.domain import DatasetError
from tests.train.scratch.test_segmenter import write_pairs
from train.data.nouns import FEWEST, NOUNS_FILE, SYNONYMS, named_pairs, plural, split_of, synonyms_of


def named_discs(folder: Path, count: int, nouns: dict[int, str]) -> Path:
    """Pairs of discs, some of which have a noun."""
    write_pairs(folder, count)
    rows = [f"{number:02},n00000000,{noun}" for number, noun in nouns.items()]
    (folder / NOUNS_FILE).write_text("\n".join(["stem,synset,noun", *rows]) + "\n", encoding="utf-8")
    return folder


def test_pairs_with_a_noun_are_found_unless_it_is_rare(tmp_path: Path) -> None:
    nouns = dict.fromkeys(range(FEWEST), "bell pepper") | {FEWEST: "fox"}
    folder = named_discs(tmp_path / "discs", FEWEST + 3, nouns)
    found = named_pairs([folder])
    assert {named.pair.stem for named in found} == {f"{number:02}" for number in range(FEWEST)}
    assert {(named.dataset, named.noun) for named in found} == {("discs", "bell pepper")}


def test_the_stems_of_some_sets_are_their_nouns(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "caltech_animals", FEWEST)
    assert named_pairs([folder]) == []
    for part in ("images", "masks"):
        for file in list((folder / part).iterdir()):
            file.rename(file.with_name(f"rhino{file.name}"))
    assert [named.noun for named in named_pairs([folder])] == ["rhinoceros"] * FEWEST


def test_a_quarter_is_kept_out_and_a_copy_with_it(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "discs", 200)
    images = sorted((folder / "images").iterdir())
    counts = Counter(map(split_of, images))
    assert counts["train"] == pytest.approx(150, abs=25)
    assert min(counts["validation"], counts["report"]) > 10
    copy = tmp_path / "copy.png"
    for image in images[:20]:
        copy.write_bytes(image.read_bytes())
        assert split_of(copy) == split_of(image)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("stem,kind\n00,ball\n", "needs the columns 'stem' and 'noun'"),
        ("stem,noun\n00\n", "names '00' ''"),
        ("stem,noun\n00,Ball\n", "lower-case words"),
        ("stem,noun\n00,ball  bearing\n", "lower-case words"),
        ("stem,noun\n00,bal{l}\n", "lower-case words"),
        ("stem,noun\n00,b\u00e4r\n", "lower-case words"),
    ],
)
def test_nouns_that_no_policy_can_learn_are_refused(tmp_path: Path, written: str, fault: str) -> None:
    folder = write_pairs(tmp_path / "discs", 1)
    (folder / NOUNS_FILE).write_text(written, encoding="utf-8")
    with pytest.raises(DatasetError, match=fault):
        named_pairs([folder])
    (folder / NOUNS_FILE).write_bytes(b"stem,noun\n00,\xff\n")
    with pytest.raises(DatasetError, match="cannot be read"):
        named_pairs([folder])


@pytest.mark.parametrize(
    ("noun", "several"),
    [
        ("lemon", "lemons"),
        ("bus", "buses"),
        ("bench", "benches"),
        ("puppy", "puppies"),
        ("monkey", "monkeys"),
        ("computer mouse", "computer mice"),
        ("person", "people"),
        ("sunglasses", "sunglasses"),
    ],
)
def test_plurals(noun: str, several: str) -> None:
    assert plural(noun) == several


def test_synonyms_stand_for_nouns_that_are_taught_and_for_no_other() -> None:
    found = synonyms_of(["dog", "lemon"])
    assert found["puppy"] == "dog"
    assert found["puppies"] == "dogs"
    assert set(found.values()) == {"dog", "dogs"}
    words = [word for several in SYNONYMS.values() for word in several]
    assert len(words) == len(set(words)), "a word stands for one noun"
