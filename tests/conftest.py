"""Fixtures shared by all tests: the real embedded models, loaded once, and pictures with a known ground truth."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Iterator

# Whatever a test does, nothing may be fetched from a model hub. Set before huggingface_hub is imported.
os.environ["HF_HUB_OFFLINE"] = "1"
# The embedded models are too small for two threads to gain anything, and threads wait for each other on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
from playwright.sync_api import Playwright, sync_playwright

from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_POLICY, DEFAULT_SEGMENTER

# A shell starts background jobs with SIGINT ignored, which Python and the processes that tests start then inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Only benchmarks measure time; a busy machine is no fault of the code.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _nothing_is_logged_to_a_closed_stream() -> Iterator[None]:
    """A command that a test calls logs to pytest's captured stream, which is closed after the test."""
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright; one for all tests, because its event loop allows only one."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def policy() -> VlmPolicy:
    return VlmPolicy.load(DEFAULT_POLICY, device="cpu")


@pytest.fixture(scope="session")
def segmenter() -> Sam2Segmenter:
    return Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu")


@pytest.fixture(scope="session")
def pipeline(policy: VlmPolicy, segmenter: Sam2Segmenter) -> Pipeline:
    return Pipeline(policy, segmenter)


@pytest.fixture(scope="session")
def node() -> str:
    """The path of node; without it a test is skipped, but fails in CI, where nothing may be left out."""
    found = shutil.which("node")
    if found is None:
        reason = "node is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found
