"""A browser's calls over one persistent connection, from a thread that takes little time and memory."""

from __future__ import annotations

import json
import secrets
import time
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from tests.soak.ledger import Ledger

SECONDS = 120


class GoneError(Exception):
    """The server did not answer: it was killed."""


class Client:
    """Somebody's page.

    Args:
        ledger: gets what is called.
        name: who it is.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        self.ledger, self.name = ledger, name
        self._connection: HTTPConnection | None = None
        self._components: dict[str, int] = {}
        self._session = secrets.token_hex(6)

    def visit(self, url: str) -> None:
        """Open the page of a server that may be a new one.

        Raises:
            GoneError: here and in every call.
        """
        self.leave()
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
        config = json.loads(self._send("GET", "/config"))
        self._components = {
            each["props"]["elem_id"]: each["id"] for each in config["components"] if each["props"].get("elem_id")
        }
        self.ledger.answered("page")

    def leave(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def ask(self, view: str, function: str, **question: Any) -> dict[str, Any]:
        """What a view's JavaScript calls past the queue."""
        sent = {"fn_name": function, "component_id": self._components[view], "session_hash": self._session}
        body = json.dumps({**sent, "data": question}).encode()
        answer = self._read(function, self._send("POST", "/gradio_api/component_server/", body))
        refused = isinstance(answer, dict) and "failure" in answer
        self.ledger.answered(function, refused=refused)
        return answer if isinstance(answer, dict) else {"answer": answer}

    def call(self, endpoint: str, *arguments: Any) -> Any:
        """The last values of an endpoint of the API, which waits in the queue; None when it was refused."""
        body = json.dumps({"data": arguments, "session_hash": self._session}).encode()
        asked = self._read(endpoint, self._send("POST", f"/gradio_api/call/{endpoint}", body))
        events = self._send("GET", f"/gradio_api/call/{endpoint}/{asked['event_id']}").decode()
        last = [event for event in events.split("\n\n") if event.startswith(("event: complete", "event: error"))][-1:]
        if not last:
            self.ledger.faults.append(f"{endpoint}: no end among {events[-200:]!r}")
            return None
        kind, _, data = last[0].partition("\n")
        self.ledger.answered(endpoint, refused=kind == "event: error")
        return self._read(endpoint, data.removeprefix("data: ").encode()) if kind == "event: complete" else None

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Upload a file; returns it as a call names it."""
        mark = secrets.token_hex(8)
        head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        kind = f"multipart/form-data; boundary={mark}"
        reply = self._send("POST", "/gradio_api/upload", head + content + f"\r\n--{mark}--\r\n".encode(), kind)
        self.ledger.answered("upload")
        return {"path": self._read("upload", reply)[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def click(self, view: str, key: str, objects: list[dict[str, Any]]) -> dict[str, Any]:
        """Ask for the masks of a canvas, and note how long that took."""
        started = time.perf_counter()
        answer = self.ask(view, "decode", rev=1, picture=key, objects=objects, exact=False)
        self.ledger.clicks.append(time.perf_counter() - started)
        return answer

    def _send(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        assert self._connection is not None, "nobody visits a page yet"
        try:
            self._connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as error:
            raise GoneError from error
        if answer.status >= 400:
            self.ledger.faults.append(f"{method} {path}: {answer.status} {content[:200]!r}")
            return b"{}"
        return content

    def _read(self, what: str, content: bytes) -> Any:
        try:
            return json.loads(content)
        except ValueError:
            self.ledger.faults.append(f"{what}: {content[:200]!r} is no JSON")
            return {}
