"""Fine-tuning a segmenter: its views, that it learns from corrections, and that a kill loses nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra import compose
from hydra.utils import instantiate
from safetensors.torch import load_file
from torch.nn.functional import interpolate

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point
from segr1_app.metrics import iou
from segr1_app.models.embeddings import EmbeddingFolder
from segr1_app.models.predictor import encoder_identity
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.models.zoom import Window, prompt_in_window
from segr1_app.rewards import Truth
from segr1_app.settings.config import DEFAULT_SEGMENTER
from segr1_app.store import RejectReason, Verdict
from tests.train.data.test_rows import save
from train import sam2
from train.data.feedback import feedback_rows, useless_for_segmenter
from train.data.prompting import oracle_prompt
from train.data.rows import Example, Row, scene_rows
from train.data.scenes import draw_scene
from train.finetune.segmenter.encoding import AdaptedEncoder, FrozenEncoder
from train.finetune.segmenter.scores import score_objects
from train.finetune.segmenter.tuning import FROZEN, SegmenterTuning, Tuning
from train.finetune.segmenter.views import Viewer, targets, truth_in_window
from train.scratch.segmenter_model import Features, decode_masks

ROOT = Path(__file__).parents[3]
PROMPT = ObjectPrompt(Box(20, 30, 60, 90), (Point(40, 50, 1), Point(5, 5, 0)))


@pytest.fixture
def fresh() -> Sam2Segmenter:
    """A segmenter of the test's own, as training changes it."""
    return Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu")


def wide(seed: int) -> Example:
    """A scene whose right answer is its object and 8 px around it: a convention that the segmenter does not know."""
    scene = draw_scene("salient", seed)
    mask = cv2.dilate(scene.mask.astype(np.uint8), np.ones((17, 17), np.uint8)).astype(bool)
    return Example(scene.picture, Truth(mask, objects=(mask,)))


def wide_rows(count: int, first: int = 0) -> tuple[Row, ...]:
    return tuple(
        Row(wide(seed).picture.sha256, "wide", "fix", "with its rim", partial(wide, seed))
        for seed in range(first, first + count)
    )


def correct(home: Path, number: int, verdict: Verdict, reason: RejectReason | None = None) -> None:
    """Somebody's decision on a generated scene."""
    scene = draw_scene("salient", number)
    save(home, scene.picture, scene.mask if verdict is Verdict.FIX else None, verdict, reason)


class TestViews:
    def test_an_annotators_prompt_belongs_to_its_object(self) -> None:
        scene = draw_scene("salient", 3)
        other = np.roll(scene.mask, 5, axis=0)
        both = Example(scene.picture, Truth(scene.mask | other, objects=(scene.mask, other), prompts=(PROMPT, PROMPT)))
        assert [target.prompt for target in targets(both)] == [PROMPT, PROMPT]
        # One of the prompts was without a mask: which one is no longer known.
        one = Example(scene.picture, Truth(scene.mask, objects=(scene.mask,), prompts=(PROMPT, PROMPT)))
        assert [target.prompt for target in targets(one)] == [None]
        painted = Example(scene.picture, Truth(scene.mask, objects=(scene.mask,), prompts=(ObjectPrompt(None),)))
        assert [target.prompt for target in targets(painted)] == [None]
        with pytest.raises(ValueError, match="without a mask"):
            targets(Example(scene.picture, Truth()))

    def test_a_truth_in_its_window_keeps_area_and_place(self) -> None:
        mask = np.zeros((100, 200), dtype=bool)
        mask[20:60, 50:100] = True
        whole = truth_in_window(mask, Window(0, 0, 200, 100), 50)
        assert whole.mean() == pytest.approx(mask.mean(), abs=1e-6)
        part = truth_in_window(mask, Window(50, 20, 100, 40), 20)
        assert (part[:, :10] == 1).all()
        assert (part[:, 10:] == 0).all()

    def test_the_training_decodes_what_the_app_shows(self, fresh: Sam2Segmenter, tmp_path: Path) -> None:
        scene = draw_scene("camouflaged", 4)
        prompt = oracle_prompt(scene.mask)
        window = fresh.window(prompt, scene.picture.size)
        assert window is not None
        side = fresh.input_side
        seen = fresh.encode_window(scene.picture, window, EmbeddingFolder(tmp_path))
        with torch.no_grad():
            logits, _ = decode_masks(
                fresh.model,
                Features(seen.image_embed, seen.high_res),
                [prompt_in_window(prompt, window, ImageSize(side, side))],
            )
        fine = interpolate(logits[:, :1], (window.height, window.width), mode="bilinear", align_corners=False)
        found = np.zeros(scene.mask.shape, dtype=bool)
        found[window.top : window.top + window.height, window.left : window.left + window.width] = fine[0, 0] > 0
        assert iou(found, fresh.segment(scene.picture, [prompt])[0].mask) > 0.98

    def test_the_same_draw_is_the_same_view_and_is_encoded_once(self, fresh: Sam2Segmenter, tmp_path: Path) -> None:
        encoder = FrozenEncoder(fresh, EmbeddingFolder(tmp_path))
        one, other = (Viewer(scene_rows(4).rows, fresh, 0).draw(1, 7, 3) for _ in range(2))
        assert one.prompt == other.prompt
        assert torch.equal(encoder.features([one]).embed, encoder.features([other]).embed)
        assert len([*tmp_path.rglob("*.safetensors")]) == 1


