"""The embedded policy behind a real vLLM server, on a CPU; `docs/models.md` says how to have one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from segr1_app.domain import ModelError
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_server import ServerPolicy
from segr1_app.settings.config import DEFAULT_POLICY
from tests.e2e.serving import free_port
from tests.scenes import ellipse_scene

VLLM = shutil.which("vllm")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(VLLM is None, reason="there is no vllm on the path")]
KEY = "sk-very-secret"
START_SECONDS = 500
INSTRUCTION = "Identify and segment the camouflaged object."


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert VLLM is not None
    port, log = free_port(), tmp_path_factory.mktemp("vllm") / "log.txt"
    command = [VLLM, "serve", str(DEFAULT_POLICY), "--host", "127.0.0.1", "--port", str(port), "--api-key", KEY]
    # Its weights are of 32 bits, in which the answers here are made.
    command += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "1024", "--max-num-seqs", "8"]
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"}, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/health"):
            said = log.read_text(errors="replace")[-2000:]
            assert server.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture
def served(url: str) -> ServerPolicy:
    return ServerPolicy.find(url, str(DEFAULT_POLICY), key=KEY)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def _count(url: str, metric: str) -> float:
    """The sum of a counter or gauge of the server."""
    text = httpx.get(url.removesuffix("/v1") + "/metrics").text
    return sum(float(value) for value in re.findall(rf"^vllm:{metric}.* (\S+)$", text, re.MULTILINE))


@pytest.mark.parametrize("size", [(320, 240), (1000, 300), (64, 48)])
def test_its_text_is_that_of_the_policy_here(served: ServerPolicy, policy: VlmPolicy, size: tuple[int, int]) -> None:
    picture, _ = ellipse_scene(*size, (0.3, 0.6), (0.2, 0.25))
    assert served.request(picture.size, INSTRUCTION) == policy.request(picture.size, INSTRUCTION)
    here = "".join(policy.stream(picture, INSTRUCTION))
    assert "".join(served.stream(picture, INSTRUCTION)) == here
    assert served.complete([(picture, INSTRUCTION)] * 4) == [here] * 4


def test_samples_come_in_one_request_and_again_the_same(served: ServerPolicy, url: str) -> None:
    picture, _ = ellipse_scene(320, 240, (0.3, 0.6), (0.2, 0.25))
    before = _count(url, "request_success_total")
    drawn = served.sample(picture, INSTRUCTION, 4, seed=1)
    assert len(set(drawn)) > 1
    assert all(served.request(picture.size, INSTRUCTION).read(text).objects for text in drawn)
    assert _count(url, "request_success_total") == before + 4
    assert served.sample(picture, INSTRUCTION, 4, seed=1) == drawn


def test_what_it_refuses_is_a_sentence(url: str) -> None:
    picture, _ = ellipse_scene(64, 48, (0.5, 0.5), (0.2, 0.2))
    for model, key, said in (
        ("another/model", KEY, "has no model 'another/model'"),
        (str(DEFAULT_POLICY), "sk-wrong", "wants a valid key: set SEGR1_POLICY_KEY"),
    ):
        with pytest.raises(ModelError, match=said) as failure:
            list(ServerPolicy.find(url, model, key=key).stream(picture, "x"))
        assert "sk-" not in str(failure.value)
