"""Serve the page: ``python app.py`` and ``segr1 app``. Importing this module is cheap.

It puts the application together: settings, store, models, synchronisation and page. Only the entry points import it.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Final

from segr1_app import __version__
from segr1_app.domain import SettingsError, StoreError
from segr1_app.files.allocator import return_freed_memory
from segr1_app.files.logs import log_as
from segr1_app.settings.config import Settings, add_home_argument, add_model_arguments, add_server_arguments
from segr1_app.settings.environment import take_over_gradio
from segr1_app.settings.space import Space, has_zero_gpu

logger = logging.getLogger(__name__)

LOADING_DELAY = 5.0
"""Seconds before the models start to load, so that the first page appears: loading uses a small machine completely."""


DESCRIPTION: Final = (
    "Serve the Seg-R1 page: write what to find in a picture; a model reasons and points, and SAM2 makes the mask. "
    "Without arguments it uses no network: it runs the full models where they are downloaded and there is a GPU, else "
    "the small embedded ones."
)


def add_command(commands: Any) -> None:
    """Declare ``app`` among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser("app", help="serve the page", description=DESCRIPTION)
    _add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted.

    Raises:
        SettingsError: as `serve`.
    """
    serve(Settings.from_arguments(arguments))
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    """``python app.py``: serve until interrupted."""
    parser = argparse.ArgumentParser(prog="app.py", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"segr1 {__version__}")
    _add_arguments(parser)
    try:
        run(parser.parse_args(arguments))
    except SettingsError as error:
        parser.error(str(error))


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home_argument(parser)
    add_model_arguments(parser)
    add_server_arguments(parser)


def serve(settings: Settings) -> None:
    """Build the page, serve it and load the models in the background; returns when interrupted or terminated.

    Raises:
        SettingsError: when the address, the data folder, the store or the file of accounts cannot be used.
    """
    cache = prepare_cache(settings.home)
    log_as(settings.log)
    return_freed_memory()
    if (ignored := take_over_gradio(os.environ)) and Space.from_environ() is None:  # a Space sets some by itself
        logger.warning("These variables are ignored: %s; 'segr1 app --help' lists the options.", ", ".join(ignored))

    if has_zero_gpu():
        import_module("spaces")  # before torch, which it patches to work without a GPU until one is assigned
    from segr1_app.files.descriptors import raise_descriptor_limit  # noqa: PLC0415
    from segr1_app.store import AnnotationStore  # noqa: PLC0415 - importing this module loads nothing
    from segr1_app.studio.cache_folder import CacheFolder  # noqa: PLC0415
    from segr1_app.sync import Scheduler, Synchroniser, remote_of  # noqa: PLC0415
    from segr1_app.ui import ModelHost, build_app, health_route, launch_options  # noqa: PLC0415 - after the environment

    models = ModelHost(settings)
    try:
        store = AnnotationStore.open(settings.home)
    except StoreError as error:
        raise SettingsError(f"The store in '{settings.home}' cannot be used: {error}") from error
    raise_descriptor_limit()
    with store, ExitStack() as ending:
        folder = CacheFolder(cache)
        folder.start()
        ending.callback(folder.close)
        synchroniser = None
        if settings.dataset is not None:
            under_way = Path(ending.enter_context(tempfile.TemporaryDirectory(dir=settings.home, prefix="sync-")))
            synchroniser = Synchroniser(store, remote_of(settings.dataset), under_way)
            scheduler = Scheduler(synchroniser, settings.sync_seconds)
            # Before the first visitor: restore synced data to an empty disk. At the end: sync everything that is left.
            scheduler.start()
            ending.callback(scheduler.stop)
        page = build_app(models, cache, store, synchroniser)
        if has_zero_gpu():
            models.load_here()
        try:
            _, address, public = page.launch(
                server_name=settings.host,
                server_port=settings.port,
                share=settings.share,
                prevent_thread_lock=True,
                quiet=True,
                app_kwargs={"routes": [health_route(models, store)]},
                **launch_options(settings),
            )
        except OSError as error:
            raise SettingsError(
                f"The page cannot be served at {settings.host}:{settings.port}, perhaps because another program is: "
                "choose another --port."
            ) from error
        # Requests in progress finish, and what they save is synced, before the store is closed.
        ending.callback(page.close, verbose=False)
        print(f"Seg-R1 is at {address}{f' and {public}' if public else ''}  (Ctrl+C ends it)", flush=True)  # noqa: T201
        models.start(after=LOADING_DELAY)
        wait_for_the_end()


def wait_for_the_end() -> None:
    """Return when the process is interrupted or terminated; a second signal ends it at once."""
    stopping = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    stopping.wait()


def prepare_cache(home: Path) -> Path:
    """Create the data folder, make gradio keep its files there, and switch off its telemetry.

    Returns:
        The absolute folder of uploads, previews and downloads.

    Raises:
        SettingsError: when the data folder cannot be created.
    """
    cache = (home / "cache").resolve()
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--home {home} cannot be created as a folder ({error.strerror}): name another.") from error
    os.environ["GRADIO_TEMP_DIR"] = str(cache)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    return cache
