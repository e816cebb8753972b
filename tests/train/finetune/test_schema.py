"""Training settings: each invalid one is named with its value before anything is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segr1_app.domain import SettingsError
from train import grpo, sft
from train.finetune.grpo_setup import DEFAULT_CONFIG, GrpoSetup, notes
from train.finetune.settings_table import PAGE, replaced
from train.finetune.setup import TrainingSetup
from train.finetune.sft_setup import SftSetup


def read(tmp_path: Path, content: str) -> GrpoSetup:
    (tmp_path / "c.yaml").write_text(content)
    return GrpoSetup.read(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("trainer: {loss_type: foo}", r"trainer\.loss_type is 'foo': it is one of 'grpo', 'dr_grpo'"),
        ("trainer: {num_generations: two}", r"trainer\.num_generations is 'two': a whole number is needed"),
        ("trainer: {num_generations: 1}", r"trainer\.num_generations is 1: at least 2 is needed"),
        ("trainer: {learning_rate: -1}", r"trainer\.learning_rate is -1: it must be greater than 0"),
        ("trainer: {learning_rate: fast}", r"trainer\.learning_rate is 'fast': a number is needed"),
        ("trainer: {learning_rate: .nan}", r"trainer\.learning_rate is nan"),
        ("trainer: {scale_rewards: foo}", r"trainer\.scale_rewards is 'foo': it is one of 'group', 'batch' or 'none'"),
        ("trainer: {optim: foo}", r"trainer\.optim is 'foo'"),
        ("trainer: {gradient_checkpointing: perhaps}", r"gradient_checkpointing is 'perhaps': true or false"),
        ("trainer: {eval_strategy: steps}", "eval_strategy cannot be set .* validate_every"),
        ("trainer: {report_to: wandb}", "report_to cannot be set .* --report-to"),
        ("trainer: {num_train_epochs: 3}", "num_train_epochs cannot be set .* epochs"),
        ("trainer: {save_total_limit: 3}", "save_total_limit cannot be set"),
        ("trainer: {repetition_penalty: 1.05}", "repetition_penalty cannot be set"),
        ("trainer: {learning_rat: 1}", "did you mean 'learning_rate'"),
        ("trainer: 3", "trainer is 3"),
        ("trainer: {loss_type: dr_grpo}", "dr_grpo contradicts .* group"),
        ("lora: true", "lora is True: settings with their values are needed, or null"),
        ("lora: {r: 0}", r"lora\.r is 0: at least 1"),
        ("lora: {target_modules: 5}", r"lora\.target_modules is 5"),
        ("data: /path", "data is '/path': a list is needed"),
        ("max_steps: soon", "max_steps is 'soon': a whole number is needed"),
        ("save_steps: 2.5", "save_steps is 2.5: a whole number is needed"),
        ("held_out_share: 2", "held_out_share is 2"),
        ("mixing: {max_repeats: two}", r"mixing\.max_repeats is 'two'"),
        ("reward: {abstention: x}", r"reward\.abstention is 'x'"),
        ("trainer: {beta: .inf}", r"trainer\.beta is inf: a finite number is needed"),
        ("trainer: {adam_beta1: 5}", r"trainer\.adam_beta1 is 5: it must be less than 1"),
        ("trainer: {log_level: foo}", r"trainer\.log_level is 'foo': it is one of 'detail', 'debug'"),
        ("trainer: {hub_model_id: a/b}", "hub_model_id cannot be set .* nothing is published"),
        ("trainer: {per_device_eval_batch_size: 4}", "per_device_eval_batch_size cannot be set .* validate_every"),
        ("trainer: {reward_weights: [1, 2]}", "reward_weights cannot be set .* 'reward'"),
        ("lora: {r: 4, task_type: FOO}", r"lora\.task_type is 'FOO': it is one of 'SEQ_CLS'"),
        ("lora: {target_modules: all-linear, layers_to_transform: [9]}", "peft rejects the settings under 'lora'"),
        ("reward: {soft_length: [400]}", r"reward\.soft_length is \[400\]: more values are needed"),
        ("reward: {soft_length: [a, b]}", r"reward\.soft_length is 'a': a whole number is needed\."),
        ("epochs: .inf", "epochs is inf: a finite number is needed"),
        ("{save_steps: 10, validate_every: 7}", "validate_every is 7: it must be a multiple of save_steps, 10"),
        ("prompts_per_step: 0", "prompts_per_step is 0: at least 1"),
        ("dtype: float8", "dtype is 'float8': it is one of 'auto', 'float32'"),
        ("attention: none_such", "attention is 'none_such': it is one of 'auto'"),
        ("mixing: {feedback_fraction: 1}", r"mixing\.feedback_fraction is 1: it must be less than 1"),
        ("mixing: {feedback_fraction: .nan}", r"mixing\.feedback_fraction is nan"),
        ("mixing: {max_repeats: 0}", r"mixing\.max_repeats is 0: at least 1"),
        ("reward: {prompt_match: 0.5}", r"reward\.prompt_match is 0\.5: 0 to 0\.2 is allowed"),
        ("reward: {rejection: -1}", r"reward\.rejection is -1\.0: a finite number of at least 0"),
        ("reward: {abstention: .inf}", r"reward\.abstention is inf: a finite number"),
        ("reward: {soft_length: [50, 400]}", r"reward\.soft_length is \[50, 400\]: .* a margin"),
        # true and false are no numbers, although Python and pydantic take them for 1 and 0.
        ("max_steps: true", "max_steps is True: a whole number is needed"),
        ("held_out_share: yes", "held_out_share is True: a number is needed"),
        ("trainer: {learning_rate: on}", r"trainer\.learning_rate is True: a number is needed"),
        ("trainer: {num_generations: true}", r"trainer\.num_generations is True: a whole number is needed"),
        ("mixing: {max_repeats: true}", r"mixing\.max_repeats is True: a whole number is needed"),
        ("reward: {abstention: true}", r"reward\.abstention is True: a number is needed"),
        ("lora: {r: true}", r"lora\.r is True: a whole number is needed"),
        ("learning_rate: 1", "did you mean 'trainer.learning_rate'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        read(tmp_path, content)


def test_numbers_that_yaml_takes_for_texts_are_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, "trainer: {learning_rate: 1e-5}").trainer == {"learning_rate": 1e-5}
    assert read(tmp_path, "reward: {abstention: 5e-1}").reward.abstention == 0.5


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--seed", "-1"], "--seed -1: at least 0"),
        (["--threads", "0"], "--threads 0: at least 1"),
        (["--threads", "999999999"], "--threads 999999999: it must be at most 1024"),
        (["--lr", "fast"], r"trainer\.learning_rate is 'fast'"),
        (["--set", "loss_type=foo"], r"trainer\.loss_type is 'foo'"),
        (["--set", "num_generation=3"], "did you mean 'trainer.num_generations'"),
        (["--set", "learning_rate"], "write key=value"),
        (["--set", "lora.target_modules=nothing_like_it"], "nothing_like_it"),
        (["--max-steps", "0"], "max_steps is .*0.*: at least 1"),
        (["--set", "lora.target_modules=([a"], r"lora\.target_modules is '\(\[a', into which peft cannot"),
        (["--set", "lr_scheduler_type=cosine_with_min_lr"], "lr_scheduler_type is 'cosine_with_min_lr', .*min_lr"),
        (["--set", "accelerator_config={foo: 1}"], "trl rejects these settings: .*foo"),
        (["--set", "policy=/nowhere"], "There is no folder '/nowhere'"),
        (["--set", "segmenter=/nowhere"], "No segmenter at '/nowhere'"),
        (["--report-to", "abacus"], "--report-to abacus: unknown to transformers"),
    ],
)
def test_the_plan_refuses_what_the_training_would(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, option: list[str], message: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert grpo.main(["--home", str(home), "--device", "cpu", "--plan", *option]) == 1
    (record,) = caplog.records
    assert re.search(message, record.message)
    assert not list(home.iterdir())


def test_every_setting_can_be_set_on_the_command_line() -> None:
    options = ["--lr", "2e-5", "--batch", "4", "--group", "4", "--beta", ".04", "--tokens", "60", "--rank", "8"]
    more = ["--set", "epochs=2", "--set", "lora.lora_alpha=4", "--set", "abstention=.5", "--set", "trainer.optim=sgd"]
    setup = grpo.read_grpo_setup(grpo._parser().parse_args([*options, *more]))
    assert setup.lora is not None
    assert (setup.lora["r"], setup.lora["lora_alpha"], setup.epochs, setup.reward.abstention) == (8, 4, 2, 0.5)
    names = (
        "learning_rate",
        "per_device_train_batch_size",
        "num_generations",
        "beta",
        "max_completion_length",
        "optim",
    )
    assert [setup.trainer[name] for name in names] == [2e-5, 4, 4, 0.04, 60, "sgd"]
    taught = sft.read_sft_setup(sft._parser().parse_args(["--set", "learning_rate=1e-4"]))
    assert taught.trainer["learning_rate"] == 1e-4
    with pytest.raises(SettingsError, match="num_generations"):
        sft.read_sft_setup(sft._parser().parse_args(["--group", "4"]))


@pytest.mark.parametrize(("kind", "own", "other"), [(GrpoSetup, "bnpo", "nll"), (SftSetup, "dft", "dapo")])
def test_each_method_knows_its_own_losses(tmp_path: Path, kind: type[TrainingSetup], own: str, other: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"trainer: {{loss_type: {own}}}")
    assert kind.read(file).trainer["loss_type"] == own
    file.write_text(f"trainer: {{loss_type: {other}}}")
    with pytest.raises(SettingsError, match=rf"trainer\.loss_type is '{other}': it is one of .*'{own}'"):
        kind.read(file)


def test_what_has_no_effect_or_amplifies_noise_is_said(tmp_path: Path) -> None:
    setup = read(tmp_path, "trainer: {epsilon_high: 0.28, scale_rewards: group}")
    config = setup.trainer_config(tmp_path, rows=9, seed=0, device="cpu", report_to="none")
    assert [note.split()[0] for note in notes(setup, config)] == ["trainer.epsilon_high", "trainer.scale_rewards"]
    again = read(tmp_path, "trainer: {epsilon_high: 0.28, num_iterations: 2, scale_rewards: batch}")
    assert notes(again, again.trainer_config(tmp_path, rows=9, seed=0, device="cpu", report_to="none")) == []
    shipped = GrpoSetup.read(DEFAULT_CONFIG)
    assert shipped.trainer["scale_rewards"] == "batch"


def test_the_page_lists_every_setting_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert replaced(page) == page, "make the table again: python -m train.finetune.settings_table"
    for setting in (
        "`max_steps`",
        "`trainer.learning_rate`",
        "`lora.r`",
        "`reward.abstention`",
        "`mixing.max_repeats`",
    ):
        assert setting in page
