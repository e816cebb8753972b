"""A dataset hub in this process: the part of the hub's HTTP interface that reading a dataset takes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40
REVISION = "main|refs/convert/parquet|c+"


@dataclass
class Hub:
    """Datasets as folders by "owner/name@revision"; those in ``gated`` list their files and give none of them out."""

    url: str = ""
    folders: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)


@contextmanager
# Longer than 60 lines: the methods of the handler need the hub of this call.
def serve_hub() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers["Content-Length"])))

        def answer(self, body: bytes = b"") -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
            if given := re.fullmatch(rf"/datasets/([^/]+/[^/]+)/resolve/({REVISION})/(.+)", path):
                self.give(*given.groups())
                return
            found = re.fullmatch(rf"/api/datasets/([^/]+/[^/]+)(?:/([\w-]+)/({REVISION})/?(.*))?", path)
            dataset, what, revision, _ = found.groups() if found else ("", "", "", "")
            folder = hub.folders.get(f"{dataset}@{revision or 'main'}")
            if f"{dataset}@main" not in hub.folders:
                self.reply(401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            elif folder is None:
                self.reply(404, {"error": "Invalid rev"}, {"X-Error-Code": "RevisionNotFound"})
            elif what in ("tree", "paths-info"):
                wanted = unquote(body.decode()) if what == "paths-info" else None
                self.reply(200, [each for each in entries(folder) if wanted is None or str(each["path"]) in wanted])
            else:
                files = [{"rfilename": each["path"]} for each in entries(folder)]
                self.reply(200, {"id": dataset, "sha": COMMIT, "siblings": files})

        def give(self, dataset: str, revision: str, name: str) -> None:
            if dataset in hub.gated:
                self.reply(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
                return
            content = (hub.folders[f"{dataset}@{revision}"] / name).read_bytes()
            first, last = 0, len(content) - 1
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if asked:
                first, last = int(asked[1]), min(int(asked[2] or last), last)
            headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}", "ETag": f'"{name}"'}
            self.send(206 if asked else 200, content[first : last + 1], {**headers, "X-Repo-Commit": COMMIT})

        def reply(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
            self.send(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

        def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield hub
        server.shutdown()
        thread.join()


def entries(folder: Path) -> list[dict[str, object]]:
    """The files of a folder as the hub lists them."""
    return [
        {"type": "file", "path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "oid": "0" * 40}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