class TestFeedback:
    def test_what_the_segmenter_got_wrong_is_what_it_learns(self, tmp_path: Path) -> None:
        correct(tmp_path, 1, Verdict.FIX)
        correct(tmp_path, 2, Verdict.REJECT, RejectReason.SEGMENTER)
        found = feedback_rows(tmp_path, useless=useless_for_segmenter)
        assert [row.verdict for row in found.rows] == ["fix"]
        assert [entry.reason for entry in found.left_out] == ["the correct mask of a reject is unknown"]


class TestLearning:
    def test_it_learns_from_corrections_and_leaves_the_encoder_alone(
        self, fresh: Sam2Segmenter, tmp_path: Path
    ) -> None:
        held_out = wide_rows(6, 100)
        before = score_objects(fresh, held_out)
        weights = {name: value.clone() for name, value in fresh.model.state_dict().items()}
        encoder = encoder_identity(fresh.predictor)
        tuning = Tuning(max_steps=40, batch=4, clicks=1, learning_rate=1e-3, average=0.9)
        order = [index % 12 for index in range(tuning.max_steps * tuning.batch)]
        losses: list[float] = []
        SegmenterTuning(
            fresh, wide_rows(12), order, tuning, folder=tmp_path, embeddings=EmbeddingFolder(tmp_path / "maps")
        ).run(lambda values: losses.append(values["loss"]))
        assert np.mean(losses[-8:]) < np.mean(losses[:8])
        after = score_objects(fresh, held_out)
        assert np.mean([score.iou for score in after]) > np.mean([score.iou for score in before]) + 0.05
        changed = {name for name, value in fresh.model.state_dict().items() if not torch.equal(value, weights[name])}
        assert changed
        # Embeddings that were kept before are those of the new segmenter, too.
        assert encoder_identity(fresh.predictor) == encoder
        assert all(name.startswith(("sam_prompt_encoder.", "sam_mask_decoder.")) for name in changed)
        assert not any(name.removeprefix("sam_mask_decoder.").startswith(FROZEN) for name in changed)


