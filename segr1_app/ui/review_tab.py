"""The Review tab and the Progress tab: a second look at what was decided, and how far the work is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segr1_app.ui.endpoints import failures_told, publish
from segr1_app.ui.reviews import ReviewHandlers
from segr1_app.ui.views import view


def build_review_tab(reviews: ReviewHandlers) -> None:
    """Lay out the Review tab in the current ``gr.Blocks`` and wire its endpoints."""
    page_calls: list[Callable[..., Any]] = [
        reviews.decided_tasks,
        reviews.review_task,
        reviews.compare,
        reviews.make_current,
        reviews.restore,
    ]
    view("review", None, elem_id="review", functions=[failures_told(method) for method in page_calls])
    for method in (*page_calls, reviews.history):
        publish(method)


def build_progress_tab(reviews: ReviewHandlers) -> None:
    """Lay out the Progress tab in the current ``gr.Blocks`` and wire its endpoint."""
    view("progress", None, elem_id="progress", functions=[failures_told(reviews.statistics)])
    publish(reviews.statistics)
