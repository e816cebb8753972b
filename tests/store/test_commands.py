"""``python -m segr1_app import | preannotate | stats | export | verify | backup``."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segr1_app.cli import main
from segr1_app.domain import Effort
from segr1_app.images.pictures import Picture
from segr1_app.models.effort import find_consensus
from segr1_app.models.pipeline import load_pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import ASSETS
from segr1_app.store import AnnotationStore, Task
from segr1_app.studio.preannotation import predict_tasks
from tests.store.values import corrected, picture, rectangle


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two pictures, one in a folder below, a broken one, a text; masks of 0 and 1 for one of them."""
    folder, masks = tmp_path / "photographs", tmp_path / "masks"
    (folder / "deep").mkdir(parents=True)
    masks.mkdir()
    Image.fromarray(picture(0).pixels).save(folder / "one.png")
    Image.fromarray(picture(1).pixels).save(folder / "deep" / "two.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "notes.txt").write_text("no picture")
    Image.fromarray(rectangle(0, 0, 9, 9).astype(np.uint8)).save(masks / "one.png")
    Image.fromarray(rectangle(0, 0, 9, 9)).save(masks / "nobody.png")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_folder_and_its_masks_are_imported(photographs: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = str(photographs.parent / "masks")
    for _ in range(2):
        assert main(["import", str(photographs), "--masks", masks, "--home", str(home), "--instruction", "it"]) == 1
        reported = capsys.readouterr()
        assert "2 records imported into" in reported.out
        assert "broken.png" in reported.err.splitlines()[-2]
        assert "no picture called nobody" in reported.err.splitlines()[-1]
        assert "| 0/3 [" in reported.err
    with AnnotationStore.open(home) as store:
        assert sorted(task.picture_name for task in store.tasks()) == ["one.png", "two.png"]
        truth = store.ground_truth(picture(0).sha256, "it")
        assert truth is not None
        assert np.array_equal(truth, rectangle(0, 0, 9, 9))
        assert store.ground_truth(picture(1).sha256, "it") is None


@pytest.mark.parametrize("more", [["--instruction", " "], ["--masks", "nowhere"], ["nowhere"]])
def test_a_mistyped_import_makes_no_data_folder(
    photographs: Path, home: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", *more, str(photographs), "--home", str(home)]) == 1
    assert capsys.readouterr().err
    assert not home.exists()


def test_another_true_mask_is_reported_and_is_not_a_failure(
    photographs: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = photographs.parent / "masks" / "one.png"
    command = ["import", str(photographs / "one.png"), "--masks", str(mask), "--home", str(home)]
    assert main(command) == 0
    assert "replaced another" not in capsys.readouterr().err
    Image.fromarray(rectangle(0, 0, 5, 5)).save(mask)
    assert main(command) == 0
    assert "one.png: its ground-truth mask replaced another one for" in capsys.readouterr().err.splitlines()[-1]


def test_a_report_lists_all_that_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        (tmp_path / "in" / f"broken {number}.png").parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"broken {number}.png").write_bytes(b"\x89PNG")
    command = ["import", str(tmp_path / "in"), "--home", str(tmp_path / "home")]
    assert main([*command, "--report", str(tmp_path / "report.txt")]) == 1
    reported = capsys.readouterr().err
    assert "... and 7 more like these" in reported
    lines = (tmp_path / "report.txt").read_text().splitlines()
    assert "12 records left out" in lines[0]
    assert sum("broken" in line for line in lines) == 12
    assert main([*command, "--report", str(tmp_path / "nowhere" / "report.txt")]) == 1
    assert "report.txt' cannot be written" in capsys.readouterr().err


@pytest.mark.slow
def test_an_archive_chooses_no_paths_and_fills_no_memory(
    photographs: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "pictures.zip"
    content = (photographs / "one.png").read_bytes()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("deep/<b>.png", content)
        file.writestr("__MACOSX/._one.png", b"resource fork")
        with file.open("bomb.png", "w", force_zip64=True) as bomb:
            for _ in range(520):
                bomb.write(bytes(2**20))
    before = set(tmp_path.rglob("*"))
    assert main(["import", str(archive), "--home", str(home)]) == 1
    reported = capsys.readouterr()
    assert "1 record imported" in reported.out
    assert "bomb.png: it has more than 512 MiB" in reported.err
    made = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(home) for path in made)
    with AnnotationStore.open(home) as store:
        assert [task.picture_name for task in store.tasks()] == ["<b>.png"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"PK\x05\x06" + bytes(18)])
def test_a_broken_archive_is_named(
    home: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.zip").write_bytes(content)
    assert main(["import", str(tmp_path / "bad.zip"), "--home", str(home)]) == 1
    assert "0 records" in capsys.readouterr().out


def test_a_round_through_every_command(
    photographs: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["import", str(photographs / "one.png"), "--home", str(home)])
    with AnnotationStore.open(home) as store:
        store.save(1, "ann\x1b[2J", corrected(rectangle(0, 0, 5, 5)))
    capsys.readouterr()
    assert main(["stats", "--home", str(home)]) == 0
    reported = capsys.readouterr().out
    assert "1 of 1 tasks are decided." in reported
    assert "\x1b" not in reported
    assert main(["stats", "--json", "--home", str(home)]) == 0
    assert json.loads(capsys.readouterr().out)["annotators"]["ann [2J"]["verdicts"]["fix"] == 1
    assert main(["export", "coco", str(tmp_path / "coco"), "--home", str(home)]) == 0
    assert main(["import", str(tmp_path / "coco"), "--home", str(tmp_path / "second")]) == 0
    assert main(["export", "jsonl", str(tmp_path / "all"), "--home", str(home)]) == 0
    assert main(["import", str(tmp_path / "all" / "store.jsonl"), "--home", str(tmp_path / "third")]) == 0
    assert main(["export", "hf", str(tmp_path / "hf"), "--home", str(home)]) == 0
    assert main(["import", str(tmp_path / "hf"), "--home", str(tmp_path / "fourth")]) == 0
    assert main(["backup", str(tmp_path / "copy"), "--home", str(home)]) == 0
    assert main(["verify", "--home", str(tmp_path / "copy")]) == 0
    assert "No problems in" in capsys.readouterr().out
    for stored in (tmp_path / "copy" / "pictures").iterdir():
        stored.unlink()
    assert main(["verify", "--home", str(tmp_path / "copy")]) == 1
    assert "cannot be read" in capsys.readouterr().out


def test_export_names_what_is_lost(
    photographs: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["import", str(photographs / "one.png"), "--home", str(home)])
    assert main(["export", "yolo", str(tmp_path / "yolo"), "--home", str(home)]) == 0
    assert "Note: Open tasks are left out (1 time)" in capsys.readouterr().err
    assert main(["export", "yolo", str(tmp_path / "yolo"), "--home", str(home)]) == 1
    assert "not empty" in capsys.readouterr().err


def test_a_task_that_the_policy_does_not_understand_is_named_and_left_open(
    photographs: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for animal in ("zebra", "okapi"):
        asked = f"Find the {animal}."
        main(["import", str(photographs / "one.png"), "--instruction", asked, "--home", str(home)])
    capsys.readouterr()
    assert main(["preannotate", "--home", str(home), "--device", "cpu"]) == 1
    reported = capsys.readouterr()
    assert "0 of 2 tasks predicted, 2 failed" in reported.out
    *_, first, second, understands = reported.err.splitlines()
    assert first == "Task 1: This policy was never taught 'zebra'."
    assert second == "Task 2: This policy was never taught 'okapi'."
    assert understands.startswith("This small policy understands ")
    with AnnotationStore.open(home) as store:
        assert store.task(1).prediction_id is None


@pytest.mark.slow
def test_predictions_are_made_once_and_again_for_another_checkpoint(
    photographs: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = str(photographs.parent / "masks")
    main(["import", str(photographs / "one.png"), str(photographs / "deep"), "--masks", masks, "--home", str(home)])
    for arguments, expected in (
        ([], "2 of 2 tasks predicted"),
        ([], "0 of 0"),
        (["--samples", "2"], "2 of 2"),
        (["--samples", "2", "--again"], "0 of 0"),
    ):
        assert main(["preannotate", "--home", str(home), "--device", "cpu", *arguments]) == 0
        assert expected in capsys.readouterr().out
    with AnnotationStore.open(home) as store:
        first, second = store.tasks()
        assert first.prediction_id is not None
        assert second.prediction_id is not None
        stored = store.prediction(first.prediction_id)
        assert stored.prediction.policy_id == "embedded policy"
        assert len(stored.checkpoint_hash) == 64
        assert first.disagreement is not None
        assert [sample.reward is None for sample in store.samples(first.prediction_id)] == [False, False]
        assert [sample.reward is None for sample in store.samples(second.prediction_id)] == [True, True]
        store.add_prediction(first.id, stored.prediction, "another checkpoint")
    assert main(["preannotate", "--home", str(home), "--device", "cpu", "--again", "--batch", "2"]) == 0
    assert "1 of 1" in capsys.readouterr().out
    with AnnotationStore.open(home) as store:
        for task in list(store.tasks()):
            store.add_prediction(task.id, stored.prediction, "another checkpoint")
    assert main(["preannotate", "--home", str(home), "--device", "cpu", "--again", "--batch", "2"]) == 0
    assert "2 of 2" in capsys.readouterr().out
    with AnnotationStore.open(home) as store:
        again = store.prediction(next(store.tasks()).prediction_id or 0)
        assert again.prediction.completion == stored.prediction.completion
        assert again.checkpoint_hash == stored.checkpoint_hash
        task = next(store.tasks())
        photograph = store.picture(task.sha256)
    pipeline = load_pipeline(models="embedded", device="cpu")
    first = pipeline.run(photograph, task.instruction)
    agreed = find_consensus(pipeline, photograph, first, Effort.CAREFUL, seed=task.id).prediction
    with AnnotationStore.open(home) as store:
        store.add_prediction(task.id, stored.prediction, "another checkpoint")
    assert main(["preannotate", "--home", str(home), "--device", "cpu", "--again", "--effort", "careful"]) == 0
    with AnnotationStore.open(home) as store:
        careful = store.prediction(next(store.tasks()).prediction_id or 0)
        assert careful.prediction.completion == agreed.completion
    assert main(["preannotate", "--home", str(home), "--batch", "0"]) == 1
    assert "--batch must be 1 or more" in capsys.readouterr().err
    assert main(["preannotate", "--home", str(home), "--samples", "1"]) == 1
    assert "2 or more" in capsys.readouterr().err


@pytest.mark.slow
def test_the_next_pictures_are_read_while_the_policy_writes(
    photographs: Path, home: Path, policy: VlmPolicy, segmenter: Sam2Segmenter
) -> None:
    main(["import", str(photographs / "one.png"), str(photographs / "deep"), "--home", str(home)])
    asked_for_more = threading.Event()

    class Waiting(VlmPolicy):
        def complete(self, asked: Sequence[tuple[Picture, str]]) -> list[str]:
            assert asked_for_more.wait(30), "nobody reads on"
            return super().complete(asked)

    waiting = Waiting(policy.model, policy.processor, "waiting", policy.card, policy.protocol)
    with AnnotationStore.open(home) as store:

        def tasks() -> Iterator[Task]:
            first, second = store.tasks()
            yield first
            asked_for_more.set()
            yield second

        assert predict_tasks(store, (waiting, segmenter), tasks(), "checkpoint", samples=0) == {}
        assert all(task.prediction_id for task in store.tasks())


@pytest.mark.slow
def test_two_processes_share_the_tasks(photographs: Path, home: Path) -> None:
    main(["import", str(photographs / "one.png"), str(photographs / "deep"), "--home", str(home)])
    # What accelerate launch does on several GPUs.
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--module", "segr1_app"]
    done = subprocess.run(
        [sys.executable, *launch, "preannotate", "--home", str(home), "--device", "cpu"],
        cwd=ASSETS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 of 1 tasks predicted") == 2
    with AnnotationStore.open(home) as store:
        assert all(task.prediction_id for task in store.tasks())
