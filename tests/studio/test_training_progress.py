"""How a training ended, and whether its reward and the app's answers still improve together."""

from __future__ import annotations

from pathlib import Path

import pytest

from segr1_app.files.json_files import write_json
from segr1_app.models.selection import embedded_pair
from segr1_app.settings.config import Settings
from segr1_app.studio.training_progress import describe_parting, last_words
from segr1_app.studio.training_run import TrainingRequest
from segr1_app.studio.trainings import CONFIG, LOG, METRICS, PROCESS, Trainings
from train import grpo

BAR = "training:  40%|####      | 16/40 [00:35<00:52,  2.2s/it, reward 1.2]"
CRASH = f"""Training for 40 steps
{BAR}\rtraining:  42%|####      | 17/40 [00:37<00:50,  2.2s/it]
Traceback (most recent call last):
  File "x.py", line 3, in <module>
    train()
KeyError: 'missing'
{BAR}
"""


def test_while_it_runs_its_progress_is_shown_and_a_crash_afterwards() -> None:
    assert last_words(BAR, alive=True, where="run/train.log") == BAR
    assert last_words(CRASH, alive=False, where="run/train.log") == (
        "It crashed: KeyError: 'missing' (full output: run/train.log)"
    )
    refused = f"{BAR}\nThe disk of 'run' is full: free some room there, then continue with --resume.\n{BAR}"
    assert last_words(refused, alive=False, where="").startswith("The disk of 'run' is full")
    assert last_words(BAR, alive=False, where="") == BAR
    assert last_words("", alive=False, where="") == ""


RISING = [(step, 1 + step / 40) for step in range(1, 21)]


@pytest.mark.parametrize(
    ("curve", "validation", "warned"),
    [
        (RISING, [(0, 1.2), (10, 1.1), (20, 1.0)], True),
        (RISING, [(0, 1.0), (10, 1.1), (20, 1.2)], False),
        ([(step, 1.0) for step in range(1, 21)], [(0, 1.2), (10, 1.1), (20, 1.0)], False),
        (RISING, [(0, 1.2), (10, 1.0)], False),
        ([], [], False),
    ],
)
def test_reward_and_answers_that_part_are_a_warning(
    curve: list[tuple[int, float]], validation: list[tuple[int, float]], *, warned: bool
) -> None:
    assert bool(describe_parting(curve, validation)) == warned


def test_the_page_reads_both_curves_the_warning_and_the_crash(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "20260101-000000"
    write_json(folder / PROCESS, {"pid": 2**22 + 1, "started": 0.0, "command": []})
    write_json(folder / CONFIG, {"steps": 40})
    lines = [f'{{"step": {step}, "reward": {value}}}' for step, value in RISING]
    lines += [f'{{"step": {step}, "validation/reward": {value}}}' for step, value in ((0, 1.2), (10, 1.1), (20, 1.0))]
    (folder / METRICS).write_text("".join(f"{line}\n" for line in lines))
    (folder / LOG).write_text(CRASH)
    run = Trainings(tmp_path).read(folder.name)
    assert len(run.curve) == 20
    assert run.validation == ((0, 1.2), (10, 1.1), (20, 1.0))
    assert "held-out answers fell" in run.warning
    assert run.last_words.startswith("It crashed: KeyError: 'missing'")
    assert str(folder / LOG) in run.last_words


def test_a_large_policy_is_trained_by_the_config_of_large_ones(tmp_path: Path) -> None:
    embedded = embedded_pair(Settings(home=tmp_path, device="cpu"))
    large = Settings(home=tmp_path, policy="geshang/Seg-R1-3B", segmenter=embedded.segmenter, device="cpu")
    for settings, tokens in ((embedded, 128), (large, 400)):
        command = Trainings(tmp_path)._command(settings, TrainingRequest())
        setup = grpo.read_grpo_setup(grpo._parser().parse_args(command[3:]))
        assert (setup.policy, setup.trainer["max_completion_length"]) == (settings.policy, tokens)
