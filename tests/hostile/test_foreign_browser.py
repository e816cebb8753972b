"""A real browser on a page of another site, which tries everything that a page can against this server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Playwright

from segr1_app.settings.roles import Role
from tests.e2e.serving import CHROMIUM_FLAGS, find_chromium
from tests.served import PASSWORD, Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVIL = "evil.example"
"""Points to this machine, as a name does after DNS rebinding."""
# Everything is tried and waited for; what could be read is returned.
ATTACK = """async ([target, component]) => {
  const read = [];
  const body = JSON.stringify({ component_id: component, fn_name: "put_draft", session_hash: "evil",
    data: { annotator: "Eve", task: 1, content: { by: "Eve" } } });
  const paths = ["", "config", "healthz", "gradio_api/info", "gradio_api/queue/data?session_hash=evil",
    "gradio_api/component_server", "gradio_api/component_server/", "gradio_api/call/statistics",
    "gradio_api/upload", "gradio_api/reset", "logout", "login", "studio/canvas/canvas.js"];
  const kinds = ["text/plain", "application/json", "application/x-www-form-urlencoded", "text/plain;application/json"];
  const tried = [];
  const attempt = async (name, work) => {
    const given = await Promise.race([work().catch(() => null), new Promise((done) => setTimeout(done, 3000, null))]);
    if (given) read.push(`${name}: ${given}`);
  };
  for (const path of paths) {
    for (const mode of ["cors", "no-cors"]) {
      const options = { mode, credentials: "include" };
      const text = async (answer) => (await answer.text()).slice(0, 60);
      tried.push(attempt(`get ${path}`, async () => text(await fetch(target + path, options))));
      for (const kind of kinds) tried.push(attempt(`post ${path} as ${kind}`, async () =>
        text(await fetch(target + path, { ...options, method: "POST", body, headers: { "Content-Type": kind } }))));
      const form = new FormData();
      form.append("files", new Blob(["evil"]), "evil.png");
      tried.push(attempt(`upload ${path}`, async () =>
        text(await fetch(target + path, { ...options, method: "POST", body: form }))));
    }
    navigator.sendBeacon(target + path, new Blob([body], { type: "text/plain" }));
    const image = document.body.appendChild(new Image());
    image.src = target + path;
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.name = `frame-${path}`;
    const form = document.body.appendChild(document.createElement("form"));
    Object.assign(form, { action: target + path, method: "post", enctype: "text/plain", target: frame.name });
    const cut = body.indexOf('":') + 2;
    form.append(Object.assign(document.createElement("input"), { name: `${body.slice(0, -1)},"x":"`, value: `"}` }));
    form.submit();
    tried.push(attempt(`events of ${path}`, () => new Promise((done) => {
      const events = new EventSource(target + path, { withCredentials: true });
      events.onopen = () => done("open");
      events.onerror = () => { events.close(); done(null); };
    })));
    tried.push(attempt(`socket at ${path}`, () => new Promise((done) => {
      const socket = new WebSocket(`${target}${path}`.replace("http", "ws"));
      socket.onopen = () => done("open");
      socket.onerror = () => done(null);
    })));
  }
  tried.push(attempt("script", () => import(`${target}studio/shared/rle.js`).then((made) => Object.keys(made).join())));
  await Promise.all(tried);
  return read;
}"""


class Nothing(BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>evil</title>")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def evil_page(playwright: Playwright) -> Iterator[Callable[[], tuple[Page, str]]]:
    """Opens an empty page of another site; returns it with its address."""
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = [*CHROMIUM_FLAGS, f"--host-resolver-rules=MAP *{EVIL} 127.0.0.1"]
    browser = playwright.chromium.launch(executable_path=executable, args=flags)

    def open_page() -> tuple[Page, str]:
        return browser.new_context().new_page(), f"http://{EVIL}:{server.server_port}/"

    yield open_page
    browser.close()
    server.shutdown()


def view_of(served: Served) -> int:
    """The number of the component whose functions save what annotators do."""
    views = {each["props"].get("elem_id"): each["id"] for each in served.config["components"]}
    number: int = views["annotate"]
    return number


def attack(page: Page, evil: str, served: Served) -> list[str]:
    """Everything that a page of another site can try; returns what it could read."""
    page.goto(evil)
    read: list[str] = page.evaluate(ATTACK, [served.url, view_of(served)])
    for frame in page.frames[1:]:
        assert not frame.url.startswith(served.url), "it is shown in a frame"
    return read


def test_a_page_of_another_site_reaches_nothing(
    serve: Callable[..., Served], evil_page: Callable[[], tuple[Page, str]], tmp_path: Path
) -> None:
    served = serve()
    page, evil = evil_page()
    uploads = set((tmp_path / "home" / "cache").iterdir())
    assert attack(page, evil, served) == []
    # Its own name now points here: the page that comes is a refusal, not the app.
    port = urlsplit(served.url).port
    answer = page.goto(f"http://{EVIL}:{port}/")
    assert answer is not None
    assert answer.status == 400
    assert served.store.get_draft(1, "Eve") is None
    assert set((tmp_path / "home" / "cache").iterdir()) == uploads
    assert not (tmp_path / "home" / "runs").exists()
    # The same from its own page, to see that the attacks would work.
    page.goto(served.url)
    assert page.evaluate(ATTACK, [served.url, view_of(served)])
    assert served.store.get_draft(1, "Eve") is not None


def test_a_page_of_another_site_cannot_use_a_sign_in(
    serve: Callable[..., Served], people: Path, evil_page: Callable[[], tuple[Page, str]]
) -> None:
    served = serve(auth=people)
    page, evil = evil_page()
    name = Role.ADMIN.value.title()
    answer = page.request.post(f"{served.url}login", form={"username": name, "password": PASSWORD})
    assert answer.ok
    assert page.request.get(f"{served.url}config").ok
    assert attack(page, evil, served) == []
    assert served.store.get_draft(1, "Eve") is None
    assert served.store.get_draft(1, name) is None
    page.goto(f"{evil}?leave")
    page.evaluate("(target) => { location = target; }", f"{served.url}logout")
    page.wait_for_timeout(500)
    assert page.request.get(f"{served.url}config").ok, "another site signed somebody out"
