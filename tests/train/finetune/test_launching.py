"""Launch options that are not available are refused in one sentence before anything is trained."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import is_deepspeed_available
from accelerate.utils.launch import prepare_multi_gpu_env
from trl.import_utils import is_vllm_available

from segr1_app.domain import ModelError, SettingsError
from segr1_app.files.json_files import write_json
from tests.train.data.test_rows import LEFT, write_pair
from train import grpo
from train.finetune import launching
from train.finetune.checkpoints import load_trained
from train.finetune.setup import CONFIGS
from train.finetune.sft_setup import DEFAULT_CONFIG as SFT_CONFIG
from train.finetune.sft_setup import SftSetup


def refusal(home: Path, caplog: pytest.LogCaptureFixture, *arguments: str) -> str:
    """The message of a refused training, which leaves no files."""
    assert grpo.main(["--home", str(home), "--device", "cpu", *arguments]) == 1
    assert not home.exists()
    (record,) = caplog.records
    return record.message


def without_deepspeed() -> None:
    if is_deepspeed_available():
        pytest.skip("DeepSpeed is installed")


class TestSharing:
    def test_zero_without_deepspeed_is_reported(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_deepspeed()
        config = tmp_path / "zero.yaml"
        config.write_text("trainer: {deepspeed: zero3.json}")
        assert "pip install deepspeed" in refusal(tmp_path / "home", caplog, "--config", str(config))
        monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
        setup = SftSetup.read(SFT_CONFIG)
        with pytest.raises(SettingsError, match="pip install deepspeed"):
            setup.trainer_config(tmp_path, rows=9, seed=0, device="cpu", report_to="none")

    def test_a_cpu_shares_nothing_out(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
        assert "among GPUs" in refusal(tmp_path / "home", caplog)

    def test_the_first_version_of_fsdp_loses_adapters_and_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # What the launcher takes when it is not told.
        monkeypatch.setenv("FSDP_VERSION", "1")
        monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "false")
        monkeypatch.setenv("FSDP_STATE_DICT_TYPE", "FULL_STATE_DICT")
        for given in (None, {"fsdp_version": 1, "state_dict_type": "FULL_STATE_DICT"}):
            with pytest.raises(SettingsError, match="--fsdp_version 2"):
                launching._check_fsdp(given)

    def test_checkpoints_are_whole_and_so_is_every_policy_that_is_loaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FSDP_VERSION", "2")
        monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "false")
        monkeypatch.setenv("FSDP_STATE_DICT_TYPE", "SHARDED_STATE_DICT")
        with pytest.raises(SettingsError, match="FULL_STATE_DICT"):
            launching._check_fsdp(None)
        monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")
        monkeypatch.delenv("FSDP_STATE_DICT_TYPE")
        launching._check_fsdp(None)
        assert os.environ["FSDP_STATE_DICT_TYPE"] == "FULL_STATE_DICT"
        assert os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "False"

    def test_settings_of_a_file_are_checked_as_those_of_the_launcher(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")
        given: dict[str, Any] = {"fsdp_version": 2, "cpu_ram_efficient_loading": True}
        launching._check_fsdp(given | {"state_dict_type": "FULL_STATE_DICT"})
        assert os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "False"
        with pytest.raises(SettingsError, match="FULL_STATE_DICT"):
            launching._check_fsdp(given | {"state_dict_type": "SHARDED_STATE_DICT"})

    def test_zero_3_must_write_whole_checkpoints(self) -> None:
        with pytest.raises(SettingsError, match="zero3_save_16bit_model"):
            launching._check_zero(SimpleNamespace(zero_stage=3, zero3_save_16bit_model=False))
        for stage, saves in ((2, False), (3, True)):
            launching._check_zero(SimpleNamespace(zero_stage=stage, zero3_save_16bit_model=saves))

    @pytest.mark.parametrize("file", sorted((CONFIGS / "accelerate").glob("*.yaml")), ids=lambda file: file.stem)
    def test_what_comes_with_the_project_is_launched_and_not_refused(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options = ["--config_file", str(file), "-m", "train.grpo"]
        given, _, _ = _validate_launch_command(launch_command_parser().parse_args(options))
        assert (given.num_processes, given.mixed_precision, given.module) == (8, "bf16", True)
        if given.use_fsdp:
            for name, value in prepare_multi_gpu_env(given).items():
                if name.startswith("FSDP"):
                    monkeypatch.setenv(name, value)
            launching._check_fsdp(None)
        else:
            assert given.use_deepspeed
            saves = str(given.zero3_save_16bit_model) == "True"
            launching._check_zero(SimpleNamespace(zero_stage=given.zero_stage, zero3_save_16bit_model=saves))
        assert file.stem[-1] == str(given.fsdp_version if given.use_fsdp else given.zero_stage)

    @pytest.mark.parametrize("part", ["pytorch_model_fsdp_0/__0_0.distcp", "global_step3/zero_pp_rank_0.pt"])
    def test_a_checkpoint_in_parts_is_refused(self, tmp_path: Path, part: str) -> None:
        (tmp_path / part).parent.mkdir()
        (tmp_path / part).touch()
        with pytest.raises(ModelError, match="sharded policy"):
            load_trained(tmp_path, "unused", device="cpu", dtype="float32")


class TestMachines:
    def test_all_are_at_one_training_in_one_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launching, "SHARED_SECONDS", 0)
        config = tmp_path / "config.json"
        with pytest.raises(SettingsError, match="shared disk"):
            launching.check_same_training(config, "mine")
        write_json(config, {"fingerprint": "another"})
        with pytest.raises(SettingsError, match="different pairs and corrections"):
            launching.check_same_training(config, "mine")
        write_json(config, {"fingerprint": "mine"})
        launching.check_same_training(config, "mine")

    @pytest.mark.parametrize(
        ("seen", "said"), [((False, False), "Not every machine sees"), ((True, False), "found different pairs")]
    )
    def test_what_one_of_them_lacks_stops_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: tuple[bool, bool], said: str
    ) -> None:
        write_json(tmp_path / "config.json", {"fingerprint": "mine"})
        monkeypatch.setattr(launching, "gather_object", lambda own: [*own, seen])
        with pytest.raises(SettingsError, match=said):
            launching.check_same_training(tmp_path / "config.json", "mine")


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server that is up as far as ``GET /health`` tells."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestServer:
    def test_one_that_cannot_be_reached_is_named(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with socket.socket() as taken:
            # Bound and not listening: nobody answers here, and nobody else can.
            taken.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{taken.getsockname()[1]}"
            said = refusal(tmp_path / "home", caplog, "--vllm-server", address)
        assert f"No vLLM server answers at {address}" in said

    def test_one_that_is_not_up_yet_is_not_a_server(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with answering(503) as address:
            assert address in refusal(tmp_path / "home", caplog, "--vllm-server", address)

    def test_this_machine_needs_vllm_too(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        if is_vllm_available():
            pytest.skip("vLLM is installed")
        with answering(200) as address:
            assert "trl[vllm]" in refusal(tmp_path / "home", caplog, "--vllm-server", address)

    def test_its_address_reaches_trl_beside_what_the_config_says(self, tmp_path: Path) -> None:
        given = grpo._parser().parse_args(
            ["--config", str(CONFIGS / "seg-r1-3b-lora.yaml"), "--vllm-server", "http://there:8000"]
        )
        config = grpo.read_grpo_setup(given).trainer_config(tmp_path, rows=64, seed=0, device="cpu", report_to="none")
        assert (config.use_vllm, config.vllm_mode) == (True, "server")
        assert config.vllm_server_base_url == "http://there:8000"
        assert config.num_generations == 8


def test_a_reporter_that_is_not_there_is_named_before_data_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ("--report-to", "abacus", "--data", str(tmp_path / "absent"))
    assert "--report-to abacus" in refusal(tmp_path / "home", caplog, *options)


@pytest.mark.parametrize("model", ["--policy", "--segmenter"])
def test_a_model_that_is_not_there_leaves_no_training_to_go_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, model: str
) -> None:
    for number in range(3):
        write_pair(tmp_path / "images", tmp_path / "masks", str(number), LEFT, number)
    said = refusal(tmp_path / "home", caplog, "--data", str(tmp_path), model, str(tmp_path / "absent"))
    assert "absent" in said
