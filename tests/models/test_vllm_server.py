"""The embedded policy behind a real vLLM server, on a CPU; `docs/models.md` says how to have one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from segr1_app.cli import main
from segr1_app.domain import ModelError
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_server import ServerPolicy
from segr1_app.settings.config import DEFAULT_POLICY
from segr1_app.store import AnnotationStore
from tests.e2e.serving import free_port
from tests.scenes import ellipse_scene
from train import evaluate

VLLM = shutil.which("vllm")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(VLLM is None, reason="there is no vllm on the path")]
KEY = "sk-very-secret"
START_SECONDS = 500
STOP_SECONDS = 30
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
        (str(DEFAULT_POLICY), "sk-wrong", "requires a valid key: set SEGR1_POLICY_KEY"),
    ):
        with pytest.raises(ModelError, match=said) as failure:
            list(ServerPolicy.find(url, model, key=key).stream(picture, "x"))
        assert "sk-" not in str(failure.value)


def test_an_answer_longer_than_its_context_is_a_sentence(url: str) -> None:
    picture, _ = ellipse_scene(64, 48, (0.5, 0.5), (0.2, 0.2))
    longer = ServerPolicy.find(url, str(DEFAULT_POLICY), protocol="seg-zero", key=KEY)
    assert (longer.request(picture.size, "x").max_new_tokens or 0) > 1024
    with pytest.raises(ModelError, match=r"do not fit into the context of .*--max-model-len"):
        list(longer.stream(picture, "x"))


def test_a_stopped_answer_is_stopped_on_the_server(served: ServerPolicy, url: str) -> None:
    picture, _ = ellipse_scene(320, 240, (0.3, 0.6), (0.2, 0.25))
    before = _count(url, "generation_tokens_total")
    list(served.stream(picture, INSTRUCTION))
    whole = _count(url, "generation_tokens_total") - before
    # On a busy machine an answer may be complete before it can be stopped; one that was cut short is proof enough.
    for _ in range(10):
        before = _count(url, "generation_tokens_total")
        stream = served.stream(picture, INSTRUCTION)
        next(stream)
        stream.close()
        deadline = time.monotonic() + STOP_SECONDS
        while _count(url, "num_requests_running") and time.monotonic() < deadline:
            time.sleep(0.05)
        made = _count(url, "generation_tokens_total") - before
        if made < whole:
            break
    assert made < whole


@pytest.fixture
def options(url: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options with which a command asks the server."""
    monkeypatch.setenv("SEGR1_POLICY_KEY", KEY)
    return ["--policy-server", url, "--policy", str(DEFAULT_POLICY), "--models", "embedded", "--device", "cpu"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with pictures and masks."""
    for name in ("pictures", "masks"):
        (tmp_path / name).mkdir()
    for number in range(5):
        picture, mask = ellipse_scene(320, 240, (0.3 + 0.1 * number, 0.6), (0.2, 0.25), seed=number)
        Image.fromarray(picture.pixels).save(tmp_path / "pictures" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    return tmp_path


def test_predictions_are_made_through_it(
    data: Path, options: list[str], policy: VlmPolicy, capsys: pytest.CaptureFixture[str]
) -> None:
    home = data / "home"
    assert main(["import", str(data / "pictures"), "--home", str(home)]) == 0
    assert main(["preannotate", "--home", str(home), "--samples", "2", *options]) == 0
    assert "5 of 5 tasks predicted" in capsys.readouterr().out
    with AnnotationStore.open(home) as store:
        for task in store.tasks():
            assert task.prediction_id is not None
            assert len(store.samples(task.prediction_id)) == 2
            said = "".join(policy.stream(store.picture(task.sha256), task.instruction))
            assert store.prediction(task.prediction_id).prediction.completion == said


def test_an_evaluation_through_it_is_that_of_the_policy_here(data: Path, options: list[str]) -> None:
    scores = []
    for name, where in (("there", options), ("here", ["--models", "embedded", "--device", "cpu"])):
        out = data / f"{name}.json"
        pairs = ["--images", str(data / "pictures"), "--masks", str(data / "masks"), "--json", str(out)]
        assert evaluate.main([*pairs, "--worst", "0", *where]) == 0
        scores.append(json.loads(out.read_text()))
    there, here = scores
    assert there["count"] == here["count"] == 5
    for metric in evaluate.METRICS:
        assert there[metric] == here[metric]
    assert there["format_rate"] == here["format_rate"]
