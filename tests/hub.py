"""A model hub on this machine: a real HTTP server that speaks as much of the hub's file API as downloads need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves folders as repositories.

    Attributes:
        repositories: the folder of each repository id.
        gated, failing: ids whose files nobody may have, and which the hub has trouble with.
        broken: file names whose content ends early, though the hub knows their size.
        cut: file names of which the first connection breaks off halfway.
        asked: (method, path, Range header) of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.repositories: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.failing: set[str] = set()
        self.broken: set[str] = set()
        self.cut: set[str] = set()
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub, as long as the context lasts."""
    with Hub() as hub:
        thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def use_hub(monkeypatch: pytest.MonkeyPatch, cache: Path, address: str | None) -> None:
    """Let this process use a cache and, at an address, a hub; offline without one. Undone after the test."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", address is None)
    if address is not None:
        # Made of the endpoint when the module is imported; a process that is started with HF_ENDPOINT has both.
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def put_in_cache(cache: Path, repo_id: str, files: Mapping[str, Path]) -> Path:
    """Put files into a cache as the hub's own client does; returns the snapshot's folder."""
    repository = cache / f"models--{repo_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for name, file in files.items():
        blob = repository / "blobs" / hashlib.sha256(name.encode()).hexdigest()
        blob.write_bytes(file.read_bytes())
        (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: Any) -> None:
        """Tests read `Hub.asked` instead."""

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path, self.headers.get("Range")))
        parts = path.strip("/").split("/")
        in_api = parts[:2] == ["api", "models"]
        repo_id, rest = "/".join((parts[2:] if in_api else parts)[:2]), (parts[2:] if in_api else parts)[2:]
        folder = self.server.repositories.get(repo_id)
        if repo_id in self.server.failing:
            self._send(503, b"", {}, with_body)
        elif folder is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, with_body)
        elif in_api and rest[:1] == ["tree"]:
            files = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": _etag(f)} for f in _files(folder)
            ]
            self._send_json(files, with_body)
        elif in_api:
            siblings = [{"rfilename": file.name} for file in _files(folder)]
            self._send_json({"id": repo_id, "sha": COMMIT, "siblings": siblings}, with_body)
        elif repo_id in self.server.gated:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"}, with_body)
        else:
            self._send_file(folder / rest[2], with_body)

    def _send_json(self, content: Any, with_body: bool) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"}, with_body)

    def _send_file(self, file: Path, with_body: bool) -> None:
        if not file.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, with_body)
            return
        content = file.read_bytes()
        headers = {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if with_body and file.name in self.server.broken:
            content = content[: len(content) // 2]
        wanted = self.headers.get("Range", "")
        status = 200
        if wanted.startswith("bytes="):
            status, content = 206, content[int(wanted.removeprefix("bytes=").partition("-")[0]) :]
        if with_body and file.name in self.server.cut:
            self.server.cut.discard(file.name)
            self._send(status, content, headers, with_body, until=len(content) // 2)
            self.close_connection = True
        else:
            self._send(status, content, headers, with_body)

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], with_body: bool, until: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content[:until])


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
