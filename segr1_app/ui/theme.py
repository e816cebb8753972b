"""The page's theme, with system fonts, so that nothing is fetched from other servers."""

from __future__ import annotations

import gradio as gr

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")


SIGN_IN = """<title>Sign in to Seg-R1</title>
<style>
.wrap > div { max-width: 400px; margin: 12vh auto 0; border: 1px solid #dde2e9 !important; border-radius: 10px; }
.wrap h2 { display: none; }
.wrap .auth { margin: 0 0 16px; text-align: left; }
.auth h1 { margin: 0 0 6px; font-size: 26px; font-weight: 700; letter-spacing: -0.01em; }
.wrap button.primary { background: #1d5fd1; color: #ffffff; }
.wrap { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif; }
.wrap input:focus-visible { outline: 2px solid #1d5fd1 !important; outline-offset: -1px; }
.dark .wrap input:focus-visible { outline-color: #8ab4ff !important; }
.dark .wrap > div { border-color: #2a3340 !important; }
.dark .wrap button.primary { background: #2563d6; }
</style>
<h1>Seg-R1</h1>
Reasoning segmentation: ask, correct, annotate.
Sign in with the name and password you were given."""
"""What the sign-in page shows above its fields; gradio takes HTML here, and serves it without the page's styles and
title.
"""


def build_theme() -> gr.themes.Base:
    """A quiet theme: neutral surfaces around the picture and one accent colour."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        secondary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        font=SANS,
        font_mono=MONO,
    ).set(
        body_background_fill="#f6f7f9",
        body_background_fill_dark="#0e1218",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#161c25",
        block_background_fill="*background_fill_primary",
        block_background_fill_dark="*background_fill_primary",
        block_border_width="1px",
        block_border_color="*border_color_primary",
        border_color_primary="#dde2e9",
        border_color_primary_dark="#2a3340",
        block_shadow="none",
        body_text_color="#17202c",
        body_text_color_dark="#e6ebf2",
        body_text_color_subdued="#566173",
        body_text_color_subdued_dark="#9aa7b8",
        block_label_text_color="*body_text_color_subdued",
        block_title_text_color="*body_text_color",
        block_title_text_weight="600",
        block_title_text_size="*text_sm",
        input_background_fill="*background_fill_primary",
        input_background_fill_dark="#11161e",
        input_border_width="1px",
        input_border_color="#8a94a3",
        input_border_color_dark="#5c687a",
        input_placeholder_color="#667081",
        input_placeholder_color_dark="#8f9bac",
        button_primary_background_fill="#1d5fd1",
        button_primary_background_fill_hover="#174fb0",
        button_primary_background_fill_dark="#2563d6",
        button_primary_background_fill_hover_dark="#2f6fe4",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="*background_fill_primary",
        button_secondary_background_fill_hover="#eef1f5",
        button_secondary_background_fill_dark="#1c2430",
        button_secondary_background_fill_hover_dark="#252f3d",
        button_secondary_border_color="*border_color_primary",
        button_secondary_text_color="*body_text_color",
        button_border_width="1px",
    )
