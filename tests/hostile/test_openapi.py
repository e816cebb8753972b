"""Payloads that schemathesis makes of the page's own description of its API, where it is installed: no server error.

For 10,000 of them, in some 20 minutes: ``SEGR1_FUZZ=190 python -m pytest tests/hostile/test_openapi.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.serving import serving

EXAMPLES = os.environ.get("SEGR1_FUZZ", "10")
LEFT_OUT = "training|download|add_dataset|add_pictures|upload"
"""Endpoints that start processes or use the network, and those whose files gradio describes by a type of its own."""


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_payload_of_the_description_is_a_server_error(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    options = ["--checks", "not_a_server_error", "--phases", "fuzzing", "--max-examples", EXAMPLES, "--workers", "2"]
    with serving(tmp_path) as (url, _):
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}gradio_api/openapi.json", *options]
        command += ["--exclude-path-regex", LEFT_OUT]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Traceback" not in (tmp_path / "app.log").read_text()
