"""A benchmark is scored as in its papers, resumes after an interruption, and records its protocol.

It is long because each family of benchmarks, and each interruption, is a case.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from py_sod_metrics import MAE, Emeasure, FmeasureHandler, FmeasureV2, Smeasure, WeightedFmeasure

from segr1_app import metrics
from segr1_app.domain import DatasetError, ImageSize, SettingsError
from segr1_app.files.ending import INTERRUPTED
from segr1_app.geometry import decode_rle
from segr1_app.images.masks import load_mask
from segr1_app.images.pictures import Picture, load_picture
from segr1_app.models.pipeline import Pipeline
from tests.policy_server import policy_server
from tests.train.evaluation.test_benchmark_sets import write_camo, write_reasonseg, write_refcoco
from train.evaluate import main
from train.evaluation.benchmarks import protocol, run
from train.evaluation.benchmarks.catalogue import BENCHMARKS
from train.evaluation.benchmarks.log import AnswerLog

ROOT = Path(__file__).resolve().parents[3]
SCENES = [((0.3, 0.6), (0.2, 0.25)), ((0.6, 0.4), (0.3, 0.2)), ((0.5, 0.5), (0.15, 0.3)), ((0.2, 0.2), (0.1, 0.15))]


@pytest.fixture(scope="module")
def camo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes as ``CAMO/Imgs`` and ``CAMO/GT``."""
    return write_camo(tmp_path_factory.mktemp("sets") / "CAMO", SCENES)


def scored(name: str, data: Path, out: Path, *options: str) -> dict[str, Any]:
    assert main(["--benchmark", name, "--data", str(data), "--json", str(out), "--device", "cpu", *options]) == 0
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def answers(out: Path) -> dict[str, dict[str, Any]]:
    """The log's answers, by question."""
    header, *records = map(json.loads, out.with_suffix(".jsonl").read_text().splitlines())
    assert set(header) == {"protocol"}
    return {record["id"]: record for record in records}


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if not name.startswith(("seconds", "circumstances"))}


def test_the_foreground_table_is_the_librarys(camo: Path, tmp_path: Path) -> None:
    """Predictions as pictures on disk, scored by pysodmetrics alone, give the same table."""
    result = scored("CAMO", camo, tmp_path / "r.json", "--prompts", "oracle", "--worst", "0")
    f = FmeasureV2({"f": FmeasureHandler(with_dynamic=True, with_adaptive=False, beta=0.3)})
    s, weighted, e, error = Smeasure(), WeightedFmeasure(), Emeasure(), MAE()
    for stem, record in answers(tmp_path / "r.json").items():
        truth = np.asarray(Image.open(camo / "GT" / f"{stem}.png"))
        for measure in (f, s, weighted, e, error):
            measure.step(decode_rle(record["mask"]).astype(np.uint8) * 255, truth)
    f_curve, e_curve = f.get_results()["f"]["dynamic"], e.get_results()["em"]["curve"]
    expected = {
        "s_measure": s.get_results()["sm"],
        "weighted_f": weighted.get_results()["wfm"],
        "mean_f": f_curve.mean(),
        "max_f": f_curve.max(),
        "mean_e": e_curve.mean(),
        "max_e": e_curve.max(),
        "mae": error.get_results()["mae"],
    }
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert 0.5 < result["mean_f"] < result["max_f"] < 1, "masks that are neither perfect nor empty"
    assert (result["count"], result["data"]["published_count"]) == (4, 250)
    assert not (tmp_path / "r.html").exists()


