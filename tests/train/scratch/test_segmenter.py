"""The segmenter's training: prompts are what they claim, it learns, resumes exactly and exports what it learned."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image
from safetensors.torch import load_file

from segr1_app.domain import Box, DatasetError, Mask, ObjectPrompt, Point, SettingsError
from segr1_app.images.pictures import load_picture
from segr1_app.models.segmenter import Sam2Segmenter
from train.data import prompting
from train.data.augment import augment
from train.data.pairs import draw_chances, hold_out, pack_pairs
from train.data.prompting import (
    PromptStyle,
    corrective_click,
    jitter_box,
    oracle_prompt,
    simulate_prompt,
    stack_prompts,
)
from train.scratch import segmenter
from train.scratch.run import Rates, TrainingBudget
from train.scratch.segmenter import SegmenterConfig, draw_batch, train_segmenter
from train.scratch.segmenter_model import ModelShape, decode_masks, encode, mask_loss, model_config, to_input

TINY = ModelShape(image_size=64, trunk_width=8, stages=(1, 1, 2, 1), d_model=32)


def disc(side: int, x: float, y: float, radius: float) -> Mask:
    rows, columns = np.mgrid[:side, :side]
    mask: Mask = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return mask


def write_pairs(folder: Path, count: int, seed: int = 0) -> Path:
    """Bright discs on a dark ground."""
    rng = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for i in range(count):
        mask = disc(64, *rng.uniform(20, 44, 2), rng.uniform(8, 18))
        pixels = rng.integers(20, 60, (64, 64, 3))
        pixels[mask] = (220, 120, 40)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{i:02}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("discs") / "discs", 12)


@pytest.fixture
def config(data: Path, tmp_path: Path) -> SegmenterConfig:
    """Six steps of the tiny model, reporting after each."""
    return SegmenterConfig(
        data=(data,),
        out=tmp_path / "run",
        cache=data.parent / "cache",
        budget=TrainingBudget(1, steps=6),
        batch=4,
        holdout=2,
        report_minutes=0,
        shape=TINY,
        device="cpu",
    )


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a run long enough to learn discs."""
    return train_segmenter(
        SegmenterConfig(
            data=(data,),
            out=tmp_path_factory.mktemp("trained"),
            cache=data.parent / "cache",
            budget=TrainingBudget(1, steps=60),
            batch=8,
            holdout=2,
            rates=Rates(peak=4e-3, weight_decay=0.05, average=0.9),
            shape=TINY,
            device="cpu",
        )
    )


class TestAugment:
    def test_picture_and_mask_stay_together(self) -> None:
        rng = np.random.default_rng(0)
        mask = disc(64, 25, 40, 9)
        pixels = np.where(mask[..., None], 200, 40).astype(np.uint8).repeat(3, axis=2)
        for _ in range(50):
            seen, found = augment(pixels, mask.astype(np.uint8) * 255, rng)
            assert found.any()
            inside = cv2.erode(found.astype(np.uint8), np.ones((5, 5))) > 0
            outside = cv2.dilate(found.astype(np.uint8), np.ones((5, 5))) == 0
            brightness = seen.astype(float).mean(axis=2)
            assert brightness[inside].min() > brightness[outside].max()

    def test_views_differ_and_small_objects_become_large(self) -> None:
        rng = np.random.default_rng(0)
        mask = disc(64, 25, 40, 5).astype(np.uint8) * 255
        shares = [augment(np.zeros((64, 64, 3), np.uint8), mask, rng)[1].mean() for _ in range(40)]
        assert max(shares) > 4 * (mask > 127).mean()
        assert len({round(share, 4) for share in shares}) > 20

    def test_close_views_show_the_object_and_a_margin(self) -> None:
        rng = np.random.default_rng(0)
        mask = disc(64, 25, 40, 9).astype(np.uint8) * 255
        shares = [augment(np.zeros((64, 64, 3), np.uint8), mask, rng, close=1.0)[1].mean() for _ in range(40)]
        # A disc fills pi / 4 of its box, which its window is 1.1 to 1.6 times as long as, box errors aside.
        assert all(np.pi / 4 / (1.6 * 1.3) ** 2 < share < np.pi / 4 / (1.1 * 0.7) ** 2 for share in shares)


