"""The Annotate tab's own calls, over plain HTTP: as a browser would send them, from a lightweight process.

Run as a program, it is an annotator: ``python -m tests.e2e.page_calls URL NAME`` takes tasks and decides them until
none is left. Each line it prints is an acknowledgement by the server.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from typing import Any

SECONDS = 120
DECISIONS = ("accept", "fix", "reject")


class Annotator:
    """A page on which somebody has entered their name.

    Args:
        url: of the served page.
        name: who works.

    Raises:
        OSError: here and in every call, when the server does not answer.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self.name = name
        with urllib.request.urlopen(f"{url}config", timeout=SECONDS) as answer:
            components = json.load(answer)["components"]
        (self._component,) = (each["id"] for each in components if each["props"].get("elem_id") == "annotate")

    def ask(self, function: str, **question: Any) -> dict[str, Any]:
        """The answer to one call of ``static/annotate/annotate.js``."""
        sent = {"fn_name": function, "component_id": self._component, "session_hash": self.name}
        body = json.dumps({**sent, "data": {"annotator": self.name, **question}}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}gradio_api/component_server/", body, headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            reply: dict[str, Any] = json.load(answer)
        return reply

    def decide(self, held: dict[str, Any], verdict: str, comment: str, **more: Any) -> dict[str, Any]:
        """Save a decision about a task as `next_task` gave it."""
        objects = [
            {"box": each["box"], "points": each["points"], "name": "", "strokes": [], "start": None}
            for each in held["canvas"]["objects"]
        ]
        if verdict == "fix":
            objects[0]["points"] = [*objects[0]["points"], {"x": 3.5, "y": 4.5, "label": 0}]
        question = {"task": held["task"], "parent": held["parent"], "prediction": held["prediction"], **more}
        return self.ask("save_decision", verdict=verdict, objects=objects, comment=comment, **question)


def work(annotator: Annotator) -> None:
    """Take tasks, keep a draft of each, and decide them, until none is left."""
    while (held := annotator.ask("next_task"))["task"] is not None:
        task = held["task"]
        print("held", task, sep="\t", flush=True)
        kept = annotator.ask("put_draft", task=task, content={"comment": "half done"})
        assert kept == {"kept": True, "held": True}, kept
        # Long enough for others to ask for the next task in the meantime.
        time.sleep(0.02)
        verdict = DECISIONS[task % len(DECISIONS)]
        comment, reason = f"{annotator.name}, {task}", "grounding" if verdict == "reject" else None
        saved = annotator.decide(held, verdict, comment, reason=reason)
        print("saved", saved["revision"], task, verdict, comment, sep="\t", flush=True)


if __name__ == "__main__":
    work(Annotator(*sys.argv[1:]))
