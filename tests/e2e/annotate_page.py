"""The Annotate tab as a test uses it, besides its canvas."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect


def bring_in(page: Page, files: list[Path], instruction: str) -> str:
    """Import files in the open Annotate tab; returns what the page tells of it."""
    page.get_by_text("Import pictures").click()
    page.set_input_files("#import-files input[type=file]", files)
    expect(page.locator("#import-files")).to_contain_text(files[-1].stem)
    page.locator("#import-instruction textarea").fill(instruction)
    page.click("#import-button")
    result = page.locator("#import-result textarea")
    expect(result).not_to_have_value("", timeout=30_000)
    page.get_by_text("Import pictures").click()
    return result.input_value()
