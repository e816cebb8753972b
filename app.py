"""Start the page: ``python app.py``, then open the address it prints. Importing this module does nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from segr1_app.config import Settings, add_home_argument, add_model_arguments, add_server_arguments
from segr1_app.domain import SettingsError, StoreError

LOADING_DELAY = 5.0
"""Seconds that the first page gets ahead of the models: loading them takes all of a small machine."""


def build_parser() -> argparse.ArgumentParser:
    """The command line of the page."""
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="Serve the Seg-R1 page: say what to find in a picture; a model reasons, points, and SAM2 cuts the "
        "mask. Without arguments it runs the small embedded models on this machine and asks no network for anything.",
    )
    add_home_argument(parser)
    add_model_arguments(parser)
    add_server_arguments(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = build_parser()
    try:
        serve(Settings.from_arguments(parser.parse_args(arguments)))
    except SettingsError as error:
        parser.error(str(error))


def serve(settings: Settings) -> None:
    """Build the page, serve it, and load the models behind it; returns when interrupted.

    Raises:
        SettingsError: when the address cannot be had.
    """
    cache = prepare_cache(settings.home)

    from segr1_app.store import AnnotationStore  # noqa: PLC0415 - importing this module loads nothing
    from segr1_app.ui import ModelHost, build_app, launch_options  # noqa: PLC0415 - after the environment is set

    models = ModelHost(settings)
    try:
        store = AnnotationStore.open(settings.home)
    except StoreError as error:
        raise SettingsError(f"The store in '{settings.home}' cannot be used: {error}") from error
    page = build_app(models, cache, store)
    try:
        _, address, public = page.launch(
            server_name=settings.host,
            server_port=settings.port,
            share=settings.share,
            prevent_thread_lock=True,
            quiet=True,
            **launch_options(settings),
        )
    except OSError as error:
        raise SettingsError(
            f"The page cannot be served at {settings.host}:{settings.port}, perhaps because another program is: "
            "choose another --port."
        ) from error
    print(f"Seg-R1 is at {address}{f' and {public}' if public else ''}  (Ctrl+C ends it)", flush=True)  # noqa: T201
    models.start(after=LOADING_DELAY)
    page.block_thread()


def prepare_cache(home: Path) -> Path:
    """Make the data folder, and tell gradio to keep its files there and to report nothing to anyone.

    Returns:
        The absolute folder in which uploads, previews and downloads live.
    """
    cache = (home / "cache").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = str(cache)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    return cache


if __name__ == "__main__":
    main()
