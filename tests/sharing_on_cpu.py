"""Runs a module as ``accelerate launch --use_fsdp`` or ``--use_deepspeed`` would on GPUs, on a machine that has none.

accelerate lets FSDP and ZeRO be used with GPUs only, and both can do with less. So that what is trained, saved and
resumed here is shared out for real, accelerate is made to believe that a CPU in a gloo group is one of several GPUs.

    accelerate launch --use_fsdp --fsdp_version 2 --num_processes 2 tests/sharing_on_cpu.py MODULE ARGUMENT...
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

from accelerate.state import PartialState
from accelerate.utils import DistributedType

_made = PartialState.__init__


def _made_for_gpus(state: PartialState, cpu: bool = False, **options: Any) -> None:  # noqa: ARG001
    """The training's own ``use_cpu`` is ignored."""
    _made(state, cpu=False, **options)


def _as_gpus(*_: object) -> tuple[str, DistributedType]:
    return "gloo", DistributedType.MULTI_GPU


if __name__ == "__main__":
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState.__init__ = _made_for_gpus  # type: ignore[method-assign, assignment]
    PartialState._prepare_backend = _as_gpus  # type: ignore[method-assign, assignment]
    sys.argv = sys.argv[1:]
    # Not the folder of this script, in which the tests of `train` have the same name.
    sys.path[0] = str(Path.cwd())
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