def test_expressions_are_asked_in_the_papers_words_and_scored(
    tmp_path: Path, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    base, out = write_refcoco(tmp_path / "set"), tmp_path / "out" / "r.json"
    result = scored("RefCOCO", base, out, "--split", "testA")
    assert json.loads(capsys.readouterr().out) == result
    found = answers(out)
    assert {record["instruction"] for record in found.values()} == {
        "Identify and segment the thing",
        "Identify and segment that <b>thing</b>",
        "Identify and segment the left thing",
        "Identify and segment two parts",
        "Identify and segment the column",
    }
    size, overlaps = ImageSize(20, 12), []
    for question in BENCHMARKS["RefCOCO"].read("unc/testA", base).questions:
        record = found[question.id]
        pred = decode_rle(record["mask"])
        overlaps.append(metrics.overlap(pred, question.target(size).mask))
        assert record["scores"]["intersection"] == overlaps[-1].intersection
        assert record["completion"]
    assert result["g_iou"] == pytest.approx(np.mean([found.iou for found in overlaps]))
    assert result["c_iou"] == pytest.approx(
        sum(found.intersection for found in overlaps) / sum(found.union for found in overlaps)
    )
    policy = result["protocol"]["policy"]
    assert policy["instruction"] == "Identify and segment {}"
    assert policy["example"]["frame"] == list(pipeline.policy.frame(ImageSize(640, 480)))
    assert len(policy["weights_sha256"]) == 64


def test_the_page_shows_the_worst_first_and_escapes_what_it_is_given(tmp_path: Path) -> None:
    base, out = write_refcoco(tmp_path / "set"), tmp_path / "r.json"
    scored("RefCOCO", base, out, "--split", "testA", "--prompts", "oracle", "--worst", "4")
    page = out.with_suffix(".html").read_text()
    order = sorted(answers(out).values(), key=lambda record: float(record["scores"]["iou"]))
    places = [page.index(f"<h3>{record['id']}</h3>") for record in order[:4]]
    assert places == sorted(places)
    assert page.count("<article>") == 4
    assert page.count("data:image/jpeg;base64,") == 8
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert not any(word in page for word in ("http:", "https:", "<script", "<link"))


def test_short_and_long_queries_are_scored_apart_too(tmp_path: Path) -> None:
    result = scored("ReasonSeg", write_reasonseg(tmp_path / "set"), tmp_path / "r.json", "--split", "test")
    groups = result["groups"]
    assert {name: group["count"] for name, group in groups.items()} == {"short": 2, "long": 1}
    assert result["g_iou"] == pytest.approx((2 * groups["short"]["g_iou"] + groups["long"]["g_iou"]) / 3)
    asked = answers(tmp_path / "r.json")["island/0"]["instruction"]
    assert asked == "Which one – if any – is a café? Identify and segment it."


def test_an_interrupted_run_goes_on_where_it_was(camo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scored("CAMO", camo, tmp_path / "whole.json", "--prompts", "oracle")
    out = tmp_path / "r.json"
    arguments = ["--benchmark", "CAMO", "--data", str(camo), "--json", str(out), "--prompts", "oracle"]

    def load_until_interrupted(path: Path) -> Picture:
        if path.stem == "scene2":
            raise KeyboardInterrupt
        return load_picture(path)

    with monkeypatch.context() as patch:
        patch.setattr(run, "load_picture", load_until_interrupted)
        assert main([*arguments, "--device", "cpu"]) == INTERRUPTED
    (part,) = tmp_path.glob("r.jsonl.part*")
    first, second = part.read_text().splitlines()
    # The machine went down in the middle of the second line.
    marked = first.replace('"completion": ""', '"completion": "kept"')
    part.write_text(f"{marked}\n{second[:50]}")
    result = scored("CAMO", camo, out, "--prompts", "oracle")
    found = answers(out)
    assert found["scene0"]["completion"] == "kept", "what was answered is not asked again"
    assert len(found) == 4
    assert not list(tmp_path.glob("*.part*"))
    assert without_times(result) == without_times(whole)


def test_a_bad_picture_is_left_out_and_asked_for_again(
    camo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = scored("CAMO", camo, tmp_path / "whole.json", "--prompts", "oracle")
    data, out = tmp_path / "copy", tmp_path / "r.json"
    shutil.copytree(camo, data)
    damaged = data / "Imgs" / "scene2.jpg"
    damaged.write_bytes(damaged.read_bytes()[:400])
    arguments = ["--benchmark", "CAMO", "--data", str(data), "--json", str(out), "--prompts", "oracle"]
    assert main([*arguments, "--device", "cpu"]) == 1
    assert "1 of 4 questions" in caplog.records[-1].message
    assert "scene2: 'scene2.jpg' is damaged" in caplog.records[-1].message
    partly = json.loads(out.read_text())
    assert (partly["count"], partly["failed"]) == (3, 1)
    assert set(answers(out)) == {"scene0", "scene1", "scene3"}
    assert "scene2" not in out.with_suffix(".html").read_text()
    shutil.copy(camo / "Imgs" / "scene2.jpg", damaged)
    mended = scored("CAMO", data, out, "--prompts", "oracle")
    assert without_times(mended) | {"data": 0} == without_times(whole) | {"data": 0}


def test_a_set_of_which_nothing_can_be_read_has_no_table(
    camo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, out = tmp_path / "copy", tmp_path / "r.json"
    shutil.copytree(camo, data)
    for mask in (data / "GT").iterdir():
        Image.new("L", (5, 5)).save(mask)
    assert main(["--benchmark", "CAMO", "--data", str(data), "--json", str(out), "--prompts", "oracle"]) == 1
    assert "4 of 4 questions" in caplog.records[-1].message
    assert not out.exists()


def test_a_full_disk_ends_a_run_in_one_sentence(camo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "r.json"
    (tmp_path / "r.jsonl.part0").symlink_to("/dev/full")
    log = AnswerLog(out.with_suffix(".jsonl"))
    with pytest.raises(SettingsError, match="No space left"), log:
        log.add({"id": "a"})
    (tmp_path / "r.jsonl").mkdir()
    assert main(["--benchmark", "CAMO", "--data", str(camo), "--json", str(out), "--prompts", "oracle"]) == 1
    assert "r.jsonl' cannot be written" in caplog.records[-1].message


def test_answers_of_another_protocol_are_never_mixed_in(
    camo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "r.json"
    scored("CAMO", camo, out, "--prompts", "oracle", "--limit", "1")
    before = out.with_suffix(".jsonl").read_text()
    arguments = ["--benchmark", "CAMO", "--data", str(camo), "--json", str(out), "--prompts", "oracle"]
    assert main([*arguments, "--device", "cpu", "--limit", "2"]) == 1
    assert "questions differ" in caplog.text
    assert out.with_suffix(".jsonl").read_text() == before
    out.with_suffix(".jsonl").write_text('{"some": "thing"}\n')
    with pytest.raises(DatasetError, match="is not an evaluation log"):
        AnswerLog(out.with_suffix(".jsonl")).begin({})


def test_the_protocol_names_every_choice(camo: Path, tmp_path: Path) -> None:
    options = ("--limit", "1", "--seed", "7", "--instruction", "Find it.")
    written = scored("CAMO", camo, tmp_path / "r.json", *options)["protocol"]
    assert written["questions"]["drawn"] == {"limit": 1, "seed": 7}
    policy, segmenter = written["policy"], written["segmenter"]
    assert policy["instruction"] == "Find it."
    assert policy["words"] == "the instruction given, as a free request of the protocol studio"
    assert policy["decoding"] == "greedy"
    assert policy["max_new_tokens"] == 256
    assert {"grid", "min_pixels", "max_pixels"} <= policy["frame"].keys()
    assert "Find it." in policy["example"]["user_prompt"]
    assert segmenter["mask_threshold"] == 0
    assert "320 x 320" in segmenter["input"]
    assert "1.25 times" in segmenter["input"]
    assert written["metric_libraries"]["pysodmetrics"]
    assert "union" in written["prediction"]


def test_a_model_of_the_hub_is_known_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HF_HUB_CACHE", str(tmp_path))
    assert protocol.identify("geshang/Seg-R1-3B", "s") == {"name": "s", "hub_commit": None}
    newest = tmp_path / "models--geshang--Seg-R1-3B" / "refs" / "main"
    newest.parent.mkdir(parents=True)
    newest.write_text("0123abcd\n")
    assert protocol.identify("geshang/Seg-R1-3B", "s") == {"name": "s", "hub_commit": "0123abcd"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--benchmark", "imagenet", "--data", "."], "imagenet"),
        (["--benchmark", "CAMO", "--data", "absent"], "absent"),
        (["--benchmark", "CAMO", "--data", ".", "--split", "val"], "no splits"),
        (["--benchmark", "RefCOCO", "--data", ".", "--instruction", "Find it."], "{}"),
    ],
)
def test_faults_are_one_sentence(
    tmp_path: Path, options: list[str], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert main([*options, "--json", str(tmp_path / "x.json"), "--device", "cpu"]) == 1
    assert message in caplog.records[-1].message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--images", "a"],
        ["--benchmark", "CAMO"],
        ["--benchmark", "CAMO", "--data", "a", "--images", "b"],
        ["--benchmark", "CAMO", "--data", "a", "--clicks", "1"],
        ["--images", "a", "--masks", "b", "--split", "val"],
    ],
)
def test_pairs_or_a_benchmark_but_not_half_of_both(options: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*options, "--json", "c.json"])


def write_set(name: str, base: Path, camo: Path) -> Path:
    """A tiny set in a benchmark's own layout."""
    if name == "RefCOCO":
        return write_refcoco(base)
    if name == "ReasonSeg":
        return write_reasonseg(base)
    images, masks = {"CAMO": ("Imgs", "GT"), "DUTS-TE": ("DUTS-TE-Image", "DUTS-TE-Mask")}[name]
    shutil.copytree(camo / "Imgs", base / images)
    shutil.copytree(camo / "GT", base / masks)
    return base


FOREGROUND = (
    "\nIdentify and segment all the primary objects in the image.\n\nOutput the result using the exact format:\n"
    "<think> reasoning process here </think> <bbox>[x1,y1,x2,y2]</bbox>, <points>[[x3,y3],[x4,y4],...]</points>, "
    "<labels>[1,0,...]</labels>\n    "
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "words", "asked", "side", "span", "points"),
    [
        (
            "RefCOCO",
            ["--split", "testA"],
            {"referring": "Identify and segment {}"},
            "Identify and segment the left thing",
            1036,
            1024,
            "inside each box",
        ),
        (
            "ReasonSeg",
            ["--split", "test"],
            {"phrase": " Identify and segment {}.", "sentence": "{} Identify and segment it."},
            "Which one – if any – is a café? Identify and segment it.",
            1036,
            1024,
            "first box gets all",
        ),
        ("CAMO", [], {"foreground": FOREGROUND}, FOREGROUND, 756, 768, "inside each box"),
        ("DUTS-TE", [], {"foreground": FOREGROUND}, FOREGROUND, 756, 768, "inside each box"),
    ],
)
def test_the_authors_protocol_of_a_benchmark_is_followed_and_said(
    camo: Path,
    tmp_path: Path,
    *,
    name: str,
    options: list[str],
    words: dict[str, str],
    asked: str,
    side: int,
    span: int,
    points: str,
) -> None:
    """As it arrives at a server, and as the result says."""
    data, out = write_set(name, tmp_path / "set", camo), tmp_path / "r.json"
    with policy_server() as server:
        server.say = lambda *_: (
            "<think> a thing </think> <bbox>[256,192,512,384]</bbox>, "
            "<points>[[300,200]]</points>, <labels>[1]</labels>"
        )
        where = ["--policy-server", server.url, "--policy", "m", "--models", "embedded"]
        result = scored(name, data, out, *options, *where, "--protocol", "seg-r1")
    policy = result["protocol"]["policy"]
    assert (policy["protocol"], policy["words"]) == ("seg-r1", "the protocol seg-r1, strictly")
    assert {task: task_words["user_prompt"] for task, task_words in policy["tasks"].items()} == words
    for task_words in policy["tasks"].values():
        assert (task_words["example"]["frame"], task_words["coordinates"]) == ([side, side], [span, span])
        assert task_words["points"] == points
    contents = [body["messages"][-1]["content"] for body in server.asked]
    assert asked in [content[1]["text"] for content in contents]
    for image, _ in contents:
        png = base64.b64decode(image["image_url"]["url"].partition(",")[2])
        assert Image.open(io.BytesIO(png)).size == (side, side)
    for record in answers(out).values():
        assert record["task"] in words
        assert record["well_formed"]
        height, width = record["mask"]["size"]
        box = [256 / span * width, 192 / span * height, 512 / span * width, 384 / span * height]
        assert record["objects"][0]["box"] == pytest.approx(box, abs=0.01)


def test_a_square_that_the_image_processor_does_not_allow_is_said(camo: Path, tmp_path: Path) -> None:
    written = scored("CAMO", camo, tmp_path / "r.json", "--limit", "1", "--protocol", "seg-r1")["protocol"]
    task = written["policy"]["tasks"]["foreground"]
    assert task["example"]["frame"] == [280, 280]
    assert "square of 280 pixels: 768, rounded to the grid, but no larger than" in task["frame"]["rule"]


@pytest.mark.slow
def test_an_instruction_of_ones_own_is_said_and_what_was_answered_is_logged(camo: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    command = [
        "--benchmark",
        "CAMO",
        "--data",
        str(camo),
        "--json",
        str(out),
        "--device",
        "cpu",
        "--protocol",
        "seg-r1",
    ]
    command += ["--models", "embedded", "--instruction", "Segment it.", "--policy", "m"]
    with policy_server() as server:
        calls = count()

        def say(*_: object) -> str:
            # The first answer breaks off, while the others are still being written.
            if next(calls) == 0:
                raise BrokenPipeError
            return "<think> a </think> <bbox>[9,9,99,99]</bbox>, <points>[[50,50]]</points>, <labels>[1]</labels>"

        server.say, server.pause = say, 0.05
        assert main([*command, "--policy-server", server.url]) == 1
        server.asked.clear()
        assert main([*command, "--policy-server", server.url]) == 0
        assert len(server.asked) == 1
        assert len(answers(out)) == len(SCENES)
        policy = json.loads(out.read_text())["protocol"]["policy"]
        assert policy["words"] == "the instruction given, as a free request of the protocol seg-r1"
        assert policy["example"]["user_prompt"] == "Segment it."


@pytest.mark.slow
def test_two_processes_make_the_same_table(camo: Path, tmp_path: Path) -> None:
    alone = scored("CAMO", camo, tmp_path / "alone.json", "--prompts", "oracle")
    data = tmp_path / "copy"
    shutil.copytree(camo, data)
    damaged = data / "Imgs" / "scene3.jpg"
    damaged.write_bytes(damaged.read_bytes()[:400])
    # accelerate starts several processes on a CPU only by MPI, or as if there were GPUs.
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "train.evaluate"]
    out = tmp_path / "together.json"
    options = ["--benchmark", "CAMO", "--data", str(data), "--json", str(out), "--prompts", "oracle", "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *launch, *options]
    # What the second process cannot read is reported by the first.
    partly = subprocess.run(command, cwd=ROOT, env=environment, check=False, stderr=subprocess.PIPE, text=True)
    assert partly.returncode != 0
    assert "1 of 4 questions could not be scored and are left out:\n  scene3: 'scene3.jpg' is damaged" in partly.stderr
    assert list(answers(out)) == ["scene0", "scene1", "scene2"]
    assert json.loads(out.read_text())["failed"] == 1
    shutil.copy(camo / "Imgs" / "scene3.jpg", damaged)
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    together = json.loads(out.read_text())
    assert together["circumstances"]["processes"] == 2
    assert without_times(together) | {"data": 0} == without_times(alone) | {"data": 0}
    assert list(answers(out)) == [f"scene{number}" for number in range(4)]
    assert all(load_mask(camo / "GT" / f"{stem}.png").any() for stem in answers(out))
