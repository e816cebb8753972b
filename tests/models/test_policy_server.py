"""A policy behind a server: the same requests as for a local one, in parallel; a bad server only causes a message."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segr1_app.cli import main
from segr1_app.domain import Effort, ModelError, SettingsError
from segr1_app.language.protocol import TaskKind
from segr1_app.language.protocol_files import find_protocol
from segr1_app.models import policy_server as module
from segr1_app.models.effort import BUDGETS
from segr1_app.models.frames import resize_to_frame
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_server import ServerPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_POLICY
from segr1_app.store import AnnotationStore
from tests.policy_server import ANSWER, Served, policy_server
from tests.scenes import ellipse_scene
from train import evaluate

PICTURE, _ = ellipse_scene(320, 240, (0.3, 0.6), (0.2, 0.25))
KEY = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[Served]:
    with policy_server() as served:
        yield served


def ask(server: Served, retries: int = 0, model: str = "geshang/Seg-R1-3B") -> str:
    policy = ServerPolicy(server.url, model, find_protocol("seg-r1"), key=KEY, retries=retries)
    return "".join(policy.stream(PICTURE, "Identify and segment the ellipse."))


def test_it_is_asked_in_the_words_and_frame_of_its_protocol(server: Served) -> None:
    policy = ServerPolicy.find(server.url, "geshang/Seg-R1-3B", key=KEY)
    assert policy.protocol is find_protocol("seg-r1")
    assert "".join(policy.stream(PICTURE, "", TaskKind.FOREGROUND)) == ANSWER
    (body,) = server.asked
    request = policy.request(PICTURE.size, "", TaskKind.FOREGROUND)
    system, user = body["messages"]
    assert system == {"role": "system", "content": [{"type": "text", "text": request.system}]}
    image, text = user["content"]
    assert text == {"type": "text", "text": request.text}
    head, _, content = image["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    sent = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert np.array_equal(sent, resize_to_frame(PICTURE.pixels, request.frame))
    assert (sent.shape[1], sent.shape[0]) == (756, 756)
    assert body["max_tokens"] == 1024
    assert body["temperature"] == 0
    assert body["stream"] is True
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_a_folder_here_tells_its_protocol_and_its_frames(server: Served, policy: VlmPolicy) -> None:
    """With the same prompt and picture, a server gives the same answer as the local policy."""
    served = ServerPolicy.find(server.url, str(DEFAULT_POLICY))
    for size in ((320, 240), (1600, 200), (28, 28)):
        picture, _ = ellipse_scene(*size, (0.5, 0.5), (0.2, 0.2))
        assert served.request(picture.size, "x").frame == policy.request(picture.size, "x").frame
        assert served.request(picture.size, "x").messages == policy.request(picture.size, "x").messages


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2.5-vl"),
        ("Qwen/Qwen3-VL-4B-Instruct", "qwen3-vl"),
        ("Ricky06662/Seg-Zero-7B", "seg-zero"),
        ("cfcamo/cfcamo-rl-full", "cfcamo"),
        ("GenSeg-R1-4B", "studio"),
    ],
)
def test_the_name_tells_the_protocol(name: str, protocol: str) -> None:
    assert ServerPolicy.find("http://localhost:1/v1", name).protocol.name == protocol


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning_that_the_server_separates_is_part_of_the_text(server: Served, key: str) -> None:
    server.reasoning = key
    policy = ServerPolicy(server.url, "m", find_protocol("studio"))
    assert "".join(policy.stream(PICTURE, "x")) == ANSWER
    assert policy.sample(PICTURE, "x", 2) == [ANSWER, ANSWER]


def test_reasoning_that_never_ends_stays_open_as_it_was_written(server: Served) -> None:
    server.reasoning = "reasoning_content"
    server.say = lambda *_: "<think> a long thought"
    assert ask(server) == "<think> a long thought"


def test_samples_come_in_one_request(server: Served) -> None:
    policy = ServerPolicy(server.url, "m", find_protocol("studio"))
    drawn = policy.sample(PICTURE, "x", 3, seed=5)
    assert drawn == [ANSWER, f"1 {ANSWER}", f"2 {ANSWER}"]
    (body,) = server.asked
    assert (body["n"], body["seed"], body["temperature"]) == (3, 5, 1.0)
    assert body["repetition_penalty"] == 1.0


def test_closing_a_stream_ends_it_at_the_server(server: Served) -> None:
    server.mode, server.pause = "endless", 0.01
    stream = ServerPolicy(server.url, "m", find_protocol("studio")).stream(PICTURE, "x")
    assert len(list(islice(stream, 3))) == 3
    stream.close()
    deadline = time.monotonic() + 10
    while not server.broken_off and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.broken_off == 1


def test_a_silent_server_can_be_left(server: Served) -> None:
    server.mode = "silent"
    stream = ServerPolicy(server.url, "m", find_protocol("studio")).stream(PICTURE, "x")
    assert next(stream) == ""
    deadline = time.monotonic() + 60
    while not server.at_work and time.monotonic() < deadline:
        assert next(stream) == ""
    stream.close()
    while not server.broken_off and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.broken_off == 1


def test_sampling_from_a_silent_server_can_be_stopped(server: Served) -> None:
    server.mode = "silent"
    policy, stopped = ServerPolicy(server.url, "m", find_protocol("studio")), Event()
    deadline = time.monotonic() + 60
    with ThreadPoolExecutor(1) as pool:
        sampling = pool.submit(policy.sample, PICTURE, "x", 3, stopped=stopped)
        while not server.at_work and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not sampling.done()
        stopped.set()
        assert sampling.result(60) == ["", "", ""]
    while not server.broken_off and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.broken_off == 1


def test_a_busy_server_is_asked_again(server: Served) -> None:
    server.failures_left = 2
    assert ask(server, retries=3) == ANSWER
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("html", "is not a policy server"),
        ("nonsense", "is not a policy server"),
        ("not json", "is not a policy server"),
        ("half", "stopped in the middle"),
        ("endless", "returned more than was requested"),
        ("no images", "takes no pictures"),
        ("no key", "SEGR1_POLICY_KEY"),
        ("no model", "has no model 'geshang/Seg-R1-3B'"),
        ("no address", "which usually ends in /v1"),
        ("too long", "do not fit into the context of 'geshang/Seg-R1-3B'"),
        ("breaks", "failed while it answered: EngineCore died"),
        ("refuses", "HTTP 422"),
    ],
)
def test_what_a_server_does_wrong_is_a_sentence(server: Served, mode: str, said: str) -> None:
    server.mode = mode
    with pytest.raises(ModelError, match=said) as failure:
        ask(server)
    assert server.url in str(failure.value)
    assert KEY not in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_connection_that_breaks_off_is_a_sentence(server: Served) -> None:
    server.mode = lambda handler: handler.connection.close()
    with pytest.raises(ModelError, match=r"closed the connection|not a policy server"):
        ask(server)


def test_another_models_name_is_a_sentence(server: Served) -> None:
    server.model = "somebody/else"
    with pytest.raises(ModelError, match="answers with the model 'somebody/else', not with 'geshang/Seg-R1-3B'"):
        ask(server)
    server.model = "seg-r1-3b"
    assert ask(server) == ANSWER


def test_a_server_that_is_down_is_a_sentence() -> None:
    with policy_server() as gone:
        pass
    with pytest.raises(ModelError, match=f"{gone.url} cannot be reached"):
        ask(gone)


def test_a_server_that_is_silent_is_a_sentence(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    server.mode = lambda _: time.sleep(2)
    with pytest.raises(ModelError, match="does not answer in time"):
        ask(server)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x/v1", "http://", "http://u:p@x/v1", "http://x:99999/v1", "http://[::1/v1", ""]
)
def test_what_is_not_an_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="--policy-server"):
        ServerPolicy(url, "m", find_protocol("studio"))


def test_it_works_in_the_pipeline(server: Served, segmenter: Sam2Segmenter) -> None:
    policy = ServerPolicy(server.url, "m", find_protocol("studio"))
    pipeline = Pipeline(policy, segmenter)
    prediction = pipeline.run(PICTURE, "x")
    assert prediction.well_formed
    assert prediction.mask.any()
    assert pipeline.run_together([(PICTURE, "x")] * 3)[2].completion == ANSWER


def test_predict_needs_the_models_name_and_says_what_is_wrong(
    server: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(PICTURE.pixels).save(tmp_path / "one.png")
    command = ["predict", str(tmp_path / "one.png"), "--home", str(tmp_path / "home"), "--policy-server", server.url]
    assert main([*command]) == 1
    assert "--policy-server needs --policy" in capsys.readouterr().err
    monkeypatch.setenv("SEGR1_POLICY_KEY", KEY)
    monkeypatch.setattr(module, "RETRIES", 0)
    assert main([*command, "--policy", "m", "--device", "cpu", "--models", "embedded"]) == 0
    assert server.headers[-1]["authorization"] == f"Bearer {KEY}"
    server.mode = "html"
    assert main([*command, "--policy", "m", "--device", "cpu", "--models", "embedded"]) == 1
    printed = capsys.readouterr().err
    assert "is not a policy server" in printed
    assert KEY not in printed


def home_with(tmp_path: Path, tasks: int) -> Path:
    """A data folder with a number of small pictures, imported by the command."""
    folder, home = tmp_path / "pictures", tmp_path / "home"
    folder.mkdir()
    for number in range(tasks):
        picture, _ = ellipse_scene(64, 48, (0.5, 0.5), (0.2, 0.2), seed=number)
        Image.fromarray(picture.pixels).save(folder / f"{number}.png")
    assert main(["import", str(folder), "--home", str(home)]) == 0
    return home


def test_preannotate_keeps_many_in_flight_and_resumes(
    server: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_with(tmp_path, 8)
    monkeypatch.setattr(module, "RETRIES", 0)
    command = ["preannotate", "--home", str(home), "--policy-server", server.url, "--policy", "m", "--device", "cpu"]
    command += ["--models", "embedded", "--batch", "4"]

    def say(_: object, __: int) -> str:
        if len(server.asked) > 5:
            server.failures_left = 100
        return ANSWER

    server.say, server.pause = say, 0.01
    assert main(command) == 1
    assert server.most == 4
    printed = capsys.readouterr()
    assert "refuses the request" in printed.err
    with AnnotationStore.open(home) as store:
        done = sum(task.prediction_id is not None for task in store.tasks())
    assert 0 < done < 8
    # What is shown as done is done.
    assert f"{done} of 8 tasks predicted" in printed.out
    assert f"{done}/8" in printed.err
    assert "8/8" not in printed.err
    server.say, server.failures_left = lambda *_: ANSWER, 0
    server.asked.clear()
    assert main(command) == 0
    assert len(server.asked) == 8 - done
    printed = capsys.readouterr().out
    assert f"{8 - done} of {8 - done} tasks predicted" in printed
    assert "pictures a second" in printed


def test_preannotate_keeps_many_in_flight_while_it_thinks_harder(
    server: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = home_with(tmp_path, 3)
    next((home / "pictures").iterdir()).unlink()
    together = Barrier(2, timeout=60)

    def say(body: dict[str, Any], choice: int) -> str:
        # The first samples of both pictures have to be asked for at the same time.
        if body["n"] == BUDGETS[Effort.CAREFUL].samples and choice == 0:
            together.wait()
        return ANSWER

    server.say = say
    command = ["preannotate", "--home", str(home), "--policy-server", server.url, "--policy", "m", "--device", "cpu"]
    assert main([*command, "--models", "embedded", "--effort", "careful"]) == 1
    printed = capsys.readouterr()
    assert "2 of 3 tasks predicted, 1 failed" in printed.out
    assert "2/3" in printed.err
    assert "3/3" not in printed.err


FAULTS = {
    "html": "is not a policy server",
    "half": "stopped in the middle of its answer",
    "endless": "returned more than was requested",
    "no images": "takes no pictures",
    "too long": "do not fit into the context",
    "no key": "requires a valid key: set SEGR1_POLICY_KEY",
    "another model": "answers with the model 'somebody/else'",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "preannotate", "calibrate", "evaluate", "evaluate --benchmark"])
def test_every_command_tells_what_a_server_does_wrong_in_one_sentence(
    server: Served,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    command: str,
) -> None:
    pictures, masks = tmp_path / "CAMO" / "Imgs", tmp_path / "CAMO" / "GT"
    for folder in (pictures, masks):
        folder.mkdir(parents=True)
    for number in range(3):
        picture, mask = ellipse_scene(64, 48, (0.5, 0.5), (0.2, 0.2), seed=number)
        Image.fromarray(picture.pixels).save(pictures / f"{number}.jpg")
        Image.fromarray(mask).save(masks / f"{number}.png")
    home = str(tmp_path / "home")
    assert main(["import", str(pictures), "--home", home]) == 0
    pairs = ["--images", str(pictures), "--masks", str(masks)]
    result = ["--json", str(tmp_path / "result.json"), "--worst", "0"]
    commands: dict[str, Callable[[list[str]], int]] = {
        "predict": lambda rest: main(["predict", str(pictures), "--home", home, *rest]),
        "preannotate": lambda rest: main(["preannotate", "--home", home, *rest]),
        "calibrate": lambda rest: main(["calibrate", *pairs, *rest]),
        "evaluate": lambda rest: evaluate.main([*pairs, *result, *rest]),
        "evaluate --benchmark": lambda rest: evaluate.main(
            ["--benchmark", "CAMO", "--data", str(tmp_path / "CAMO"), *result, *rest]
        ),
    }
    run = commands[command]
    monkeypatch.setattr(module, "RETRIES", 0)
    monkeypatch.setenv("SEGR1_POLICY_KEY", KEY)
    where = ["--policy-server", server.url, "--policy", "m", "--models", "embedded", "--device", "cpu"]
    for fault, said in FAULTS.items():
        server.mode = "good" if fault == "another model" else fault
        server.model = "somebody/else" if fault == "another model" else None
        capsys.readouterr()
        caplog.clear()
        assert run(where) == 1
        printed = [*capsys.readouterr().err.splitlines(), *(record.getMessage() for record in caplog.records)]
        sentences = [line for line in printed if said in line]
        assert len(sentences) == 1, printed
        assert server.url in sentences[0]
        assert not any("Traceback" in line or KEY in line for line in printed)
    # Nothing was lost: a server that is in order is asked about everything, as at first.
    server.mode, server.model = "good", None
    server.asked.clear()
    run(where)
    assert len(server.asked) == 3
