"""A policy sharded by FSDP or ZeRO learns the same as unsharded copies, and is saved and resumed completely.

ZeRO is tried where DeepSpeed is installed (``pip install deepspeed``), which compiles a part of itself at first.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from accelerate.utils import is_deepspeed_available
from safetensors.torch import load_file

from segr1_app.files.json_files import read_json
from segr1_app.models.policy import VlmPolicy
from segr1_app.settings.config import DEFAULT_POLICY
from tests.train.test_grpo import TRAINER, launcher, start, write_config
from train.finetune.setup import CONFIGS

ON_CPU = "tests/sharing_on_cpu.py"
NO_DEEPSPEED = pytest.mark.skipif(not is_deepspeed_available(), reason="DeepSpeed is not installed")
WAYS = [
    pytest.param("fsdp-2"),
    pytest.param("zero-2", marks=NO_DEEPSPEED),
    pytest.param("zero-3", marks=NO_DEEPSPEED),
]


@pytest.mark.slow
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("way", WAYS)
def test_it_learns_the_same_and_is_saved_and_resumed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, *, lora: bool
) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    # A policy that is rewarded for something. So large an epsilon lets Adam step in proportion to the gradient:
    # otherwise where it is next to nothing the last digit decides the direction of a whole step.
    trainer = {"adam_epsilon": 1.0, "learning_rate": 0.1, "max_completion_length": 96, "weight_decay": 0.0}
    # Without validation, which shared policies do not have and which would choose the best checkpoint of the others.
    config = write_config(tmp_path, DEFAULT_POLICY, max_steps=2, validate_every=0, trainer=TRAINER | trainer)
    more = ["--lora"] if lora else []
    shared_out = launcher("--config_file", str(CONFIGS / "accelerate" / f"{way}.yaml"), ON_CPU)
    copies, shares, resumed = (tmp_path / name for name in ("copies", "shares", "resumed"))
    assert start(config, copies, *more, launcher=launcher("--multi_gpu", "-m")).wait() == 0
    assert start(config, shares, *more, launcher=shared_out).wait() == 0
    shutil.copytree(shares, resumed, ignore=shutil.ignore_patterns("checkpoint-2", "policy", "result.json"))
    assert start(config, resumed, *more, "--resume", launcher=shared_out).wait() == 0

    name = "adapter_model.safetensors" if lora else "model.safetensors"
    early = load_file(shares / "checkpoint-1" / name)
    copied, shared, again = (load_file(run / "checkpoint-2" / name) for run in (copies, shares, resumed))
    # The head is the embedding, and written once or twice.
    assert again.keys() == shared.keys()
    assert copied.keys() == shared.keys() - {"lm_head.weight"}
    assert all((value == again[key]).all() for key, value in shared.items())
    moved = max((value - early[key]).abs().max() for key, value in shared.items())
    assert moved > 0
    assert max((value - shared[key]).abs().max() for key, value in copied.items()) < 0.01 * moved
    # All processes answered held-out rows with whole policies.
    assert read_json(shares / "before.json")["scores"] == read_json(copies / "before.json")["scores"]
    one, other = (VlmPolicy.load(run / "policy", device="cpu").model.state_dict() for run in (copies, shares))
    assert all((value - other[key]).abs().max() < 1e-3 for key, value in one.items())