class TestPrompts:
    @pytest.mark.parametrize("style", prompting.STYLES)
    def test_boxes_are_valid_and_points_lie_where_they_say(self, style: PromptStyle) -> None:
        rng = np.random.default_rng(1)
        honest = dataclasses.replace(style, wrong=0.0)
        for mask in (disc(64, 30, 30, 12), disc(64, 2, 60, 6), disc(64, 32, 32, 60), disc(64, 9, 9, 0)):
            for _ in range(20):
                prompt = simulate_prompt(mask, rng, (honest,))
                assert (prompt.box is None) == (style.box_error is None)
                if prompt.box:
                    assert 0 <= prompt.box.x1 < prompt.box.x2 <= 64
                    assert 0 <= prompt.box.y1 < prompt.box.y2 <= 64
                for point in prompt.points:
                    assert mask[int(point.y), int(point.x)] == bool(point.label)
                positives = sum(point.label for point in prompt.points)
                assert style.positives[0] <= positives <= style.positives[1]
                assert len(prompt.points) - positives <= style.negatives[1]

    def test_some_points_are_wrong_as_often_as_asked(self) -> None:
        rng, mask = np.random.default_rng(2), disc(64, 30, 30, 12)
        style = PromptStyle(1.0, 0.1, (4, 4), (2, 2), wrong=0.25)
        points = [point for _ in range(200) for point in simulate_prompt(mask, rng, (style,)).points]
        wrong = [mask[int(point.y), int(point.x)] != bool(point.label) for point in points]
        assert np.mean(wrong) == pytest.approx(0.25, abs=0.05)

    def test_a_jittered_box_is_off_by_no_more_than_asked(self) -> None:
        rng, box = np.random.default_rng(3), Box(20, 10, 40, 50)
        moved = np.array([jitter_box(box, 0.3, (64, 64), rng).xyxy for _ in range(300)]) - box.xyxy
        assert (np.abs(moved) <= [6, 12, 6, 12]).all()
        assert (np.abs(moved).max(axis=0) > [5, 10, 5, 10]).all()
        assert jitter_box(Box(63, 0, 64, 1), 0.3, (64, 64), rng).area >= 4

    def test_the_oracle_boxes_the_whole_mask_and_points_at_its_depth(self) -> None:
        mask = disc(64, 20, 20, 10) | disc(64, 50, 50, 4)
        prompt = oracle_prompt(mask)
        assert prompt.box == Box(10, 10, 55, 55)
        (point,) = prompt.points
        assert point.label == 1
        assert np.hypot(point.x - 20, point.y - 20) < 2

    def test_a_part_of_several_may_be_asked_for(self) -> None:
        rng = np.random.default_rng(4)
        parts = [disc(64, 15, 15, 8), disc(64, 45, 45, 8)]
        both = parts[0] | parts[1]
        seen = [prompting.target_of(both, rng) for _ in range(60)]
        whole = sum(np.array_equal(mask, both) for mask in seen)
        assert 30 < whole < 50
        assert all(any(np.array_equal(mask, known) for known in (both, *parts)) for mask in seen)
        crumbs = np.zeros((64, 64), bool)
        crumbs[::4, ::4] = True  # 256 equal parts, none a tenth of the whole
        assert min(prompting.target_of(crumbs, rng).sum() for _ in range(30)) == 1

    def test_the_click_goes_to_the_middle_of_the_largest_error(self) -> None:
        truth = disc(64, 20, 20, 10)
        assert corrective_click(truth, truth) is None
        missed = corrective_click(np.zeros_like(truth), truth)
        assert missed is not None
        assert (missed.label, truth[int(missed.y), int(missed.x)]) == (1, True)
        spill = corrective_click(truth & (np.arange(64) != 20) | disc(64, 50, 50, 6), truth)
        assert spill is not None
        assert spill.label == 0
        assert np.hypot(spill.x - 50, spill.y - 50) < 2

    def test_prompts_are_stacked_box_first_as_the_predictor_does(self) -> None:
        coordinates, labels = stack_prompts(
            [ObjectPrompt(Box(1, 2, 3, 4), (Point(5, 6, 1), Point(7, 8, 0))), ObjectPrompt(None, (Point(9, 9, 1),))]
        )
        assert labels.tolist() == [[2, 3, 1, 0], [1, -1, -1, -1]]
        assert coordinates[0].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]


class TestLoss:
    def test_a_right_answer_costs_least_and_only_the_best_of_three_learns(self) -> None:
        truth = torch.from_numpy(disc(32, 16, 16, 8).astype(np.float32))[None, None]
        right = (torch.nn.functional.avg_pool2d(truth, 2) - 0.5) * 20
        logits = torch.cat([right, right, -right, 0 * right], dim=1).requires_grad_()
        quality = torch.tensor([[0.9, 0.9, 0.1, 0.1]])
        loss, fine = mask_loss(logits, quality, truth)
        assert fine.shape == truth.shape
        assert loss < mask_loss(-logits.detach(), quality, truth)[0]
        assert loss < mask_loss(logits.detach(), 1 - quality, truth)[0]
        loss.backward()
        assert logits.grad is not None
        touched = logits.grad.abs().sum(dim=(0, 2, 3)) > 0
        assert touched.tolist() == [True, True, False, False]


