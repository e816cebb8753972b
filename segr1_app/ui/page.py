"""The page: a header that says which models run, and one tab for each thing to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from segr1_app.choosing import FULL_MODELS
from segr1_app.downloads import Download
from segr1_app.samples import find_samples
from segr1_app.store import AnnotationStore
from segr1_app.trainings import Trainings
from segr1_app.ui.annotate_tab import build_annotate_tab
from segr1_app.ui.corrections import CanvasHandlers
from segr1_app.ui.downloading import DownloadHandlers
from segr1_app.ui.endpoints import failures_told, publish
from segr1_app.ui.guide_tab import build_guide_tab
from segr1_app.ui.jobs import JobHandlers
from segr1_app.ui.keeping import RunKeeper
from segr1_app.ui.models import ModelHost
from segr1_app.ui.review_tab import build_progress_tab, build_review_tab
from segr1_app.ui.reviews import ReviewHandlers
from segr1_app.ui.run_tab import build_run_tab
from segr1_app.ui.runs import RunHandlers
from segr1_app.ui.sittings import Sittings
from segr1_app.ui.theme import build_theme
from segr1_app.ui.train_tab import build_train_tab
from segr1_app.ui.training import TrainingHandlers
from segr1_app.ui.views import STATIC, STYLES, ViewValue, header_value, view


def build_app(models: ModelHost, cache: Path, store: AnnotationStore) -> gr.Blocks:
    """Build the page; nothing is loaded and nothing is served yet.

    Args:
        models: the models behind the page, loading or loaded.
        cache: an existing folder for previews and downloads; the same that gradio has as ``GRADIO_TEMP_DIR``.
        store: keeps the annotators' work.

    Returns:
        The page, to be launched with `launch_options`.
    """
    # The only files served from outside the cache.
    gr.set_static_paths([STATIC])

    def follow_models() -> Iterator[ViewValue]:
        """Which models run and how far they are, now that a page stands; ends when they are loaded, or cannot be."""
        models.start()
        if not models.wait(seconds=0):
            yield header_value(models.status)
            models.wait()
        yield header_value(models.status)

    sittings = Sittings()
    canvas = CanvasHandlers(models, cache, sittings, RunKeeper(store, models))
    jobs = JobHandlers(store, models, cache=cache, sittings=sittings, canvas=canvas)
    reviews = ReviewHandlers(store, cache)
    page = gr.Blocks(title="Seg-R1", analytics_enabled=False, fill_width=True)
    with page:
        header = build_header(models, Download(FULL_MODELS, models.choose_again))
        if models.settings.offers_training:
            # Other models came: they have to be loaded before anybody can run them.
            header.select(follow_models, None, header, api_visibility="private", show_progress="hidden")
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            with gr.Tab("Run", id="run"):
                build_run_tab(RunHandlers(models, cache, sittings), canvas, find_samples())
            with gr.Tab("Annotate", id="annotate-tab"):
                build_annotate_tab(jobs, canvas)
            with gr.Tab("Review", id="review-tab"):
                build_review_tab(reviews)
            with gr.Tab("Progress", id="progress-tab"):
                build_progress_tab(reviews)
            if models.settings.offers_training:
                with gr.Tab("Train", id="train-tab"):
                    training = TrainingHandlers(Trainings(models.settings), models, cache)
                    # A policy was chosen: it has to be loaded before anybody can run it.
                    build_train_tab(training).change(
                        follow_models, None, header, api_visibility="private", show_progress="hidden"
                    )
            with gr.Tab("Guide", id="guide-tab"):
                build_guide_tab()
        page.load(follow_models, None, header, api_name="models", show_progress="hidden", concurrency_limit=None)
    return page


def build_header(models: ModelHost, download: Download) -> gr.HTML:
    """The line above the tabs; to an admin it offers the download of the full models where they would run.

    Its view fires ``select`` when other models are chosen.
    """
    if not models.settings.offers_training:
        return view("header", header_value(models.status), elem_id="header")
    handlers = DownloadHandlers(download)
    calls = (handlers.download_size, handlers.download_models, handlers.download_state)
    for method in calls:
        publish(method)
    return view(
        "header",
        header_value(models.status),
        elem_id="header",
        functions=[failures_told(method) for method in calls],
    )


def launch_options() -> dict[str, Any]:
    """The arguments of ``launch()`` that belong to the look of the page and keep it from asking other hosts."""
    return {
        "theme": build_theme(),
        "css_paths": list(STYLES),
        "footer_links": ["api"],
        "ssr_mode": False,
        "run_history": False,
        "enable_monitoring": False,
        # On a busy machine gradio's call of its own page can take longer than the 3 s it allows; it then gives up.
        "_frontend": False,
    }
