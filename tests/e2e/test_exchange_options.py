"""The options of imports and exports on the page determine what is stored and what is exported."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from segr1_app.store.exchange.accepting import accept_truths
from tests.e2e.annotate_page import SIZE, open_tab, unfold
from tests.e2e.conftest import ScriptedApp, switch_scheme
from tests.scenes import ellipse_scene

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CLASSES = np.zeros(SIZE[::-1], dtype=np.uint8)
CLASSES[40:200, 60:240] = 1
CLASSES[220:300, 300:400] = 2
CAT, DOG = CLASSES == 1, CLASSES == 2


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two pictures, of which one has a mask of two classes without names."""
    archive = tmp_path / "pairs.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for seed in range(2):
            scene = ellipse_scene(*SIZE, (0.5, 0.5), (0.18, 0.22), seed=seed)[0].pixels
            made.writestr(f"images/{seed}.png", png(scene))
        made.writestr("masks/0.png", png(CLASSES))
    return archive


def bring(page: Page, archive: Path) -> str:
    """Import again with the current options."""
    result = page.locator("#import-result textarea")
    before = result.input_value()
    page.set_input_files("#import-files input[type=file]", archive)
    expect(page.locator("#import-files")).to_contain_text(archive.stem)
    page.click("#import-button")
    expect(result).not_to_have_value(before, timeout=30_000)
    page.get_by_label("Clear").first.click()
    return result.input_value()


def test_options_of_an_import_reach_the_store(
    annotate_app: ScriptedApp, visit: Callable[..., Page], pairs: Path
) -> None:
    page, store = open_tab(visit, annotate_app.url), annotate_app.store
    unfold(page.get_by_text("Import pictures"))
    page.locator("#import-instruction textarea").fill("the animal")
    unfold(page.locator("#import-options").get_by_text("Options"))

    page.get_by_label("Pictures only, without annotations").check()
    assert "New: 3 pictures, 3 tasks, 0 ground-truth masks" in bring(page, pairs), "the mask is a picture, too"
    page.get_by_label("Pictures only, without annotations").uncheck()
    page.locator("#import-class input, #import-class textarea").fill("2")
    assert "1 ground-truth mask" in bring(page, pairs)
    assert np.array_equal(store.ground_truth(store.task(1).sha256, "the animal"), DOG)

    page.locator("#import-columns input, #import-columns textarea").fill("masks=label")
    assert "'masks=label' should have the form ROLE=NAME" in bring(page, pairs)


def test_filters_and_rights_of_an_export_reach_the_archive(
    annotate_app: ScriptedApp, visit: Callable[..., Page]
) -> None:
    store = annotate_app.store
    for seed, (name, mask) in enumerate((("cat", CAT), ("dog", DOG))):
        picture = ellipse_scene(*SIZE, (0.5, 0.5), (0.18, 0.22), seed=seed)[0]
        store.add_task(store.add_picture(picture, f"{name}.png"), f"Identify and segment the {name}.", mask)
    accept_truths(store, "Ada")
    page = open_tab(visit, annotate_app.url)
    unfold(page.get_by_text("Export annotations"))
    unfold(page.locator("#export-filters").get_by_text("Filters and rights"))
    for name, text in (("classes", "dog"), ("annotators", "Ada, Ben"), ("licence", "CC BY 4.0"), ("contributor", "Us")):
        page.locator(f"#export-{name} input, #export-{name} textarea").fill(text)
    page.click("#export-button")
    expect(page.get_by_label("Notes")).to_have_value(re.compile("1 tasks exported"), timeout=20_000)
    with page.expect_download() as download:
        page.locator("#export-file a").first.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        content = json.loads(archive.read("annotations/instances_train.json"))
    assert [each["name"] for each in content["categories"]] == ["dog"]
    assert [each["file_name"] for each in content["images"]] == ["dog.png"]
    assert content["licenses"][0]["name"] == "CC BY 4.0"
    assert content["info"]["contributor"] == "Us"

    page.locator("#export-annotators input, #export-annotators textarea").fill("Ben")
    page.click("#export-button")
    expect(page.get_by_label("Notes")).to_have_value(re.compile("0 tasks exported"), timeout=20_000)
    page.locator("#export-since input, #export-since textarea").fill("yesterday")
    page.click("#export-button")
    expect(page.get_by_text("yesterday is not a date")).to_be_visible(timeout=20_000)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_options_fit_on_any_screen(annotate_app: ScriptedApp, visit: Callable[..., Page], width: int) -> None:
    page = open_tab(visit, annotate_app.url, width, 900)
    unfold(page.get_by_text("Import pictures"))
    unfold(page.locator("#import-options").get_by_text("Options"))
    unfold(page.get_by_text("Export annotations"))
    unfold(page.locator("#export-filters").get_by_text("Filters and rights"))
    for scheme in ("light", "dark"):
        switch_scheme(page, scheme)
        expect(page.locator("#export-seed")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for part in ("#import-class", "#import-orientation", "#export-verdict", "#export-seed"):
            box = page.locator(part).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
