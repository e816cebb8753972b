"""The page's theme, with system fonts, so that nothing is fetched from other servers."""

from __future__ import annotations

import gradio as gr

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")


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
