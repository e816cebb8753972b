"""A real Chromium on a page that is really served.

`real_app` is ``python app.py`` in a process of its own with the embedded models. `scripted_app` is the same page in
this process, with the embedded segmenter and a policy whose text a test decides: for answers that the embedded one
never gives.
"""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright

from segr1_app.domain import ImageSize
from segr1_app.images.pictures import Picture
from segr1_app.language.protocol import Request, TaskKind
from segr1_app.language.protocol_files import find_protocol
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import Settings
from segr1_app.store import AnnotationStore
from tests.e2e.annotate_page import SAID, SIZE, mask_file
from tests.e2e.serving import CHROMIUM_FLAGS, CHROMIUM_NAMES, find_chromium, free_port, serving
from tests.scenes import ellipse_scene


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        reason = f"no Chromium on this machine (looked for {', '.join(CHROMIUM_NAMES)})"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
    yield browser
    browser.close()


@dataclass
class Visit:
    """A page that records what must not happen: console errors, exceptions, requests to other hosts."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        self.page.on("request", lambda request: self._check(request.url))

    def _note(self, message: ConsoleMessage) -> None:
        # gradio logs a request that was under way when the page was left or loaded again.
        if message.type == "error" and not message.text.startswith("AbortError: signal is aborted"):
            self.faults.append(f"console: {message.text}")

    def _check(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.faults.append(f"foreign request: {url}")


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages in separate contexts; at the end none of them may have recorded an error."""
    visits: list[Visit] = []

    def open_page(
        url: str, width: int = 1280, height: int = 800, scheme: str = "light", *, touch: bool = False
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=touch, is_mobile=touch
        )
        page = context.new_page()
        if slowdown := os.environ.get("SEGR1_BROWSER_SLOWDOWN"):
            # A test that fails like this counts on a fast machine.
            context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": float(slowdown)})
        visits.append(Visit(page, url))
        page.goto(url)
        page.wait_for_selector("[data-phase=idle]")
        return page

    yield open_page
    for visited in visits:
        visited.page.context.close()
    assert [fault for visited in visits for fault in visited.faults] == []


def switch_scheme(page: Page, scheme: str) -> None:
    """Change the system's colours under an open page, and wait until it has followed and no colour still changes."""
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page.wait_for_function(
        """(dark) => document.body.classList.contains("dark") === dark && document.getAnimations()
        .every((a) => a.playState !== "running" || a.effect.getComputedTiming().endTime === Infinity)""",
        arg=scheme == "dark",
    )


@pytest.fixture(scope="session")
def real_app(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001
    """The address of ``python app.py`` with the embedded models; skipped without a browser."""
    folder = tmp_path_factory.mktemp("real")
    with serving(folder) as (url, _):
        yield url
    # Whatever the page made lies in its home, and nothing in the folder it was started from.
    assert sorted(entry.name for entry in folder.iterdir()) == ["app.log", "data"]


@dataclass
class ScriptedPolicy:
    """A policy that writes ``pieces``; from the second piece on it waits until ``go`` is set."""

    pieces: list[str] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    model_id: str = "scripted policy"

    def request(self, image_wh: ImageSize, instruction: str, task: TaskKind = TaskKind.FREE) -> Request:
        return find_protocol("studio").request(image_wh, instruction, task, frame=image_wh)

    def stream(self, picture: Picture, instruction: str, task: TaskKind) -> Iterator[str]:  # noqa: ARG002
        for index, piece in enumerate(self.pieces):
            if index:
                assert self.go.wait(30)
            yield piece


@dataclass
class ScriptedApp:
    url: str
    policy: ScriptedPolicy
    store: AnnotationStore


UNDERSTANDS = "Whatever a test says."


@contextmanager
def studio(home: Path, policy: ScriptedPolicy, segmenter: Sam2Segmenter) -> Iterator[ScriptedApp]:
    """The page over a store of its own in ``home``; the caller resets GRADIO_TEMP_DIR, which the app sets."""
    from app import prepare_cache

    cache = prepare_cache(home)

    from segr1_app.models.host import LoadedModels
    from segr1_app.ui import ModelHost, build_app, launch_options

    models = ModelHost(
        Settings(home=cache.parent), lambda _: LoadedModels(Pipeline(policy, segmenter), "cpu", UNDERSTANDS)
    )
    models.start()
    with AnnotationStore.open(home) as store:
        page = build_app(models, cache, store)
        port = free_port()
        page.launch(server_port=port, prevent_thread_lock=True, quiet=True, **launch_options())
        yield ScriptedApp(f"http://127.0.0.1:{port}/", policy, store)
        page.close()


@pytest.fixture
def open_studio(
    browser: Browser,  # noqa: ARG001 - worth starting only where there is one
    segmenter: Sam2Segmenter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[ScriptedPolicy], ScriptedApp]]:
    """Opens the page over an empty store of the test's own."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # what the app sets is undone after the test
    with ExitStack() as opened:
        yield lambda policy: opened.enter_context(studio(tmp_path / "home", policy, segmenter))


@pytest.fixture(scope="session")
def _scripted_server(
    browser: Browser,  # noqa: ARG001
    segmenter: Sam2Segmenter,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ScriptedApp]:
    with studio(tmp_path_factory.mktemp("scripted"), ScriptedPolicy(), segmenter) as app:
        yield app


@pytest.fixture
def scripted_app(_scripted_server: ScriptedApp) -> Iterator[ScriptedApp]:
    policy = _scripted_server.policy
    policy.pieces = []
    policy.go.set()
    yield _scripted_server
    policy.go.set()


@pytest.fixture
def annotate_app(open_studio: Callable[[ScriptedPolicy], ScriptedApp]) -> ScriptedApp:
    policy = ScriptedPolicy([SAID])
    policy.go.set()
    return open_studio(policy)


@pytest.fixture
def uploads(tmp_path: Path) -> list[Path]:
    """A picture, an archive of two more, one with a name like markup and one with its mask, and what is not a
    picture.
    """
    folder = tmp_path / "uploads"
    folder.mkdir()
    pictures = []
    for index, centre in enumerate(((0.5, 0.5), (0.45, 0.55), (0.55, 0.45))):
        pictures.append(folder / f"egg{index}.png")
        Image.fromarray(ellipse_scene(*SIZE, centre, (0.18, 0.22), seed=index)[0].pixels).save(pictures[-1])
    archive = folder / "more.zip"
    with zipfile.ZipFile(archive, "w") as more:
        more.write(pictures[1], "escape<b>.png")
        more.write(pictures[2], "images/egg.png")
        more.writestr("masks/egg.png", mask_file())
        more.writestr("readme.txt", "no picture")
    text = folder / "text.png"
    text.write_text("no picture either")
    return [pictures[0], archive, text]
