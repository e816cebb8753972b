"""The recipe of the embedded pair as one command: what it trains, in which order, and how it resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segr1_app.files.json_files import read_json
from segr1_app.models.policy import VlmPolicy
from segr1_app.settings.config import DEFAULT_POLICY
from tests.train.scratch.test_segmenter import write_pairs
from train import embedded
from train.scratch.policy import CARD, PHASES, PolicyConfig
from train.scratch.segmenter import SegmenterConfig


class Recipe:
    """The command with its trainings replaced by ones that only note what they were asked for, in order."""

    def __init__(self, out: Path) -> None:
        self.out, self.asked = out, list[tuple[str, Any, bool]]()
        self.breaks_at = ""

    def train(self, config: SegmenterConfig | PolicyConfig, *, resume: bool) -> Path:
        self._note(config.out.name, config, resume)
        return config.export

    def grpo(self, arguments: list[str]) -> int:
        self._note(embedded.GRPO, arguments, "--resume" in arguments)
        (self.out / embedded.GRPO / "result.json").touch()
        return 0

    def _note(self, part: str, given: object, resume: bool) -> None:
        self.asked.append((part, given, resume))
        (self.out / part).mkdir(parents=True, exist_ok=True)
        (self.out / part / embedded.BEGUN[part]).touch()
        if part == self.breaks_at:
            raise KeyboardInterrupt

    def __call__(self, *options: str) -> int:
        return embedded.main(["--data", "SET", "--out", str(self.out), *options])


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    made = Recipe(tmp_path / "out")
    monkeypatch.setattr(embedded, "train_segmenter", made.train)
    monkeypatch.setattr(embedded, "train_policy", made.train)
    monkeypatch.setattr(embedded.grpo, "main", made.grpo)
    monkeypatch.setattr(embedded, "question_folder", lambda _, __, folder, ___: folder)
    return made


def value(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


class TestCourse:
    def test_one_command_makes_all_and_grpo_goes_on_from_what_was_made(
        self, recipe: Recipe, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert recipe("--seed", "7", "--grpo-steps", "110") == 0
        assert [(part, resume) for part, _, resume in recipe.asked] == [
            ("segmenter", False),
            ("policy", False),
            ("grpo", False),
        ]
        arguments = recipe.asked[-1][1]
        assert value(arguments, "--policy") == str(recipe.out / "policy" / "export")
        assert value(arguments, "--segmenter") == str(recipe.out / "segmenter" / "export")
        assert (value(arguments, "--seed"), value(arguments, "--max-steps")) == ("7", "110")
        data = arguments.index("--data")
        assert arguments[data + 1 : data + 3] == ["SET", str(recipe.out / "questions")]
        assert f"--policy {recipe.out / 'grpo' / 'policy'}" in capsys.readouterr().out

    @pytest.mark.parametrize("part", embedded.BEGUN)
    def test_what_was_interrupted_goes_on_and_what_comes_after_begins(self, recipe: Recipe, part: str) -> None:
        recipe.breaks_at = part
        with pytest.raises(SystemExit, match="130"):
            recipe()
        done = [name for name, _, _ in recipe.asked]
        recipe.breaks_at = ""
        recipe.asked.clear()
        assert recipe("--resume") == 0
        assert {name: resume for name, _, resume in recipe.asked} == {name: name in done for name in embedded.BEGUN}

    def test_grpo_that_is_done_is_left_alone(self, recipe: Recipe) -> None:
        recipe()
        recipe.asked.clear()
        recipe("--resume")
        assert [part for part, _, _ in recipe.asked] == ["segmenter", "policy"]

    def test_hours_of_training_are_never_written_over(self, recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
        recipe("--only", "policy")
        with pytest.raises(SystemExit, match="1"):
            recipe()
        assert "already contains a training run (policy)" in capsys.readouterr().err
        assert recipe("--only", "segmenter") == 0, "side by side with it is another part"

    def test_nothing_to_resume_is_said(self, recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="1"):
            recipe("--resume")
        assert "There is no training run to resume" in capsys.readouterr().err

    def test_for_a_gpu_pictures_are_drawn_by_processes_and_steps_are_larger(
        self, recipe: Recipe, capsys: pytest.CaptureFixture[str]
    ) -> None:
        recipe("--workers", "3", "--enlarge", "4")
        (_, segmenter, _), (_, policy, _), _ = recipe.asked
        assert (segmenter.workers, segmenter.batch) == (3, 4 * SegmenterConfig.batch)
        assert policy.workers == 3
        assert [phase.pictures for phase in policy.phases] == [4 * phase.pictures for phase in PHASES]
        with pytest.raises(SystemExit, match="1"):
            recipe("--enlarge", "0")
        assert "--enlarge 1 or more" in capsys.readouterr().err

    def test_a_start_lowers_the_rate_unless_one_is_given(self, recipe: Recipe) -> None:
        usual = PolicyConfig(data=(), out=recipe.out, cache=recipe.out).rates.peak
        for number, (options, share) in enumerate(
            [((), 1), (("--start", "PAIR"), embedded.RESTART_PEAK), (("--start", "PAIR", "--peak", "0.4"), 0.4)]
        ):
            recipe("--only", "policy", "--out", str(recipe.out / str(number)), *options)
            policy = recipe.asked[-1][1]
            assert policy.rates.peak == pytest.approx(share * usual)
            assert policy.start == (Path("PAIR/policy") if options else None)
            assert not policy.teacher
        recipe("--only", "policy", "--out", str(recipe.out / "taught"), "--teacher")
        assert recipe.asked[-1][1].teacher

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--seed", "-1"),
            ("--threads", "-1"),
            ("--steps", "0"),
            ("--grpo-steps", "-1"),
            ("--workers", "-1"),
            ("--policy-minutes", "nan"),
            ("--segmenter-minutes", "0.0"),
            ("--peak", "0"),
            ("--peak", "nan"),
        ],
    )
    def test_a_wrong_value_is_named_before_anything_is_trained(
        self, recipe: Recipe, capsys: pytest.CaptureFixture[str], option: str, value: str
    ) -> None:
        with pytest.raises(SystemExit, match="1"):
            recipe(f"{option}={value}")
        assert f"{option} {value}" in capsys.readouterr().err
        assert not recipe.asked

    def test_a_folder_is_not_given_twice(self, recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="1"):
            recipe("--data", "SET", "./SET")
        assert "--data names 'SET' twice" in capsys.readouterr().err
        assert not recipe.asked

    def test_grpo_alone_goes_on_from_a_pair(self, recipe: Recipe) -> None:
        recipe("--only", "grpo", "--start", "PAIR")
        assert value(recipe.asked[0][1], "--policy") == str(Path("PAIR") / "policy")

    def test_a_failure_of_grpo_is_the_command_s(self, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded.grpo, "main", lambda _: 1)
        assert recipe() == 1


def test_the_shipped_policy_says_what_the_recipe_teaches() -> None:
    assert VlmPolicy.load(DEFAULT_POLICY, device="cpu").card == CARD
    assert {"Segment the main object.", "Segment the left object."} <= set(CARD.instructions)
    assert "left" in CARD.understands


@pytest.mark.slow
def test_grpo_of_the_shipped_policy_as_the_recipe_s_last_stage(tmp_path: Path) -> None:
    data, out = write_pairs(tmp_path / "discs", 20), tmp_path / "out"
    options = ["--only", "grpo", "--start", str(DEFAULT_POLICY.parent), "--steps", "1"]
    assert embedded.main(["--data", str(data), "--out", str(out), *options]) == 0
    assert read_json(out / "grpo" / "config.json")["setup"]["data"] == [str(data), str(out / "questions")]
    assert VlmPolicy.load(out / "grpo" / "policy", device="cpu").card == CARD