class TestAdapters:
    def test_an_encoder_whose_adapters_have_learnt_nothing_sees_what_the_app_sees(
        self, fresh: Sam2Segmenter, tmp_path: Path
    ) -> None:
        views = [Viewer(scene_rows(4).rows, fresh, 0).draw(index, 0, 0) for index in range(2)]
        frozen = FrozenEncoder(fresh, EmbeddingFolder(tmp_path)).features(views)
        adapted = AdaptedEncoder(fresh, 4).features(views)
        # The folder keeps half precision.
        for one, other in zip((frozen.embed, *frozen.high_res), (adapted.embed, *adapted.high_res), strict=True):
            assert torch.allclose(one, other, atol=0.01, rtol=0.01)

    def test_they_end_in_the_encoders_own_weights_and_a_resumed_training_ends_with_the_same(
        self, fresh: Sam2Segmenter, tmp_path: Path
    ) -> None:
        names = list(fresh.model.state_dict())
        tuning = Tuning(max_steps=4, save_steps=2, batch=2, clicks=0, learning_rate=1e-3, rank=4)
        ends = []
        for stops in (False, True):
            folder = tmp_path / str(stops)
            folder.mkdir()
            segmenters = [Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu") for _ in range(1 + stops)]
            for number, segmenter in enumerate(segmenters):
                training = SegmenterTuning(
                    segmenter, wide_rows(4), [0, 1, 2, 3] * 2, tuning, folder=folder, embeddings=EmbeddingFolder(folder)
                )
                training.resume()
                if number + 1 < len(segmenters):
                    with pytest.raises(KeyboardInterrupt):
                        training.run(interrupting)
                else:
                    training.run(lambda _: None)
            ends.append(segmenters[-1].model.state_dict())
        one, other = ends
        assert list(one) == names
        assert all(torch.equal(value, other[name]) for name, value in one.items())
        changed = {name for name, value in fresh.model.state_dict().items() if not torch.equal(value, one[name])}
        assert any(name.startswith("image_encoder.trunk.") for name in changed)
        assert any(name.startswith("image_encoder.neck.") for name in changed)


def interrupting(values: dict[str, float]) -> None:
    if values["step"] == 3:
        raise KeyboardInterrupt


def command(out: Path, *more: str) -> list[str]:
    options = ["--max-steps", "6", "--save-steps", "2", "--batch", "2", "--clicks", "1", "--held-out-rows", "2"]
    home = ["--home", str(out.parent / "home"), "--output-dir", str(out), "--device", "cpu", "--threads", "1"]
    return [*options, *home, *more]


class TestCommand:
    def test_a_run_ends_with_a_segmenter_that_the_app_loads(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        out, home = tmp_path / "run", tmp_path / "home"
        home.mkdir()
        for number in (1, 2):
            correct(home, number, Verdict.FIX)
        assert sam2.main(command(out, "--include-feedback")) == 0
        printed = capsys.readouterr().out
        assert f"app.py --segmenter {out / 'segmenter'}" in printed
        assert "corrections" in printed
        loaded = Sam2Segmenter.load(out / "segmenter", device="cpu")
        shipped = Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu")
        assert (loaded.zoom, loaded.clean) == (shipped.zoom, shipped.clean)
        manifest = json.loads((out / "manifest.json").read_text())
        assert {entry["side"] for entry in manifest["corrections"].values()} == {"train", "held out"}
        assert set(json.loads((out / "result.json").read_text())["held_out"]) == {"scenes", "feedback"}
        assert not (out / "embeddings").exists()
        assert sam2.main(command(out)) == 1
        assert "already contains a training run" in caplog.text

    def test_a_plan_leaves_nothing_behind(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert sam2.main(command(tmp_path / "run", "--plan")) == 0
        assert "scenes" in capsys.readouterr().out
        assert not [*tmp_path.iterdir()]

    def test_a_mistyped_home_is_refused(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        assert sam2.main(command(tmp_path / "run", "--include-feedback")) == 1
        assert str(tmp_path / "home") in caplog.text
        assert not [*tmp_path.iterdir()]

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--lr", "0"),
            ("--lr", "inf"),
            ("--batch", "two"),
            ("--seed", "-1"),
            ("--average", "1"),
            ("--clicks", "-1"),
            ("--held-out-rows", "0"),
            ("--threads", "0"),
            ("--threads", "999999999"),
            ("--rank", "-1"),
            ("--rank", "full"),
        ],
    )
    def test_a_wrong_value_is_named(
        self, tmp_path: Path, option: str, value: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert sam2.main(command(tmp_path / "run", f"{option}={value}")) == 1
        assert f"{option} {value}" in caplog.text

    @pytest.mark.parametrize(("option", "value"), [("--segmenter", "/nowhere"), ("--device", "abacus")])
    def test_the_plan_refuses_what_the_training_would(
        self, tmp_path: Path, option: str, value: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert sam2.main(command(tmp_path / "run", "--plan", f"{option}={value}")) == 1
        assert f"'{value}'" in caplog.text

    @pytest.mark.slow
    def test_killed_twice_it_ends_with_the_very_same_weights(self, tmp_path: Path) -> None:
        def start(out: Path, *more: str) -> subprocess.Popen[bytes]:
            return subprocess.Popen([sys.executable, "-m", "train.sam2", *command(out, *more)], cwd=ROOT)

        assert start(tmp_path / "whole").wait() == 0
        killed = tmp_path / "killed"
        for resume, awaited in ((False, "before.json"), (True, "checkpoint.pt")):
            process = start(killed, *(["--resume"] if resume else []))
            while not (killed / awaited).exists():
                assert process.poll() is None
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert start(killed, "--resume").wait() == 0
        one, other = (load_file(run / "segmenter" / "model.safetensors") for run in (tmp_path / "whole", killed))
        assert all(torch.equal(value, other[name]) for name, value in one.items())
        steps = [json.loads(line)["step"] for line in (killed / "metrics.jsonl").read_text().splitlines()]
        assert steps == [1, 2, 3, 4, 5, 6]

    @pytest.mark.slow
    def test_an_original_checkpoint_stays_one(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        model = instantiate(compose(config_name="configs/sam2.1/sam2.1_hiera_t.yaml").model, _recursive_=True)
        source = tmp_path / "tiny"
        source.mkdir()
        torch.save({"model": model.state_dict()}, source / "sam2.1_hiera_tiny.pt")
        out = tmp_path / "run"
        assert sam2.main([*command(out), "--segmenter", str(source), "--max-steps", "1"]) == 0
        loaded = Sam2Segmenter.load(out / "segmenter", device="cpu").model.state_dict()
        assert loaded.keys() == model.state_dict().keys()
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, loaded[name])}
        assert changed
        assert all(name.startswith(("sam_prompt_encoder.", "sam_mask_decoder.")) for name in changed)
