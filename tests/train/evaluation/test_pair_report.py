"""The details of an evaluation over pairs: its log, the worst answers, intervals, categories, best-of-n."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from PIL import Image

from segr1_app.domain import DatasetError
from train import evaluate
from train.data.scenes import draw_scene
from train.evaluation.pair_report import read_nouns, sampled_table


def write_scenes(folder: Path, count: int) -> Path:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        scene = draw_scene("salient", number)
        Image.fromarray(scene.picture.pixels).save(folder / "images" / f"{number}.png")
        Image.fromarray(scene.mask.astype(np.uint8) * 255).save(folder / "masks" / f"{number}.png")
    return folder


def test_best_of_k_and_pass_at_k_are_the_means_over_all_choices() -> None:
    ious = [[0.1, 0.6, 0.9, 0.4], [0.0, 0.0, 0.8, 0.2]]
    table = sampled_table(ious)
    for k in (1, 2, 4):
        choices = [list(itertools.combinations(row, k)) for row in ious]
        assert table[f"best_of_{k}"] == pytest.approx(fmean(fmean(map(max, one)) for one in choices), abs=1e-5)
        passed = [fmean(float(max(choice) >= 0.75) for choice in one) for one in choices]
        assert table[f"pass_at_{k}_0.75"] == pytest.approx(fmean(passed), abs=1e-5)
    assert sampled_table([]) == {}


def test_nouns_are_read_or_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "nouns.csv"
    file.write_text("stem,synset,noun\n0,n1,ball\n")
    assert read_nouns(file) == {"0": "ball"}
    file.write_text("stem,name\n0,ball\n")
    with pytest.raises(DatasetError, match="'noun'"):
        read_nouns(file)


@pytest.mark.slow
def test_an_evaluation_over_pairs_leaves_what_a_benchmark_leaves(tmp_path: Path) -> None:
    data, out = write_scenes(tmp_path / "data", 4), tmp_path / "out" / "result.json"
    (tmp_path / "nouns.csv").write_text("stem,noun\n0,disc\n1,disc\n2,square\n")
    asked = ["--images", str(data / "images"), "--masks", str(data / "masks"), "--json", str(out), "--device", "cpu"]
    asked += [
        "--home",
        str(tmp_path / "home"),
        "--samples",
        "2",
        "--worst",
        "2",
        "--nouns",
        str(tmp_path / "nouns.csv"),
    ]
    assert evaluate.main(asked) == 0
    result = json.loads(out.read_text())
    assert result["iou_low"] <= result["iou"] <= result["iou_high"]
    assert result["categories_noun_disc_count"] == 2
    assert sum(result[name] for name in result if name.startswith("categories_size_") and name.endswith("count")) == 4
    assert result["best_of_1"] <= result["best_of_2"]
    assert result["pass_at_1_0.5"] <= result["pass_at_2_0.5"]
    records = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert [record["id"] for record in records] == ["0", "1", "2", "3"]
    assert fmean(record["scores"]["iou"] for record in records) == pytest.approx(result["iou"], abs=1e-4)
    assert all(record["completion"] for record in records)
    page = out.with_suffix(".html").read_text()
    assert page.count("<article>") == 2
