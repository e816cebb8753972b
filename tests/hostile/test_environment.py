"""Variables of gradio that would open the page to others: none of them reaches it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from segr1_app.settings.environment import take_over_gradio
from tests.e2e.serving import serving

HOSTILE = {
    "GRADIO_ALLOWED_PATHS": "/",
    "GRADIO_LOCAL_DEV_MODE": "1",
    "GRADIO_VIBE_MODE": "1",
    "GRADIO_MCP_SERVER": "true",
    "GRADIO_NUM_WORKERS": "3",
    "GRADIO_ROOT_PATH": "https://evil.example",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_SHARE": "true",
    "GRADIO_DEBUG": "1",
    "GRADIO_PROFILING": "1",
    "FORWARDED_ALLOW_IPS": "*",
    "WEB_CONCURRENCY": "4",
}


def test_only_what_the_page_sets_is_left() -> None:
    environ = {**HOSTILE, "GRADIO_OF_SOME_LATER_VERSION": "1", "GRADIO_TEMP_DIR": "here", "SEGR1_PORT": "1"}
    assert take_over_gradio(environ) == sorted({*HOSTILE, "GRADIO_OF_SOME_LATER_VERSION"})
    assert environ == {"GRADIO_TEMP_DIR": "here", "SEGR1_PORT": "1", "FORWARDED_ALLOW_IPS": ""}


@pytest.mark.slow
def test_no_variable_of_gradio_opens_the_page(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("nobody's business", encoding="utf-8")
    with serving(tmp_path, **HOSTILE) as (url, _):
        assert httpx.get(f"{url}gradio_api/file={secret}").status_code in (403, 404)
        evil = {"origin": "https://evil.example"}
        assert "access-control-allow-origin" not in httpx.get(f"{url}config", headers=evil).headers
        assert "evil.example" not in httpx.get(url).text
        for path in ("gradio_api/mcp/", "gradio_api/mcp/sse", "gradio_api/vibe-code/", "gradio_api/app_id/x"):
            assert httpx.get(f"{url}{path}").status_code in (403, 404), path
    printed = (tmp_path / "app.log").read_text(encoding="utf-8")
    assert f"These variables are ignored: {', '.join(sorted(HOSTILE))};" in printed
