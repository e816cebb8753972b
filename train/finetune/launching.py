"""Check how a run was started by ``accelerate launch``, before anything is loaded.

FSDP and ZeRO shard a policy's weights among processes. Here every process scores its share of the held-out rows
with a complete policy, and a checkpoint holds complete weights, as ``app.py --policy`` loads them. Configurations that
prevent either would fail only after hours, when the first checkpoint is read; they are rejected at the start, with an
explanation.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from accelerate.utils import (
    DistributedType,
    FullyShardedDataParallelPlugin,
    broadcast_object_list,
    disable_fsdp_ram_efficient_loading,
    gather_object,
    is_deepspeed_available,
    str_to_bool,
)
from torch.distributed.fsdp import StateDictType
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config
from transformers.integrations.integration_utils import get_available_reporting_integrations
from trl.import_utils import is_vllm_available

from segr1_app.domain import SettingsError
from segr1_app.files.json_files import read_json

SHARED_SECONDS: Final = 60
"""Seconds that a network disk may take to show a new file to other machines."""
SERVER_SECONDS: Final = 10
"""Seconds that a running server may take to answer."""
VLLM_SERVER: Final = (
    'VLLM_SERVER_DEV_MODE=1 vllm serve POLICY --weight-transfer-config \'{"backend": "nccl"}\' '
    "--logprobs-mode processed_logprobs --max-logprobs -1 --enable-scale-out"
)
"""Command that starts a server which accepts weights and pictures from trl 1.16; vLLM before 0.30 lacks the last
flag.
"""


def check_installed(trainer: Mapping[str, Any]) -> None:
    """Check that DeepSpeed is installed if it is requested; call this before trl's configuration is made.

    Args:
        trainer: arguments of trl's configuration.

    Raises:
        SettingsError: when it is not.
    """
    if (trainer.get("deepspeed") or _asked("ACCELERATE_USE_DEEPSPEED")) and not is_deepspeed_available():
        raise SettingsError(
            "ZeRO is requested, but DeepSpeed is not installed: run 'pip install deepspeed', "
            "or launch with FSDP (accelerate launch --use_fsdp --fsdp_version 2)."
        )


def check_launch(config: Any) -> None:
    """Check that a run can be trained and read back as launched; fills in settings left open.

    Args:
        config: trl's configuration.

    Raises:
        SettingsError: when it cannot.
    """
    fsdp = config.fsdp_plugin_args is not None or _asked("ACCELERATE_USE_FSDP")
    zero = config.deepspeed_plugin is not None
    if (fsdp or zero) and config.distributed_state.distributed_type in {DistributedType.NO, DistributedType.MULTI_CPU}:
        # accelerate would silently train without it.
        raise SettingsError(
            "FSDP and ZeRO shard a policy among GPUs, but this run uses a CPU or a single process: "
            "start it with 'accelerate launch' on a machine with GPUs, or without FSDP and ZeRO."
        )
    if fsdp:
        _check_fsdp(config.fsdp_plugin_args)
    if zero:
        _check_zero(config.deepspeed_plugin)
        # Otherwise transformers would shard every policy it loads and make all processes generate in lockstep, even
        # where each answers its own held-out rows; see `announce_zero`.
        unset_hf_deepspeed_config()
    if getattr(config, "use_vllm", False):
        _check_vllm(config)


@contextmanager
def announce_zero(config: Any) -> Iterator[None]:
    """Tell transformers about ZeRO, if it is used, only while the trainer is running.

    Args:
        config: trl's configuration, after `check_launch`.
    """
    plugin = config.deepspeed_plugin
    if plugin is None:
        yield
        return
    set_hf_deepspeed_config(plugin.hf_ds_config)
    try:
        yield
    finally:
        unset_hf_deepspeed_config()


def broadcast_folder(folder: Path) -> Path:
    """The run's folder as named by the first process: the others' clocks would give other names."""
    (named,) = broadcast_object_list([str(folder)])
    return Path(named)


def check_same_training(config: Path, fingerprint: str) -> None:
    """Check that all processes on all machines run the same training; must be called by all of them.

    Args:
        config: the configuration file that the first process wrote into the run's folder.
        fingerprint: fingerprint of the rows of this process.

    Raises:
        SettingsError: in every process, if one does not see that folder or has different rows.
    """
    late = time.monotonic() + SHARED_SECONDS
    while not (seen := config.is_file()) and time.monotonic() < late:
        time.sleep(0.5)
    same = seen and read_json(config)["fingerprint"] == fingerprint
    found = gather_object([(seen, same)])
    if not all(seen for seen, _ in found):
        raise SettingsError(
            f"Not every machine sees the folder of this run, '{config.parent}': give --home or --output-dir on a "
            "shared disk."
        )
    if not all(same for _, same in found):
        raise SettingsError(
            "The processes found different pairs and corrections to train on: give all machines the same --data "
            "and --home. If somebody is deciding tasks at the moment, start again."
        )


def _check_fsdp(given: dict[str, Any] | None) -> None:
    # transformers would leave every policy empty in all processes except the first, including those that only answer.
    disable_fsdp_ram_efficient_loading()
    if given is None:
        os.environ.setdefault("FSDP_STATE_DICT_TYPE", StateDictType.FULL_STATE_DICT.name)
    else:
        given["cpu_ram_efficient_loading"] = False
    plugin = FullyShardedDataParallelPlugin(**(given or {}))
    if plugin.fsdp_version == 1:
        # Tested: its checkpoints of adapters are empty, and a resumed run ends with different weights.
        raise SettingsError(
            "FSDP version 1, the default of 'accelerate launch', writes empty checkpoints of adapters "
            "and does not resume correctly: launch with '--fsdp_version 2'."
        )
    if plugin.state_dict_type is not StateDictType.FULL_STATE_DICT:
        raise SettingsError(
            "FSDP is set to write sharded checkpoints, which cannot be loaded as a policy: set "
            "fsdp_state_dict_type to FULL_STATE_DICT."
        )


def _check_zero(plugin: Any) -> None:
    if plugin.zero_stage == 3 and not plugin.zero3_save_16bit_model:
        raise SettingsError(
            "ZeRO-3 is set to write sharded checkpoints, which cannot be loaded as a policy: set "
            "zero3_save_16bit_model (in a file of DeepSpeed's own, stage3_gather_16bit_weights_on_model_save) to true."
        )


def _check_vllm(config: Any) -> None:
    if config.vllm_mode == "server":
        address = config.vllm_server_base_url or f"http://{config.vllm_server_host}:{config.vllm_server_port}"
        try:
            healthy = httpx2.get(f"{address.rstrip('/')}/health", timeout=SERVER_SECONDS).is_success
        except (httpx2.HTTPError, httpx2.InvalidURL):
            healthy = False
        if not healthy:
            raise SettingsError(
                f"No vLLM server answers at {address}: start one with the policy to be trained, "
                f"{VLLM_SERVER}, and wait until it is up."
            )
    if not is_vllm_available():
        raise SettingsError(
            "Generating with vLLM also needs vLLM on this machine, to send it the weights: run 'pip install "
            "trl[vllm]', "
            "or train without it."
        )


def check_reporters(names: Sequence[str]) -> None:
    """Check that the reporters of a run can be used.

    Raises:
        SettingsError: when one is unknown or not installed.
    """
    lacking = sorted({*names} - {*get_available_reporting_integrations()})
    if lacking:
        raise SettingsError(
            f"--report-to {' '.join(lacking)}: unknown to transformers, or not installed: run "
            f"'pip install {' '.join(lacking)}', or train without it."
        )


def _asked(variable: str) -> bool:
    return bool(str_to_bool(os.environ.get(variable, "false")))
