"""Find Chromium and serve ``python app.py`` in a separate process, for browser tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_SECONDS = 120


def find_chromium() -> str | None:
    """The path of a Chromium on this machine, if there is one."""
    return next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(folder: Path, *arguments: str, **environ: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run ``python app.py --home folder/data`` from within ``folder``, with the embedded models.

    Args:
        folder: an existing one.
        arguments: further ones of the app.
        environ: variables of its environment in addition to this process's.

    Yields:
        Its address, as soon as it answers, and its process. Its output goes to ``folder/app.log``.
    """
    port = free_port()
    where = ["--port", str(port), "--home", str(folder / "data")]
    with serving_as([sys.executable, str(ROOT / "app.py"), *where, *arguments], folder, port, environ) as served:
        yield served


@contextmanager
def serving_as(
    command: list[str], folder: Path, port: int, environ: Mapping[str, str]
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a command that serves the page at a port of this machine; see `serving`."""
    url = f"http://127.0.0.1:{port}/"
    with (folder / "app.log").open("wb") as log:
        variables = {**os.environ, "HF_HUB_OFFLINE": "1", **environ}
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until_served(url, lambda: process.poll() is None)
            yield url, process
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_until_served(url: str, alive: Callable[[], bool]) -> None:
    """Return as soon as a page answers.

    Raises:
        RuntimeError: when it does not in time, or its server ended.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and alive():
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the app did not come up within {START_SECONDS} s; see its app.log")
