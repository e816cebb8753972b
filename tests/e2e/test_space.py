"""The app as a Space starts it: its variables and port, read-only code and home, a small disk; one annotation."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from segr1_app.cli.deploy import ROOT, shipped
from segr1_app.store import AnnotationStore
from tests.disks import bound_by_permissions
from tests.e2e.serving import free_port, serving_as
from tests.e2e.test_run_tab import LOAD_MS
from tests.scenes import ellipse_scene
from tests.writable_hub import serving_hub

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Without OAUTH_CLIENT_ID, as on a Space that has no hf_oauth: a browser test cannot sign in to the hub.
SPACE = {"SYSTEM": "spaces", "SPACE_ID": "ada/studio", "SPACE_HOST": "ada-studio.hf.space", "SPACE_AUTHOR_NAME": "ada"}


def sync(home: Path, environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "segr1_app", "sync", "--home", str(home)]
    subprocess.run(command, env={**os.environ, **environ}, check=True)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The files of a Space, in a read-only folder."""
    folder = tmp_path / "code"
    for file in shipped():
        target = folder / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(stat.S_IRUSR)
    for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        each.chmod(stat.S_IRUSR | stat.S_IXUSR)
    return folder


def test_a_visitor_annotates_on_a_space(
    code: Path, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, home, port = tmp_path / "tmp", tmp_path / "home", free_port()
    disk.mkdir()
    home.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    monkeypatch.delenv("SEGR1_HOME", raising=False)
    with serving_hub(tmp_path / "hub") as hub:
        environ = {
            **SPACE,
            **hub.environ,
            "GRADIO_SERVER_NAME": "0.0.0.0",
            "GRADIO_SERVER_PORT": str(port),
            "TMPDIR": str(disk),
            "HOME": str(home),
            "PYTHONPATH": str(code),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SEGR1_DATASET": "ada/work",
            "SEGR1_ANONYMOUS": "annotator",
        }
        before = sorted(path.relative_to(code) for path in code.rglob("*"))
        # The picture to annotate is there already: an earlier Space pushed it.
        with AnnotationStore.open(tmp_path / "earlier") as store:
            egg, _ = ellipse_scene(480, 360, (0.5, 0.5), (0.18, 0.22), seed=0)
            store.add_task(store.add_picture(egg, "egg.png"), "Identify and segment all the primary objects.")
            sync(tmp_path / "earlier", environ)
        command = [*bound_by_permissions(), str(code / "app.py")]
        with serving_as(command, tmp_path, port, environ) as (url, process):
            # On a Space gradio itself adds the hub's bar, with fonts and a portrait from elsewhere: not ours to forbid.
            context = browser.new_context()
            context.route(lambda asked: not asked.startswith((url, "data:", "blob:")), lambda route: route.abort())
            page = context.new_page()
            exceptions: list[str] = []
            page.on("pageerror", lambda error: exceptions.append(str(error)))
            page.goto(url)
            page.wait_for_selector(".lamp.is-ready", timeout=LOAD_MS)
            expect(page.locator(".header-copy")).to_contain_text("with ada/work")
            page.get_by_role("tab", name="Annotate").click()
            # Visitors of a Space import and export nothing, and do not train.
            expect(page.locator("#import")).to_be_hidden()
            expect(page.get_by_role("tab", name="Train")).to_have_count(0)
            page.fill("#annotator-name", "Grace")
            page.click("[data-action=start]")
            expect(page.locator(".job-instruction")).to_contain_text("primary objects", timeout=LOAD_MS)
            # It cannot be decided before it could be seen.
            page.locator("#annotate .stage-frame[data-seen=true]").wait_for()
            page.click("#annotate [data-action=accept]")
            expect(page.locator(".job-count")).to_contain_text("1 of 1 decided", timeout=LOAD_MS)
            context.close()
            assert exceptions == []
            process.terminate()
            assert process.wait(timeout=60) == 0
        assert sorted(path.relative_to(code) for path in code.rglob("*")) == before
        assert list(home.iterdir()) == []
        assert sum(file.stat().st_size for file in disk.rglob("*") if file.is_file()) < 50 * 2**20
        sync(tmp_path / "later", environ)
    with AnnotationStore.open(tmp_path / "later") as store:
        (revision,) = store.history(1)
        assert (revision.annotator, revision.correction.verdict.value) == ("Grace", "accept")
