"""Runs a module as ``accelerate launch --use_fsdp`` would on GPUs, on a machine that has none.

accelerate lets FSDP be used with GPUs only, and torch's FSDP can do with less. So that what is trained, saved and
resumed here is shared out for real, accelerate is told that a CPU of a gloo group is one of several GPUs.

    accelerate launch --use_fsdp --fsdp_version 2 --num_processes 2 tests/fsdp_on_cpu.py MODULE ARGUMENT...
"""

from __future__ import annotations

import os
import runpy
import sys

import torch.distributed
from accelerate.state import PartialState
from accelerate.utils import DistributedType


def _as_gpus(*_: object) -> tuple[str, DistributedType]:
    return "gloo", DistributedType.MULTI_GPU


if __name__ == "__main__":
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    torch.distributed.init_process_group("gloo")
    PartialState._prepare_backend = _as_gpus  # type: ignore[method-assign, assignment]
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
