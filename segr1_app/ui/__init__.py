"""The page in the browser, made with gradio; nothing else in the project imports gradio."""

import segr1_app.ui.gradio_without_stubs  # noqa: F401 - before anything else imports gradio
from segr1_app.models.host import ModelHost
from segr1_app.ui.page import build_app, health_route, launch_options

__all__ = ["ModelHost", "build_app", "health_route", "launch_options"]
