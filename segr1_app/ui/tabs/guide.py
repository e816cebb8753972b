"""The Guide tab: a one-page manual for annotators."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from segr1_app.ui.views import STATIC_ROUTE

GUIDE = Path(__file__).parents[1] / "guide.md"


def build_guide_tab() -> None:
    """Build the guide in the current ``gr.Blocks``; its pictures are in the static folder."""
    text = GUIDE.read_text(encoding="utf-8").replace("(GUIDE/", f"({STATIC_ROUTE}/guide/")
    gr.Markdown(text, elem_id="guide")
