"""Which models run when none are named, and downloading the full ones while the app is running."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segr1_app.domain import ModelError
from segr1_app.files.logs import TOLD, log_as
from segr1_app.models import downloads
from segr1_app.models.downloads import Download, DownloadState
from segr1_app.models.host import LoadedModels, ModelHost
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.selection import FULL_MODELS, choose_models
from segr1_app.settings.config import DEFAULT_POLICY, DEFAULT_SEGMENTER, FULL_POLICY, FULL_SEGMENTER, Settings
from segr1_app.ui.handlers.models import DownloadHandlers
from tests.hub import Hub, put_in_cache, serving, use_hub

EMBEDDED = (str(DEFAULT_POLICY), str(DEFAULT_SEGMENTER))
FULL = (FULL_POLICY, FULL_SEGMENTER)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with both full models, whose weights here are a megabyte of zeros, and an empty cache."""
    with serving() as hub:
        for repo_id, names in ((FULL_POLICY, ("model.safetensors", "config.json")), (FULL_SEGMENTER, ("large.pt",))):
            folder = tmp_path / repo_id
            folder.mkdir(parents=True)
            for name in names:
                (folder / name).write_bytes(bytes(1_000_000))
            hub.repositories[repo_id] = folder
        use_hub(monkeypatch, tmp_path / "cache", hub.address)
        yield hub


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Pretend that there is a GPU with this many bytes free: the one condition that a test cannot provide."""

    def there(free: float) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (int(free), int(80e9)))

    return there


def cache_full_models(hub: Hub, cache: Path) -> None:
    for repo_id, folder in hub.repositories.items():
        put_in_cache(cache, repo_id, {file.name: file for file in folder.iterdir()})


def pair(settings: Settings) -> tuple[str, str]:
    return settings.policy, settings.segmenter


def test_the_full_pair_runs_where_it_is_cached_and_a_gpu_is_there(
    hub: Hub, gpu: Callable[[float], None], tmp_path: Path
) -> None:
    gpu(14e9)
    choice = choose_models(Settings())
    assert pair(choice.settings) == EMBEDDED
    assert choice.missing
    assert "not downloaded" in choice.reason
    cache_full_models(hub, tmp_path / "cache")
    choice = choose_models(Settings())
    assert pair(choice.settings) == FULL
    assert not choice.missing
    gpu(8e9)
    choice = choose_models(Settings())
    assert pair(choice.settings) == EMBEDDED
    assert "14 GB of GPU memory, and 8.0 GB are free" in choice.reason
    assert not hub.asked, "a choice needs no network"


@pytest.mark.parametrize(("device", "reason"), [("cpu", "need a GPU, not cpu"), ("toaster", "no toaster")])
def test_without_a_gpu_the_embedded_pair_runs(hub: Hub, tmp_path: Path, device: str, reason: str) -> None:
    cache_full_models(hub, tmp_path / "cache")
    choice = choose_models(Settings(device=device))
    assert pair(choice.settings) == EMBEDDED
    assert reason in choice.reason


def test_what_is_named_is_taken() -> None:
    assert pair(choose_models(Settings(models="full", device="cpu")).settings) == FULL
    assert pair(choose_models(Settings(models="embedded")).settings) == EMBEDDED
    named = Settings(models="full", policy="a/b")
    assert pair(choose_models(named).settings) == ("a/b", FULL_SEGMENTER)
    both = choose_models(Settings(policy="a/b", segmenter="c"))
    assert (pair(both.settings), both.reason) == (("a/b", "c"), "")


def test_only_what_is_left_open_is_chosen(hub: Hub, gpu: Callable[[float], None], tmp_path: Path) -> None:
    gpu(3e9)
    named = Settings(policy="geshang/Seg-R1-7B")
    choice = choose_models(named)
    assert pair(choice.settings) == ("geshang/Seg-R1-7B", str(DEFAULT_SEGMENTER))
    assert choice.reason == "The embedded segmenter runs, because the full weights are not downloaded."
    assert [model.repo_id for model in choice.open] == [FULL_SEGMENTER]
    # Of the other full policy nothing is wanted.
    put_in_cache(tmp_path / "cache", FULL_SEGMENTER, {"large.pt": hub.repositories[FULL_SEGMENTER] / "large.pt"})
    choice = choose_models(named)
    assert pair(choice.settings) == ("geshang/Seg-R1-7B", FULL_SEGMENTER)
    assert choice.reason.startswith("The full segmenter runs")


def finished(download: Download) -> DownloadState:
    deadline = time.monotonic() + 60
    while download.state.state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return download.state


def test_a_download_tells_its_size_and_progress_and_goes_on_after_a_failure(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "segr1_app.models.downloads")
    arrived: list[bool] = []
    download = Download(FULL_MODELS, lambda: arrived.append(True))
    handlers = DownloadHandlers(download)
    assert handlers.download_state()["state"] == "idle"
    assert handlers.download_size() == {"bytes": 3_000_000}
    hub.broken.add("large.pt")
    assert handlers.download_models()["state"] == "running"
    broken = finished(download)
    assert broken.state == "failed"
    assert "was interrupted" in broken.trouble
    assert not arrived
    assert handlers.download_size() == {"bytes": 1_000_000}
    hub.broken.clear()
    handlers.download_models()
    whole = finished(download)
    assert (whole.state, whole.done, whole.total) == ("done", 1_000_000, 1_000_000)
    assert arrived == [True]
    assert all(model.cached() for model in FULL_MODELS)
    logged = [record.getMessage() for record in caplog.records]
    assert logged[0] == f"Downloading {FULL_POLICY} and {FULL_SEGMENTER}: 0.00 GB"
    assert any(line.startswith("Downloaded 0.00 GB of") for line in logged)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert logged[-1].startswith(f"Downloaded {FULL_POLICY} and {FULL_SEGMENTER} in")


def test_every_byte_is_counted_once() -> None:
    counts: list[int] = []
    bar = downloads._counter(counts.append)
    for unit in ("B", "it"):
        counted = bar(total=10, unit=unit, desc="x")
        counted.update(4)
        counted.update(6)
        counted.close()
    assert counts == [4, 10]


def test_the_app_takes_the_full_pair_once_it_is_there(
    hub: Hub, gpu: Callable[[float], None], pipeline: Pipeline
) -> None:
    loads: list[tuple[str, str]] = []

    def load(settings: Settings) -> LoadedModels:
        loads.append(pair(settings))
        return LoadedModels(pipeline, "cuda", "")

    gpu(14e9)
    models = ModelHost(Settings(), load)
    models.pipeline()
    assert models.status.offered
    download = Download(FULL_MODELS, models.choose_again)
    download.start()
    finished(download)
    for _ in range(1000):
        if loads[-1] == FULL:
            break
        time.sleep(0.01)
    models.pipeline()
    assert loads == [EMBEDDED, FULL]
    assert not models.status.offered
    assert models.status.reason.startswith("The full models run")
    assert hub.asked


def test_nothing_is_offered_where_it_would_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pipeline: Pipeline
) -> None:
    use_hub(monkeypatch, tmp_path, None)
    models = ModelHost(Settings(device="cpu"), lambda _: LoadedModels(pipeline, "cpu", ""))
    models.pipeline()
    assert not models.status.offered
    assert models.status.reason == "The embedded models run, because the full weights need a GPU, not cpu."


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in ("segr1_app", *TOLD)]
    handlers, levels = list(root.handlers), [each.level for each in (root, *ours)]
    yield
    root.handlers[:] = handlers
    for each, level in zip((root, *ours), levels, strict=True):
        each.setLevel(level)


@pytest.mark.usefixtures("logging_as_before")
def test_the_terminal_says_which_models_run_and_little_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    use_hub(monkeypatch, tmp_path, None)
    log_as("text")
    ModelHost(Settings(device="cpu"), lambda _: LoadedModels(pipeline, "cpu", "")).pipeline()
    logging.getLogger("segr1_app.ui.gate.endpoints").info("somebody saved something")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("The embedded models run, because the full weights need a GPU, not cpu.")


def test_unavailable_models_are_replaced_by_the_embedded_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, tmp_path, None)
    models = ModelHost(Settings(policy="someone/large", device="cpu"))
    assert models.pipeline().policy.model_id == "embedded policy"
    assert models.status.state == "ready"
    assert "HF_HUB_OFFLINE forbids downloading someone/large" in models.status.failure
    assert "the small embedded models answer" in models.status.failure
    assert models.settings.policy == str(DEFAULT_POLICY), "what is trained and stored is what runs"


def test_when_nothing_loads_what_was_asked_for_is_reported() -> None:
    def load(settings: Settings) -> LoadedModels:
        raise ModelError(f"not {settings.policy}")

    models = ModelHost(Settings(policy="someone/large"), load)
    with pytest.raises(ModelError, match="not someone/large"):
        models.pipeline()
    assert models.status.state == "failed"
