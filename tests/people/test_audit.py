"""The audit log: its contents, who may read it, and that nobody can fill the disk with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gradio_client.exceptions import AppError

from segr1_app.people.audit import AuditLog
from tests.served import Served, people, serve

__all__ = ["people", "serve"]


def test_the_same_refusal_is_noted_once_a_minute_and_the_file_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segr1_app.people.audit.MAX_BYTES", 1000)
    now = 0.0
    log = AuditLog(tmp_path, clock=lambda: now)
    for _ in range(5):
        log.note("refused", person="Eve", detail="no")
    assert len(log.newest()) == 1
    for number in range(100):
        log.note("export", person="Ada\n", detail=f"{number} {'x' * 1000}")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 4000
    assert log.newest()[0]["detail"].startswith("99 ")
    now = 61.0
    log.note("refused", person="Eve", detail="no")
    assert log.newest(1)[0]["event"] == "refused"
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_admins_read_who_did_what(serve: Callable[..., Served], people: Path) -> None:
    served = serve(auth=people)
    admin, reader = served.api("Admin"), served.api("Reader")
    admin.predict("coco", api_name="/export")
    with pytest.raises(AppError):
        reader.predict("coco", api_name="/export")
    with pytest.raises(AppError, match="admin"):
        reader.predict(api_name="/audit_log")
    assert served.sign_in("Nobody") == {}
    rows = admin.predict(api_name="/audit_log")["data"]
    events = [(event, who) for _, event, who, *_ in rows]
    assert ("sign-in-failed", "Nobody") in events
    assert ("refused", "Reader") in events
    assert ("export", "Admin") in events
    assert ("sign-in", "Admin") in events
