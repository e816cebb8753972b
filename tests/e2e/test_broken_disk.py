"""A full disk and a read-only database under the real server: the page says so, and unfinished work is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Response, expect

from segr1_app.store import AnnotationStore
from tests.disks import bound_by_permissions, files_no_larger_than
from tests.e2e.canvas_page import CanvasPage
from tests.e2e.page_calls import Annotator
from tests.e2e.serving import ROOT, free_port, serving, serving_as
from tests.store.values import HEIGHT, PROMPT, WIDTH, picture, prediction

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FULL = "The disk is full: free some disk space and try again; what was saved is safe."
READ_ONLY = (
    "The annotations are read-only: make the data folder and the files in it writable, and start the app "
    "again; what was saved is safe."
)

DRAFT = '{"comment": "precious"}'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder with one task, which has a prediction."""
    folder = tmp_path / "data"
    with AnnotationStore.open(folder) as made:
        task = made.add_task(made.add_picture(picture(), "cat.png"), "the cat")
        made.add_prediction(task.id, prediction(), "checkpoint")
    return folder


@pytest.fixture
def store(home: Path) -> Iterator[AnnotationStore]:
    with AnnotationStore.open(home) as opened:
        yield opened


def start_work(page: Page) -> CanvasPage:
    page.get_by_role("tab", name="Annotate").click()
    page.fill("#annotator-name", "Ada")
    page.click("[data-action=start]")
    return CanvasPage(page, (WIDTH, HEIGHT), "#annotate")


def shown(canvas: CanvasPage) -> None:
    expect(canvas.page.locator(".job-picture")).to_contain_text("Task 1 ·", timeout=60_000)
    canvas.settle()


def notice(page: Page) -> Locator:
    return page.locator("#annotate .notice").first


def kept_points(store: AnnotationStore) -> int:
    """How many points are in the draft that the server has."""
    draft = store.get_draft(1, "Ada")
    objects: list[dict[str, Any]] = json.loads(draft.content)["objects"] if draft else [{"points": []}]
    return len(objects[0]["points"])


def test_a_full_disk_is_reported_and_costs_no_work(
    home: Path, store: AnnotationStore, tmp_path: Path, visit: Callable[..., Page]
) -> None:
    before = len(PROMPT.points)

    def saving(response: Response) -> bool:
        return "save_decision" in (response.request.post_data or "")

    with serving(tmp_path) as (url, process):
        page = visit(url)
        page.wait_for_selector(".lamp.is-ready", timeout=120_000)
        canvas = start_work(page)
        shown(canvas)
        canvas.click((30, 5))
        for _ in range(100):
            if kept_points(store) == before + 1:
                break
            page.wait_for_timeout(100)
        assert kept_points(store) == before + 1

        with files_no_larger_than((home / "segr1.db-wal").stat().st_size, process.pid):
            canvas.click((33, 25))
            expect(notice(page)).to_have_text(FULL, timeout=20_000)
            with page.expect_response(saving, timeout=60_000) as saved:
                canvas.press("a")
            assert saved.value.json() == {"failure": FULL}
            expect(notice(page)).to_have_text(FULL)
            assert len(canvas.object["points"]) == before + 2, "it is still on the page"
            assert store.history(1) == []
            assert kept_points(store) == before + 1

            page.reload()
            page.get_by_role("tab", name="Annotate").click()
            expect(notice(page)).to_have_text(FULL, timeout=20_000)

        page.click("[data-action=start]")
        shown(canvas)
        expect(notice(page)).to_be_hidden()
        assert len(canvas.object["points"]) == before + 2, "this browser kept what the server could not"
        canvas.press("a")
        expect(notice(page)).to_contain_text("You have no tasks left", timeout=60_000)
        page.context.close()  # before the server goes, which it would complain of
    (revision,) = store.history(1)
    (made,) = revision.correction.objects
    assert made.prompt.points[:before] == PROMPT.points
    assert [(round(point.x), round(point.y), point.label) for point in made.prompt.points[before:]] == [
        (30, 5, 1),
        (33, 25, 1),
    ]
    assert store.get_draft(1, "Ada") is None
    assert list(store.verify()) == []


def test_a_read_only_database_is_reported_and_keeps_the_draft(
    home: Path, tmp_path: Path, visit: Callable[..., Page]
) -> None:
    with AnnotationStore.open(home) as store:
        store.put_draft(1, "Ada", DRAFT)
    database, port = home / "segr1.db", free_port()
    database.chmod(0o444)
    before = database.read_bytes()
    where = ["--port", str(port), "--home", str(home)]
    with serving_as([*bound_by_permissions(), str(ROOT / "app.py"), *where], tmp_path, port, {}) as (url, _):
        page = visit(url)
        start_work(page)
        expect(notice(page)).to_have_text(READ_ONLY, timeout=20_000)
        assert Annotator(url, "Ada").ask("put_draft", task=1, content={"objects": []}) == {"failure": READ_ONLY}
        page.context.close()  # before the server goes, which it would complain of
    assert database.read_bytes() == before
    database.chmod(0o644)
    with AnnotationStore.open(home) as store:
        draft = store.get_draft(1, "Ada")
        assert draft is not None
        assert draft.content == DRAFT
        assert list(store.verify()) == []
