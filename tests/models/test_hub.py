"""Models from the model hub: its cache on disk, and a real server that speaks its file API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from sam2.build_sam import build_sam2
from tqdm import tqdm

from segr1_app.cli import main
from segr1_app.domain import ModelError
from segr1_app.models.hub import HubModel, policy_on_hub, segmenter_on_hub
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_POLICY, DEFAULT_SEGMENTER
from tests.hub import Hub, put_in_cache, serving, use_hub
from tests.scenes import ellipse_scene

POLICY, TINY = "someone/small-policy", "facebook/sam2.1-hiera-tiny"
POLICY_FILES = {file.name: file for file in DEFAULT_POLICY.iterdir()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving() as hub:
        hub.repositories[POLICY] = DEFAULT_POLICY
        use_hub(monkeypatch, tmp_path / "cache", hub.address)
        yield hub


def test_a_policy_in_the_cache_is_loaded_without_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: VlmPolicy
) -> None:
    use_hub(monkeypatch, tmp_path, None)
    put_in_cache(tmp_path, POLICY, POLICY_FILES)
    loaded = VlmPolicy.load(POLICY, device="cpu")
    assert loaded.model_id == POLICY
    assert loaded.card == policy.card
    weights = loaded.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in policy.model.state_dict().items())


def test_what_is_whole_in_the_cache_is_not_asked_for(hub: Hub, tmp_path: Path) -> None:
    folder = put_in_cache(tmp_path / "cache", POLICY, POLICY_FILES)
    assert policy_on_hub(POLICY).fetch() == folder
    assert not hub.asked


def test_half_a_cached_policy_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, tmp_path, None)
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}))
    shards = {f"model-{i}-of-2.safetensors": POLICY_FILES["model.safetensors"] for i in (1, 2)}
    first, second = shards
    put_in_cache(tmp_path, POLICY, {"model.safetensors.index.json": index, first: shards[first]})
    assert policy_on_hub(POLICY).cached() is None
    put_in_cache(tmp_path, POLICY, {second: shards[second]})
    assert policy_on_hub(POLICY).cached() is not None


def test_a_policy_is_downloaded_once_with_its_size_and_progress(hub: Hub, tmp_path: Path) -> None:
    class Bar(tqdm):  # type: ignore[type-arg]
        seen: ClassVar[dict[str, int]] = {}

        def __init__(self, *args: object, **kwargs: object) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs, file=(tmp_path / "bars").open("a"))

        def update(self, n: float | None = 1) -> bool | None:
            moved = super().update(n)
            Bar.seen[str(self.desc)] = int(self.n)
            return moved

    model = policy_on_hub(POLICY)
    wanted = [name for name in POLICY_FILES if name.endswith((".json", ".safetensors", ".jinja", ".txt"))]
    size = sum(POLICY_FILES[name].stat().st_size for name in wanted)
    assert model.bytes_to_fetch() == size
    folder = model.fetch(Bar)
    assert {file.name for file in folder.iterdir()} == set(wanted)
    assert size in Bar.seen.values()
    assert model.bytes_to_fetch() == 0
    asked = len(hub.asked)
    assert VlmPolicy.load(POLICY, device="cpu").model_id == POLICY
    assert len(hub.asked) == asked


def test_a_connection_that_breaks_off_goes_on_where_it_was(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only whole chunks are kept, and the embedded policy is smaller than one.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    hub.cut.add("model.safetensors")
    folder = policy_on_hub(POLICY).fetch()
    assert (folder / "model.safetensors").read_bytes() == POLICY_FILES["model.safetensors"].read_bytes()
    assert any(span and not span.startswith("bytes=0-") for _, _, span in hub.asked)


def test_after_a_broken_download_only_what_is_missing_comes(hub: Hub) -> None:
    hub.broken.add("model.safetensors")
    with pytest.raises(ModelError, match=r"download of someone/small-policy was interrupted.*try again"):
        VlmPolicy.load(POLICY, device="cpu")
    hub.broken.clear()
    left = policy_on_hub(POLICY).bytes_to_fetch()
    assert left < sum(file.stat().st_size for file in POLICY_FILES.values())
    assert left >= POLICY_FILES["model.safetensors"].stat().st_size
    assert VlmPolicy.load(POLICY, device="cpu").model_id == POLICY


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ("gated", r"ask for access to someone/small-policy at http.*hf auth login"),
        ("missing", r"hub has no someone/small-policy, or it is private: check the name given to --policy"),
        ("failing", r"error 503 when asked for someone/small-policy: try again later"),
        ("bare", r"has no \*\.safetensors to load: choose another --policy"),
    ],
)
def test_what_the_hub_refuses_is_reported_in_one_sentence(
    hub: Hub, tmp_path: Path, trouble: str, sentence: str
) -> None:
    if trouble == "missing":
        hub.repositories.clear()
    elif trouble == "bare":
        (tmp_path / "bare").mkdir()
        (tmp_path / "bare" / "config.json").write_text("{}")
        hub.repositories[POLICY] = tmp_path / "bare"
    else:
        getattr(hub, trouble).add(POLICY)
    with pytest.raises(ModelError, match=sentence):
        VlmPolicy.load(POLICY, device="cpu")


def test_a_name_that_the_hub_cannot_have_is_reported(hub: Hub) -> None:
    with pytest.raises(ModelError, match=r"hub has no a/b\.\.c"):
        VlmPolicy.load("a/b..c", device="cpu")
    assert not hub.asked


def test_without_a_network_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, tmp_path, "http://127.0.0.1:9")  # where nobody listens
    for ask in (lambda: VlmPolicy.load(POLICY, device="cpu"), policy_on_hub(POLICY).bytes_to_fetch):
        with pytest.raises(ModelError, match="hub cannot be reached: check the network, or give --policy a model"):
            ask()
    use_hub(monkeypatch, tmp_path, None)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids"):
        VlmPolicy.load(POLICY, device="cpu")
    with pytest.raises(ModelError, match="give --segmenter a model folder"):
        Sam2Segmenter.load(TINY, device="cpu")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device"), "no disk space for a/b: free some in"),
        (PermissionError(13, "Permission denied"), "is not writable: set HF_HOME to a writable folder"),
    ],
)
def test_a_cache_that_takes_nothing_is_named(monkeypatch: pytest.MonkeyPatch, error: OSError, sentence: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("segr1_app.models.hub.snapshot_download", refuse)
    monkeypatch.setattr(HubModel, "cached", lambda _: None)
    with pytest.raises(ModelError, match=sentence):
        HubModel("a/b", "--policy", "*.safetensors").fetch()


def test_code_from_a_repository_is_never_run(hub: Hub, tmp_path: Path) -> None:
    folder, traces = tmp_path / "evil", tmp_path / "ran"
    folder.mkdir()
    for name, file in POLICY_FILES.items():
        (folder / name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(traces)!r}, 'w').write('ran')\n")
    hub.repositories[POLICY] = folder
    for source in (POLICY, str(folder)):
        with pytest.raises(ModelError, match="code from a model is never run here"):
            VlmPolicy.load(source, device="cpu")
    assert not traces.exists()


def test_weights_that_cannot_fit_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.models.loading.free_memory", lambda _: 10_000_000)
    with pytest.raises(ModelError, match=r"use a smaller --policy\. \(It needs 0\.0 GB; 0\.0 GB are free on cpu\.\)"):
        VlmPolicy.load(DEFAULT_POLICY, device="cpu")


@pytest.fixture(scope="module")
def sam2_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as SAM2.1-tiny's repository: true names and shapes, randomly initialised weights."""
    folder = tmp_path_factory.mktemp("sam2") / "repository"
    folder.mkdir()
    torch.manual_seed(0)
    model = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", device="cpu")
    torch.save({"model": model.state_dict()}, folder / "sam2.1_hiera_tiny.pt")
    # The hub's repositories hold this beside it, under names that the sam2 package does not know.
    (folder / "model.safetensors").write_bytes((DEFAULT_SEGMENTER / "model.safetensors").read_bytes())
    return folder


