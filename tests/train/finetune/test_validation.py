"""The best checkpoint, early stopping, and the caveats of a table of held-out rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from transformers import TrainerControl, TrainerState

from segr1_app.domain import DatasetError, ObjectMask, SettingsError
from segr1_app.files.json_files import read_json
from segr1_app.geometry import mask_box
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.rewards import SEG_R1
from segr1_app.store import Verdict
from tests.train.data.test_rows import row, save
from tests.train.test_grpo import tiny, write_config  # noqa: F401 - a fixture
from train import grpo
from train.data.rows import Collected, scene_rows, split
from train.data.scenes import draw_scene
from train.evaluation.intervals import grouped_interval, mean_interval
from train.finetune.finetuning import check_reward
from train.finetune.heldout import HeldOutScores, changes, comparison, score_held_out
from train.finetune.prompt_check import check_prompts
from train.finetune.run_folder import RunFolder
from train.finetune.trl_reward import Answerer
from train.finetune.validation import Validation, best_step, gave_up, part_rows, validated


class TestChoice:
    def test_the_best_checkpoint_is_the_latest_of_the_best(self) -> None:
        found = {0: 2.0, 10: 1.0, 20: 1.5, 30: 1.5, 40: 1.2}
        assert best_step(found, [10, 20, 30, 40]) == 30
        assert best_step({}, [10, 20]) == 20
        assert best_step(found, [40, 50]) == 40

    def test_where_no_step_was_better_than_the_warm_up_its_policy_is_the_new_one(self, tmp_path: Path) -> None:
        run = RunFolder(tmp_path)
        for step in (10, 20):
            (tmp_path / f"checkpoint-{step}").mkdir()
        assert run.best_checkpoint(or_start=True) == tmp_path / "checkpoint-20", "nothing was validated"

        def validated_as(*values: float) -> None:
            lines = [{"step": 10 * place, "validation/reward": value} for place, value in enumerate(values)]
            run.metrics.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

        validated_as(1.2, 1.1, 1.0)
        assert run.best_checkpoint(or_start=True) is None
        assert run.best_checkpoint() == tmp_path / "checkpoint-10", "without a warm-up that was the old policy"
        validated_as(1.1, 1.1, 1.0)
        assert run.best_checkpoint(or_start=True) == tmp_path / "checkpoint-10"

    def test_it_gives_up_after_so_many_without_a_better_one(self) -> None:
        assert not gave_up({0: 1.0, 10: 1.2, 20: 1.1}, 2)
        assert gave_up({0: 1.0, 10: 1.2, 20: 1.1, 30: 1.1}, 2)
        assert gave_up({0: 1.0, 10: 1.0, 20: 1.0}, 2), "no better is not better"
        assert not gave_up({0: 1.0, 10: 0.9, 20: 0.9}, 0)
        assert not gave_up({}, 2)

    def test_what_is_validated_is_not_what_is_reported(self) -> None:
        rows = [row(number, feedback=number % 2 == 0) for number in range(40)]
        scored, during = part_rows(rows, 10, 6)
        assert len(scored) == 20
        assert len(during) == 12
        assert not {one.image_id for one in scored} & {one.image_id for one in during}
        # One held-out correction is reported, and none is left to validate by.
        assert [len(side) for side in part_rows([row(0, feedback=True)], 10, 6)] == [1, 0]

    def test_a_training_that_gets_no_better_is_stopped_and_goes_on_alike(self, tmp_path: Path) -> None:
        rewards = iter([1.0, 1.5, 1.4, 1.3])
        metrics = tmp_path / "metrics.jsonl"

        def score() -> dict[str, HeldOutScores | None]:
            return {"pairs": HeldOutScores(3, next(rewards), 0.5, 0.5, 1.0), "feedback": None}

        def step(callback: Validation, number: int) -> bool:
            state, control = TrainerState(global_step=number, is_world_process_zero=True), TrainerControl()
            callback.on_save(SimpleNamespace(), state, control)  # type: ignore[arg-type]
            return control.should_training_stop

        first = Validation(metrics, score, patience=2)
        first.on_train_begin(SimpleNamespace(), TrainerState(is_world_process_zero=True), TrainerControl())  # type: ignore[arg-type]
        assert [step(first, number) for number in (1, 2)] == [False, False]
        # Another process, after an interruption.
        again = Validation(metrics, score, patience=2)
        again.on_train_begin(SimpleNamespace(), TrainerState(global_step=2), TrainerControl())  # type: ignore[arg-type]
        assert step(again, 3)
        assert validated(metrics) == pytest.approx({0: 1.0, 1: 1.5, 2: 1.4, 3: 1.3})


class TestTables:
    def test_intervals_are_those_of_the_bootstrap(self) -> None:
        values = np.random.default_rng(3).normal(0.5, 0.2, 60).tolist()
        interval = mean_interval(values)
        assert interval is not None
        half = 1.96 * np.std(values) / np.sqrt(60)
        assert interval == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=0.01)
        assert mean_interval([0.5]) is None
        assert mean_interval([0.5, 0.5]) == (0.5, 0.5)

    def test_values_that_depend_on_each_other_are_drawn_together(self) -> None:
        """Sixty values carry as much information as there are groups."""
        rng = np.random.default_rng(3)
        alone = rng.normal(0.5, 0.2, 60).tolist()
        apart = grouped_interval(alone, [str(number) for number in range(60)])
        assert apart == pytest.approx(mean_interval(alone), abs=0.01)
        repeated = grouped_interval(alone * 10, [str(number) for number in range(60)] * 10)
        assert repeated == pytest.approx(apart)
        assert grouped_interval(alone, ["one film"] * 60) is None
        with pytest.raises(ValueError, match="zip"):
            grouped_interval(alone, ["a"])

    def test_changes_are_row_by_row_and_few_rows_are_a_warning(
        self, policy: VlmPolicy, segmenter: Sam2Segmenter
    ) -> None:
        rows = scene_rows(3).rows
        before = score_held_out(Answerer(policy, segmenter), rows, SEG_R1)
        after = json.loads(json.dumps(before.as_record()))
        for answer in after["answers"]:
            answer["iou"] += 0.1
        found = changes(json.loads(json.dumps(before.as_record())), after)
        assert found["pairs"]["iou"].mean == pytest.approx(0.1)
        assert found["pairs"]["iou"].count == 3
        assert found["pairs"]["reward"].mean == 0
        assert before.scores["pairs"] is not None
        assert set(before.scores["pairs"].intervals) == {"reward", "s_measure", "iou"}
        text = comparison(before.scores, before.scores, found)
        assert "iou +0.100 [" in text
        assert "Only 3 of pairs" in text

    def test_held_out_answers_are_as_long_as_in_training(self, policy: VlmPolicy, segmenter: Sam2Segmenter) -> None:
        rows = scene_rows(1).rows
        whole = score_held_out(Answerer(policy, segmenter), rows, SEG_R1).answers[0]
        short = score_held_out(Answerer(policy, segmenter, max_tokens=5), rows, SEG_R1).answers[0]
        assert whole.completion.startswith(short.completion)
        assert len(short.completion) < len(whole.completion) / 2


class TestPromptCheck:
    def test_the_reward_of_the_app_tells_prompts_apart(self, segmenter: Sam2Segmenter) -> None:
        found = check_prompts(scene_rows(6).rows, segmenter)
        assert found is not None
        assert found.tells_apart
        assert found.true > 0.6
        assert found.corner < 0.1

    def test_a_segmenter_that_does_not_listen_needs_anyway(self) -> None:
        scenes = scene_rows(10).rows
        truths = {one.image_id: one.load().truth.mask for one in scenes}

        class Deaf:
            def segment(self, picture: object, objects: object, **_: object) -> tuple[ObjectMask, ...]:  # noqa: ARG002
                return (ObjectMask(truths[picture.sha256], 1.0),)  # type: ignore[attr-defined, arg-type]

        found = check_prompts(scenes, Deaf())  # type: ignore[arg-type]
        assert found is not None
        assert not found.tells_apart
        plan = split(scene_rows(10), 0.2)
        with pytest.raises(SettingsError, match="--anyway"):
            check_reward(plan, Deaf(), anyway=False)  # type: ignore[arg-type]
        check_reward(plan, Deaf(), anyway=True)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_says_what_it_was_made_of_and_is_extended_in_a_folder_of_its_own(
    tiny: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    home, one, longer = tmp_path / "home", tmp_path / "one", tmp_path / "longer"
    for seed in range(4):
        scene = draw_scene("camouflaged", 100 + seed)
        assert mask_box(scene.mask)
        save(home, scene.picture, scene.mask, Verdict.FIX)
    asked = ["--config", str(write_config(tmp_path, tiny, max_steps=2)), "--home", str(home), "--device", "cpu"]
    asked += ["--include-feedback"]
    assert grpo.main([*asked, "--output-dir", str(one)]) == 0
    manifest = read_json(one / "manifest.json")["corrections"]
    assert len(manifest) == 4
    sides = {entry["side"] for entry in manifest.values()}
    assert sides == {"train", "held out"}
    assert all(entry["draws"] == 0 for entry in manifest.values() if entry["side"] == "held out")
    assert 0 in validated(one / "metrics.jsonl")
    card = (one / "policy" / "README.md").read_text()
    assert "held out" in card
    assert "trl" not in card.lower()
    assert not (one / "checkpoint-2" / "README.md").exists()
    result = read_json(one / "result.json")
    assert result["exported_step"] == int(RunFolder(one).best_checkpoint().name.rpartition("-")[2])
    assert set(result["changes"]) == {"pairs", "feedback"}
    policy = (one / "policy" / "model.safetensors").read_bytes()
    assert grpo.main([*asked, "--extend", str(tmp_path / "none"), "--output-dir", str(longer)]) == 1
    assert grpo.main([*asked, "--extend", str(one), "--max-steps", "1", "--output-dir", str(longer)]) == 0
    assert read_json(longer / "config.json")["segments"] == [2, 1]
    assert (longer / "warm-up" / "policy").is_dir()
    assert not (longer / "warm-up" / "metrics.jsonl").exists(), "supervised steps are not made again"
    assert read_json(longer / "result.json")["steps"] == 3
    assert (one / "policy" / "model.safetensors").read_bytes() == policy
    shutil.rmtree(longer / "policy")
    (longer / "result.json").unlink()
    assert grpo.main([*asked, "--max-steps", "1", "--output-dir", str(longer), "--resume"]) == 0


def test_generated_scenes_are_not_what_a_large_policy_is_trained_on(tmp_path: Path) -> None:
    given = grpo._parser().parse_args(["--config", str(grpo.LORA_CONFIG), "--home", str(tmp_path)])
    with pytest.raises(DatasetError, match="--data"):
        grpo.collect_rows(grpo.read_grpo_setup(given), Collected())
    given = grpo._parser().parse_args(["--config", str(grpo.LORA_CONFIG), "--set", "scenes=true"])
    assert grpo.collect_rows(grpo.read_grpo_setup(given), Collected()).rows