class TestDrawing:
    def test_named_sets_get_their_share_and_held_out_pairs_are_never_drawn(self, data: Path, tmp_path: Path) -> None:
        camo = write_pairs(tmp_path / "camo_train", 4)
        pairs = pack_pairs([data, camo], 64, tmp_path / "cache")
        held_out = hold_out(pairs, range(len(pairs)), 5)
        assert sum(pairs.datasets[i] == "camo_train" for i in held_out) == 2
        assert held_out == hold_out(pairs, range(len(pairs)), 5)
        chances = draw_chances(pairs, [i for i in range(len(pairs)) if i not in held_out], {"camo_train": 0.2})
        assert chances[held_out].sum() == 0
        assert chances.sum() == pytest.approx(1)
        assert chances[pairs.datasets == "camo_train"].sum() == pytest.approx(0.2)
        with pytest.raises(DatasetError, match="16 pairs"):
            draw_chances(pairs, [], {})

    def test_a_step_draws_the_same_batch_again_and_another_step_another(self, config: SegmenterConfig) -> None:
        pairs = pack_pairs(config.data, 64, config.cache)
        chances = np.full(len(pairs), 1 / len(pairs))
        first, again, other = (draw_batch(pairs, chances, config, step) for step in (3, 3, 4))
        assert first.prompts == again.prompts != other.prompts
        assert torch.equal(first.truth, again.truth)
        assert len(first.prompts) == len(first.truth) == config.prompts * len(first.pictures)


class TestTraining:
    def test_every_parameter_of_use_gets_a_gradient(self, config: SegmenterConfig) -> None:
        pairs = pack_pairs(config.data, 64, config.cache)
        torch.manual_seed(0)
        model = instantiate(model_config(TINY).model).train()
        for step in range(4):
            batch = draw_batch(pairs, np.full(len(pairs), 1 / len(pairs)), config, step)
            segmenter.prompts_loss(model, batch, 1, feed_masks=True).backward()
        still = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
        assert still == {"maskmem_tpos_enc", "no_mem_pos_enc"}, (
            "only the memory of earlier frames has no use in pictures"
        )

    @pytest.mark.slow
    def test_it_learns_discs(self, trained: Path) -> None:
        (point,) = json.loads((trained.parent / "curve.json").read_text())
        assert point["steps"] == 60
        assert point["salient_iou_0_clicks"] > 0.75

    @pytest.mark.slow
    def test_a_resumed_run_equals_one_that_never_stopped(
        self, config: SegmenterConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train_segmenter(config)
        stopped = dataclasses.replace(config, out=config.out.with_name("stopped"))

        def interrupted(*args: object) -> segmenter.Batch:
            if args[-1] == 3:
                raise KeyboardInterrupt
            return draw_batch(*args)  # type: ignore[arg-type]

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
            patch.setattr(segmenter, "draw_batch", interrupted)
            train_segmenter(stopped)
        train_segmenter(stopped, resume=True)
        whole, resumed = (torch.load(c.out / "checkpoint.pt", weights_only=True) for c in (config, stopped))
        assert whole["step"] == resumed["step"] == 6
        for part in ("model", "averaged"):
            assert all(torch.equal(value, resumed[part][name]) for name, value in whole[part].items())
        assert [point["loss"] for point in whole["curve"]] == [point["loss"] for point in resumed["curve"]]

    @pytest.mark.slow
    def test_the_exported_folder_answers_like_the_trained_model(self, trained: Path, data: Path) -> None:
        loaded = Sam2Segmenter.load(trained, device="cpu")
        picture = load_picture(data / "images" / "00.png")
        prompt = ObjectPrompt(Box(14, 14, 50, 50), (Point(32, 32, 1), Point(5, 5, 0)))
        (answer,) = loaded.decode(loaded.encode(picture), [prompt])
        model = instantiate(model_config(TINY).model).eval()
        model.load_state_dict(load_file(trained / "model.safetensors"))
        with torch.no_grad():
            features = encode(model, to_input(picture.pixels[None], torch.device("cpu")))
            logits, quality = decode_masks(model, features, [prompt])
        upsampled = torch.nn.functional.interpolate(logits[:, :1], (64, 64), mode="bilinear", align_corners=False)
        assert answer.mask.any()
        assert np.array_equal(answer.mask, (upsampled[0, 0] > 0).numpy())
        assert answer.confidence == pytest.approx(quality[0, 0].item(), abs=1e-5)

    @pytest.mark.slow
    def test_a_start_goes_on_from_exported_weights(self, config: SegmenterConfig, trained: Path) -> None:
        still = Rates(peak=0, weight_decay=0.05, average=0.9)
        again = train_segmenter(
            dataclasses.replace(config, start=trained, budget=TrainingBudget(1, steps=1), rates=still)
        )
        before, after = (load_file(folder / "model.safetensors") for folder in (trained, again))
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        wider = dataclasses.replace(config, start=trained, shape=dataclasses.replace(TINY, d_model=64))
        with pytest.raises(SettingsError, match="another shape"):
            train_segmenter(wider)

    def test_what_cannot_be_trained_is_said(self, config: SegmenterConfig) -> None:
        with pytest.raises(SettingsError, match="no checkpoint"):
            train_segmenter(config, resume=True)
        with pytest.raises(SettingsError, match="multiple of 32"):
            ModelShape(image_size=100)
        with pytest.raises(SettingsError, match="budget"):
            TrainingBudget(1, steps=0)
