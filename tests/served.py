"""A page that is really served, over a store with one decided task, and ways to ask it as somebody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client

from app import prepare_cache
from segr1_app.models.host import LoadedModels
from segr1_app.models.pipeline import Pipeline
from segr1_app.people.accounts import People
from segr1_app.settings.config import Settings
from segr1_app.settings.roles import Role
from segr1_app.store import AnnotationStore
from segr1_app.ui import ModelHost, build_app, launch_options
from tests.e2e.serving import free_port
from tests.store.values import corrected, picture, rectangle

PASSWORD = "correct horse battery"


class Served:
    """A page over a store with one decided task, and ways to ask it as somebody."""

    def __init__(self, url: str, store: AnnotationStore, models: ModelHost, page: Any) -> None:
        self.url, self.store, self.models, self.page = url, store, models, page
        self.config: dict[str, Any] = page.config

    def api(self, name: str | None = None) -> Client:
        return Client(self.url, auth=(name, PASSWORD) if name else None, verbose=False)

    def past_the_queue(self, view: str, function: str, question: dict[str, Any], **by: Any) -> Any:
        """Call a function as a view's JavaScript does, with ``cookies``."""
        component = next(each["id"] for each in self.config["components"] if each["props"].get("elem_id") == view)
        body = {"data": question, "component_id": component, "fn_name": function, "session_hash": "test"}
        return httpx.post(f"{self.url}gradio_api/component_server", json=body, **by)

    def sign_in(self, name: str) -> dict[str, str]:
        answer = httpx.post(f"{self.url}login", data={"username": name, "password": PASSWORD})
        return dict(answer.cookies) if answer.status_code == 200 else {}


@pytest.fixture
def serve(tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # what the app sets is undone after the test
    cache = prepare_cache(tmp_path / "home")
    with ExitStack() as opened:

        def start(**settings: Any) -> Served:
            chosen = Settings(home=tmp_path / "home", **settings)
            models = ModelHost(chosen, lambda _: LoadedModels(pipeline, "cpu", ""))
            store = opened.enter_context(AnnotationStore.open(chosen.home))
            task = store.add_task(store.add_picture(picture(), "photo.png"), "the cat")
            store.save(task.id, "Ada", corrected(rectangle(1, 1, 9, 9)))
            page = build_app(models, cache, store)
            port = free_port()
            page.launch(server_port=port, prevent_thread_lock=True, quiet=True, **launch_options(chosen))
            opened.callback(page.close)
            return Served(f"http://127.0.0.1:{port}/", store, models, page)

        yield start


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("segr1_app.people.accounts.COST", 2**10)  # nobody guesses here
    file = tmp_path / "people.json"
    for role in Role:
        People(file).put(role.value.title(), role, PASSWORD)
    return file
