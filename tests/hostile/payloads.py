"""Random payloads for every route of the served page that takes JSON: of its own functions and of gradio's."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.served import Served

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**53, -(2**63), 2**63, 10**40, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "1", "Ada", "imported", "accept", "fix", "reject", "skip", "revision 1", "prediction 1", "../../etc/passwd",
    "\0", "\ud800", "\u202e", "💥" * 50, "x" * 5000, "'; DROP TABLE revisions; --", "${7*7}",
    [], {}, [[]], [{}], [None], [1, 2, 3, 4], {"path": "/etc/passwd"},
    {"path": "x\0y", "meta": {"_type": "gradio.FileData"}},
    {"box": [0, 0, 5, 5], "points": []}, [{"box": [0, 0, 5, 5], "points": [{"x": 1, "y": 1, "label": 1}]}],
    [{"box": None, "points": [{"x": 1, "y": 1, "label": "1"}]}], [{"box": [5, 5, 0, 0]}], [{"points": {"x": 1}}],
    [{"points": [], "strokes": [{"erase": False, "radius": 2, "path": [[1, 1], [3, "x"]]}]}],
    [{"points": [], "strokes": [{"erase": False, "radius": 2, "path": [[1], [3, 4, 5]]}]}],
    [{"points": [], "strokes": [{"erase": False, "radius": None, "path": [[1, 1], [3, 1e7], [-1e7, 1]]}]}],
    [{"points": [], "start": {"size": [8, "x"], "counts": "0"}}],
    [{"points": [], "painted": {"size": [1], "counts": 7}}],
    {"page": [], "edit": "x"}, {"page": 1, "edit": 2**70},
)  # fmt: skip
"""Values that some program somewhere has choked on."""
NAMES = ("annotator", "reviewer", "task", "order", "verdict", "objects", "reason", "comment", "seconds", "clicks")
NAMES += ("prediction", "parent", "origin", "content", "revision", "first", "second", "before", "steps", "run")
NAMES += ("picture", "rev", "exact", "instruction", "include_feedback", "unknown", "__class__", "self", "tell")


def value(rng: random.Random, depth: int = 0) -> Any:
    """A random JSON value, possibly nested."""
    kind = rng.random()
    if kind < 0.75 or depth > 3:
        return rng.choice(VALUES)
    if kind < 0.9:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(NAMES): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def question(rng: random.Random) -> Any:
    """A random argument of a page function: mostly an object with names that it may use."""
    if rng.random() < 0.05:
        return value(rng)
    return {name: value(rng) for name in rng.sample(NAMES, rng.randrange(8))}


def payloads(served: Served, number: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """This many paths, relative to the server's address, with bodies to post there."""
    rng = random.Random(seed)
    functions = [
        (each["id"], name) for each in served.config["components"] for name in each["props"].get("server_fns", []) or []
    ]
    endpoints = [each["api_name"] for each in served.config["dependencies"] if each["api_name"]]
    for _ in range(number):
        kind = rng.random()
        if kind < 0.6:
            component, name = rng.choice(functions)
            body = {"data": question(rng), "component_id": component, "fn_name": name, "session_hash": "s"}
            path = "component_server"
        elif kind < 0.75:
            path = f"run/{rng.choice(endpoints)}"
            body = {"data": [value(rng) for _ in range(rng.randrange(9))], "session_hash": rng.choice(("s", None))}
        elif kind < 0.85:
            path = f"{rng.choice(('call', 'api', 'call/v2'))}/{rng.choice((*endpoints, 'none', ''))}"
            body = {"data": [value(rng) for _ in range(rng.randrange(9))]} if rng.random() < 0.7 else question(rng)
        elif kind < 0.95:
            path, body = "queue/join", {"data": [value(rng)], "fn_index": value(rng), "session_hash": value(rng)}
            body |= {name: value(rng) for name in ("event_data", "trigger_id", "batched") if rng.random() < 0.3}
        else:
            path, body = rng.choice(("cancel", "reset", "component_server", "queue/join", "run/none")), value(rng)
        if isinstance(body, dict) and rng.random() < 0.1:
            body[rng.choice(list(body) or ["data"])] = value(rng)
        content = json.dumps(body).encode()
        if rng.random() < 0.03:
            content = rng.choice(
                (b"", b"{", content[:-1], b"\xff" + content, b"[" * 3000, b'{"data":' * 500, b"1" * 5000)
            )
        yield f"gradio_api/{path}", content
