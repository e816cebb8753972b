"""A second policy: loaded beside the first, refused in words, and gone from memory when it is closed."""

from __future__ import annotations

import gc
import shutil
import threading
import weakref
from pathlib import Path

import pytest

from segr1_app.domain import ModelError, SegR1Error, SettingsError
from segr1_app.models import loading
from segr1_app.models.host import LoadedModels, ModelHost
from segr1_app.models.pipeline import AnyPolicy, Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_server import ServerPolicy
from segr1_app.models.second import SecondPolicy
from segr1_app.settings.config import DEFAULT_POLICY, Settings
from tests.checkpoints import near_checkpoint
from tests.hub import use_hub

SERVER = "http://127.0.0.1:9/v1"


@pytest.fixture
def models(pipeline: Pipeline) -> ModelHost:
    host = ModelHost(Settings(models="embedded", device="cpu"), lambda _: LoadedModels(pipeline, "cpu", ""))
    host.start()
    host.wait()
    return host


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return near_checkpoint(tmp_path_factory.mktemp("second") / "policy")


def opened(models: ModelHost, policy: str | Path, server: str = "") -> SecondPolicy:
    second = SecondPolicy(models)
    second.open(str(policy), server)
    assert second.wait(60)
    return second


def test_it_shares_the_segmenter_and_is_gone_when_it_is_closed(models: ModelHost, checkpoint: Path) -> None:
    second = opened(models, checkpoint)
    assert second.status.state == "ready"
    assert second.status.policy.endswith("policy")
    pipeline = second.pipeline()
    assert pipeline is not None
    assert pipeline.segmenter is models.pipeline().segmenter
    assert isinstance(pipeline.policy, VlmPolicy)
    assert pipeline.policy is not models.pipeline().policy
    weights = weakref.ref(pipeline.policy.model)
    del pipeline
    second.close()
    assert second.pipeline() is None
    assert second.status.state == "none"
    assert weights() is None


def test_another_one_and_another_first_policy_take_its_place(models: ModelHost, checkpoint: Path) -> None:
    second = opened(models, checkpoint)
    first = weakref.ref(second.pipeline().policy.model)  # type: ignore[union-attr]
    second.open("any", SERVER)
    assert second.wait(60)
    assert isinstance(second.pipeline().policy, ServerPolicy)  # type: ignore[union-attr]
    gc.collect()
    assert first() is None
    models.switch(policy=str(DEFAULT_POLICY))
    assert second.status.state == "none"
    models.wait()


@pytest.mark.parametrize(
    ("named", "refusal"),
    [
        (("", ""), (ModelError, "Name the second policy")),
        (("  ", SERVER), (ModelError, "Name the second policy")),
        ((str(DEFAULT_POLICY), ""), (ModelError, "is the policy that already answers: name another one")),
        (("/nowhere/at/all", ""), (ModelError, "There is no folder '/nowhere/at/all'")),
        (("someone/policy", ""), (ModelError, r"not on this machine: .*download --policy someone/policy")),
        (("any", "file:///etc/passwd"), (SettingsError, "policy-server")),
        (("any", "http://user@["), (SettingsError, "policy-server")),
    ],
)
def test_what_cannot_be_compared_is_said(
    models: ModelHost,
    named: tuple[str, str],
    refusal: tuple[type[SegR1Error], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_hub(monkeypatch, tmp_path, None)
    second = SecondPolicy(models)
    error, sentence = refusal
    with pytest.raises(error, match=sentence):
        second.open(*named)
    assert second.status.state == "none"


def test_a_copy_of_the_first_is_the_first(models: ModelHost, tmp_path: Path) -> None:
    shutil.copytree(DEFAULT_POLICY, tmp_path / "copy")
    with pytest.raises(ModelError, match="already answers"):
        SecondPolicy(models).open(str(tmp_path / "copy"))


def test_a_refusal_leaves_the_one_that_is_loaded(models: ModelHost, checkpoint: Path) -> None:
    second = opened(models, checkpoint)
    with pytest.raises(ModelError, match="There is no folder"):
        second.open("/nowhere")
    assert second.status.state == "ready"
    second.close()


def test_damaged_weights_and_too_little_memory_are_sentences(
    models: ModelHost, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = shutil.copytree(checkpoint, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\xff" * 100)
    second = opened(models, damaged)
    assert second.status.state == "failed"
    assert "damaged" in second.status.failure
    assert second.pipeline() is None
    monkeypatch.setattr(loading, "free_memory", lambda _: 1_000_000)
    second.open(str(checkpoint))
    assert second.wait(60)
    assert second.status.state == "failed"
    assert "does not fit" in second.status.failure
    assert "0.0 GB are free" in second.status.failure


def test_one_that_is_closed_while_it_loads_stays_closed(models: ModelHost, checkpoint: Path) -> None:
    going, go = threading.Event(), threading.Event()

    def load(_: Settings) -> AnyPolicy:
        going.set()
        assert go.wait(30)
        return ServerPolicy.find(SERVER, "late")

    second = SecondPolicy(models, load)
    second.open(str(checkpoint))
    assert second.status.state == "loading"
    assert going.wait(30)
    second.close()
    go.set()
    for thread in threading.enumerate():
        if thread.name == "load-second":
            thread.join(30)
    assert second.status.state == "none"
    assert second.pipeline() is None
