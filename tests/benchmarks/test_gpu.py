"""The GPU benchmark: skips where there is no GPU, and runs to its end with small models."""

from __future__ import annotations

import re

import pytest
import torch

from tests.benchmarks import gpu


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert gpu.main([]) == 0
    assert "There is no GPU here" in capsys.readouterr().out


@pytest.mark.slow
def test_its_tiny_form_measures_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--tiny"]) == 0
    printed = capsys.readouterr().out
    assert all(line.startswith("|") for line in printed.splitlines()[2:]), "a table to be copied, and nothing else"
    rows = re.findall(r"^\| (.+?) +\| +([-0-9.]+) \|.*\|$", printed, re.MULTILINE)
    found = {name.strip(): float(value) for name, value in rows}
    assert {"policy, tokens/s", "first text, s", "encode / bare predictor", "GRPO step, s", "reward / step"} <= set(
        found
    )
    parts = [found[f"of it {part}, s"] for part in ("generation", "reward", "backward", "other")]
    assert all(part > 0 for part in parts)
    assert sum(parts) == pytest.approx(found["GRPO step, s"], abs=0.01)


@pytest.mark.slow
def test_its_full_form_has_the_dimensions_of_the_published_models() -> None:
    policy = gpu.random_policy("meta", gpu.FULL)
    assert policy.model.num_parameters() == 3_754_622_976
    assert policy.model.dtype == torch.bfloat16
    # Not on the meta device, on which sam2 cannot be built: it reads numbers from a tensor.
    segmenter = gpu.random_segmenter("cpu", gpu.FULL)
    assert sum(each.numel() for each in segmenter.model.parameters()) == pytest.approx(224.4e6, rel=0.001)
    assert segmenter.input_side == 1024