@pytest.mark.slow
def test_sam2_comes_from_the_hub_as_its_pt_file(hub: Hub, sam2_tiny: Path) -> None:
    hub.repositories[TINY] = sam2_tiny
    loaded = Sam2Segmenter.load(TINY, device="cpu")
    assert loaded.model_id == TINY
    assert not any(path.endswith("model.safetensors") for _, path, _ in hub.asked)
    weights = torch.load(sam2_tiny / "sam2.1_hiera_tiny.pt", weights_only=True)["model"]
    assert all(torch.equal(value, weights[name]) for name, value in loaded.model.state_dict().items())
    picture, _ = ellipse_scene(320, 240, (0.5, 0.5), (0.2, 0.2))
    assert loaded.encode(picture).image_embed.shape == (1, 256, 64, 64)
    from_folder = Sam2Segmenter.load(sam2_tiny, device="cpu")
    assert from_folder.model.state_dict().keys() == weights.keys()


@pytest.mark.slow
def test_a_damaged_or_hostile_pt_file_is_refused(hub: Hub, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    folder = tmp_path / "repository"
    folder.mkdir()
    hub.repositories[TINY] = folder
    torch.save({"model": Hostile()}, folder / "sam2.1_hiera_tiny.pt")
    with pytest.raises(ModelError, match="damaged: delete them and start again"):
        Sam2Segmenter.load(TINY, device="cpu")
    assert not (tmp_path / "ran").exists()
    assert segmenter_on_hub(TINY).cached() is not None


@pytest.mark.slow
def test_a_command_runs_a_model_of_the_hub_named_by_the_environment(hub: Hub, tmp_path: Path) -> None:
    picture, _ = ellipse_scene(160, 120, (0.5, 0.5), (0.2, 0.2))
    Image.fromarray(picture.pixels).save(tmp_path / "scene.png")
    command = [sys.executable, "-m", "segr1_app", "predict", "scene.png", "--out", "out", "--policy", POLICY]
    environ = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf")}
    environ["PYTHONPATH"] = str(Path.cwd())
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "scene.prediction.json").read_text())
    assert POLICY in json.dumps(record)
    hub.repositories.clear()
    command[-1] = "someone/else"
    failed = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "hub has no someone/else" in failed.stderr.splitlines()[-1]


def test_a_pair_from_the_cache_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, segmenter: Sam2Segmenter
) -> None:
    use_hub(monkeypatch, tmp_path, None)
    put_in_cache(tmp_path, POLICY, POLICY_FILES)
    picture, _ = ellipse_scene(320, 240, (0.4, 0.5), (0.2, 0.3))
    prediction = Pipeline(VlmPolicy.load(POLICY, device="cpu"), segmenter).run(picture, "Identify the primary objects.")
    assert prediction.policy_id == POLICY
    assert prediction.masks


def test_the_download_command_fetches_both_and_says_where(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "sam2.1_hiera_tiny.pt").write_bytes(bytes(10_000_000))
    hub.repositories[TINY] = folder
    command = ["download", "--policy", POLICY, "--segmenter", TINY]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert f"{TINY}: 0.01 GB to download" in printed
    assert f"{POLICY} is in {policy_on_hub(POLICY).cached()}" in printed
    asked = len(hub.asked)
    assert main(command) == 0
    assert len(hub.asked) == asked
    assert main(["download", "--policy", "./here"]) == 1
    assert "--policy ./here is not a name on the model hub" in capsys.readouterr().err
