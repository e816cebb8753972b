"""Find all on the Annotate tab, with a tiny random SAM 3: proposals one by one, each kept or left out by a key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from segr1_app.models import sam3_concepts
from segr1_app.models.concepts import ConceptHost
from segr1_app.ui import page as page_module
from tests.e2e.annotate_page import at_work
from tests.e2e.conftest import ScriptedApp, ScriptedPolicy
from tests.sam3 import tiny_sam3

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_word_proposes_instances_that_keys_keep_or_leave_out(
    open_studio: Callable[[ScriptedPolicy], ScriptedApp],
    visit: Callable[..., Page],
    uploads: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny_sam3(tmp_path / "sam3")
    # A random model is sure of nothing.
    monkeypatch.setattr(sam3_concepts, "LEAST_SCORE", 0.0)
    monkeypatch.setattr(page_module, "ConceptHost", lambda *_: ConceptHost(str(tmp_path / "sam3"), "cpu"))
    policy = ScriptedPolicy(["<think> nothing </think>"])
    policy.go.set()
    app = open_studio(policy)
    canvas = at_work(visit, app.url, uploads[:1])
    page = canvas.page
    status = page.locator("#annotate .stage-status")
    canvas.press("y")
    expect(status).to_contain_text("Nothing is proposed")
    page.fill("#find-words", "cat")
    page.press("#find-words", "Enter")
    expect(status).to_contain_text("Proposal 1 of 8", timeout=60_000)
    canvas.settle()
    # An open proposal is answered before the task is decided.
    canvas.press("a")
    expect(status).to_contain_text("Y keeps it, I leaves it out")
    canvas.press("y")
    expect(status).to_contain_text("Proposal 2 of 8")
    canvas.press("y")
    for number in range(3, 9):
        expect(status).to_contain_text(f"Proposal {number} of 8")
        canvas.press("i")
    expect(status).to_contain_text("2 of 8 kept.")
    canvas.settle()
    canvas.press("a")
    expect(page.locator("#annotate .job-undo")).to_contain_text("Task 1 is decided", timeout=30_000)
    (revision,) = app.store.history(1)
    objects = revision.correction.objects
    assert [made.prompt.name for made in objects] == ["cat", "cat"]
    assert all(made.prompt.box is not None and made.refined_from is not None for made in objects)
