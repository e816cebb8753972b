"""A small server that speaks as much of the Hugging Face Hub's API as syncing and deploying ask for, over real HTTP.

It keeps repositories as folders: ``ROOT/datasets/OWNER/NAME/...``. A commit is accepted as a whole or not at all. It
has no git and no LFS: every file is reported as a regular one, as the hub does for small text files.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_test_writes"
HEAD = "0" * 40


@dataclass
class Hub:
    """The server's address, where it keeps what it was sent, and what it was asked to set up.

    Attributes:
        down: whether it answers everything with an error, as in an outage.
        public: datasets that everybody may see.
    """

    root: Path
    url: str = ""
    down: bool = False
    public: set[str] = field(default_factory=set)
    created: list[dict[str, Any]] = field(default_factory=list)
    settings: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def repo(self, kind: str, name: str) -> Path:
        return self.root / kind / name

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to take this server for the hub."""
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}


@contextmanager
def serving_hub(root: Path) -> Iterator[Hub]:
    """Serve an empty hub on a port of its own."""
    hub = Hub(root)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield hub
    server.shutdown()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if not self._allowed():
            return
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        match parts:
            case ["api", kind, owner, name, "tree", _, *_]:
                self._tree(kind, f"{owner}/{name}")
            case ["api", "datasets", owner, name]:
                self._json({"id": f"{owner}/{name}", "private": f"{owner}/{name}" not in self.hub.public})
            case [kind, owner, name, "resolve", _, *path]:
                self._file(self.hub.repo(kind, f"{owner}/{name}").joinpath(*path))
            case ["api", "whoami-v2"]:
                self._json({"name": "ada", "type": "user", "auth": {}})
            case _:
                self._json({"error": f"GET {self.path}"}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._allowed():
            return
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        match parts:
            case ["api", "repos", "create"]:
                self._create(json.loads(body))
            case ["api", "validate-yaml"]:
                self._json({"errors": [], "warnings": []})
            case ["api", _, _, _, "preupload", _]:
                files = json.loads(body)["files"]
                answer = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]
                self._json({"files": answer})
            case ["api", kind, owner, name, "commit", _]:
                self._commit(self.hub.repo(kind, f"{owner}/{name}"), body)
            case ["api", "spaces", owner, name, setting]:
                self.hub.settings.append((f"{owner}/{name}/{setting}", json.loads(body)))
                self._json({} if setting == "variables" else {"stage": "BUILDING"})
            case _:
                self._json({"error": f"POST {self.path}"}, 404)

    def _allowed(self) -> bool:
        if self.hub.down:
            self._json({"error": "out of order"}, 503)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"error": "who are you"}, 401)
        else:
            return True
        return False

    def _create(self, asked: dict[str, Any]) -> None:
        kind = f"{asked.get('type') or 'model'}s"
        owner = asked.get("organization") or "ada"
        folder = self.hub.repo(kind, f"{owner}/{asked['name']}")
        url = f"{self.hub.url}/{kind}/{owner}/{asked['name']}"
        if folder.exists():
            self._json({"error": "You already created this repo", "url": url}, 409)
            return
        folder.mkdir(parents=True)
        self.hub.created.append(asked)
        self._json({"url": url, "name": f"{owner}/{asked['name']}"})

    def _tree(self, kind: str, name: str) -> None:
        folder = self.hub.repo(kind, name)
        if not folder.is_dir():
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        with self.hub.lock:
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            entries = [
                {"type": "file", "path": str(path.relative_to(folder)), "size": path.stat().st_size, "oid": _etag(path)}
                for path in files
            ]
        self._json(entries)

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{_etag(path)}"')
        self.send_header("X-Repo-Commit", HEAD)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _commit(self, folder: Path, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        files = [line["value"] for line in lines if line["key"] == "file"]
        with self.hub.lock:
            for file in files:
                target = folder / file["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(base64.b64decode(file["content"]))
        url = f"{self.hub.url}/{folder.relative_to(self.hub.root)}/commit/{HEAD}"
        self._json({"success": True, "commitOid": HEAD, "commitUrl": url})

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        answer = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
