"""The page offers the full models where they would run: their size, the download's progress, and resuming it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app import prepare_cache
from segr1_app.models.host import LoadedModels
from segr1_app.models.pipeline import Pipeline
from segr1_app.settings.config import DEFAULT_POLICY, FULL_POLICY, FULL_SEGMENTER, Settings
from segr1_app.store import AnnotationStore
from segr1_app.ui import ModelHost, build_app, launch_options
from tests.e2e.serving import free_port
from tests.hub import Hub, serving, use_hub

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with both full models, whose weights here are a megabyte of zeros, and an empty cache."""
    with serving() as hub:
        for repo_id, names in ((FULL_POLICY, ("model.safetensors", "config.json")), (FULL_SEGMENTER, ("large.pt",))):
            hub.repositories[repo_id] = tmp_path / repo_id
            hub.repositories[repo_id].mkdir(parents=True)
            for name in names:
                (tmp_path / repo_id / name).write_bytes(bytes(1_000_000))
        use_hub(monkeypatch, tmp_path / "cache", hub.address)
        yield hub


@pytest.fixture
def loaded() -> list[str]:
    """The policies that the page loaded, in order."""
    return []


@pytest.fixture
def url(
    hub: Hub,  # noqa: ARG001
    loaded: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    pipeline: Pipeline,
) -> Iterator[str]:
    """A page on a machine that seems to have a GPU; what is loaded are the embedded models in any case."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (int(80e9), int(80e9)))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # what the app sets is undone after the test
    cache, port = prepare_cache(tmp_path / "home"), free_port()

    def load(settings: Settings) -> LoadedModels:
        loaded.append(settings.policy)
        return LoadedModels(pipeline, "cuda", "")

    models = ModelHost(Settings(home=tmp_path / "home"), load)
    with AnnotationStore.open(tmp_path / "home") as store:
        page = build_app(models, cache, store)
        page.launch(server_port=port, prevent_thread_lock=True, quiet=True, **launch_options())
        yield f"http://127.0.0.1:{port}/"
        page.close()


def test_the_full_models_are_fetched_from_the_page(
    hub: Hub, url: str, loaded: list[str], visit: Callable[..., Page]
) -> None:
    page = visit(url)
    reason, offer = page.locator(".header-reason"), page.locator(".header-download")
    expect(reason).to_have_text("The embedded models run, because the full weights are not downloaded.")
    page.get_by_role("button", name="Download the full models…").click()
    hub.broken.add("large.pt")
    page.get_by_role("button", name="Download 0.003 GB and use them").click()
    expect(offer).to_contain_text("was interrupted: check the network and try again")
    hub.broken.clear()
    page.get_by_role("button", name="Resume the download").click()
    expect(reason).to_have_text("The full models run: weights and a GPU for them are available.")
    expect(offer).to_be_hidden()
    assert loaded == [str(DEFAULT_POLICY), FULL_POLICY]
