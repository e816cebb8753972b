"""The Review tab and the Progress tab: decided tasks and their history, and statistics of the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segr1_app.settings.roles import Act
from segr1_app.ui.gate.endpoints import Gate
from segr1_app.ui.handlers.review import ReviewHandlers
from segr1_app.ui.views import view


def build_review_tab(reviews: ReviewHandlers, gate: Gate) -> None:
    """Build the Review tab in the current ``gr.Blocks`` and wire its endpoints."""
    page_calls: list[tuple[Callable[..., Any], Act]] = [
        (reviews.decided_tasks, Act.LOOK),
        (reviews.review_task, Act.LOOK),
        (reviews.compare, Act.LOOK),
        (reviews.make_current, Act.REVIEW),
        (reviews.restore, Act.REVIEW),
    ]
    view("review/review", None, elem_id="review", functions=[gate.page(method, act) for method, act in page_calls])
    for method, act in (*page_calls, (reviews.history, Act.LOOK)):
        gate.publish(method, act)


def build_progress_tab(reviews: ReviewHandlers, gate: Gate) -> None:
    """Build the Progress tab in the current ``gr.Blocks`` and wire its endpoint."""
    view("progress/progress", None, elem_id="progress", functions=[gate.page(reviews.statistics, Act.LOOK)])
    gate.publish(reviews.statistics, Act.LOOK)
