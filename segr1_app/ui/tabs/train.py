"""The Train tab: training data, reward curve, results before and after, and promotion of what was trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from segr1_app.settings.roles import Act
from segr1_app.ui.gate.endpoints import Gate
from segr1_app.ui.handlers.train import TrainingHandlers
from segr1_app.ui.views import view


def build_train_tab(training: TrainingHandlers, gate: Gate) -> gr.HTML:
    """Build the tab in the current ``gr.Blocks``; returns its view, which fires ``change`` when another model is
    promoted.
    """
    calls: list[Callable[..., Any]] = [
        training.training_plan,
        training.training_state,
        training.start_training,
        training.stop_training,
        training.resume_training,
        training.training_changes,
        training.promote,
        training.go_back,
    ]
    for method in calls:
        gate.publish(method, Act.ADMINISTER)
    functions = [gate.page(method, Act.ADMINISTER) for method in calls]
    return view("train/train", {}, elem_id="train", functions=functions)
