"""A policy's chat template, which is a program and may come from anybody: bounded before it is ever run.

transformers renders templates in jinja's sandbox, which keeps them from this machine's files and from Python's insides,
but not from its time and memory: ``{{ "x" * 10**10 }}`` or three loops within each other take all of it.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from jinja2 import TemplateSyntaxError, nodes

from segr1_app.domain import ModelError
from segr1_app.models import template_trial

MAX_CHARACTERS: Final = 200_000
MAX_LOOPS: Final = 4
"""Most loops within each other; messages, their parts, and calls of tools with their arguments are three."""
MAX_RENDERED: Final = 1_000_000
"""Most characters that a short conversation may become."""
TRIAL_SECONDS: Final = 2
TRIAL_BYTES: Final = 2**29


def check_template(template: str, where: str) -> None:
    """Refuse a chat template that takes more time or memory than laying out a conversation does.

    Args:
        template: its text.
        where: what to call it in a message.

    Raises:
        ModelError: when it is too long, is not a template, multiplies, nests too many loops, or does not end in time
            when rendered in a separate process. One that rejects the conversation is accepted: it says so later.
    """
    if len(template) > MAX_CHARACTERS:
        raise ModelError(f"{where} has more than {MAX_CHARACTERS} characters.")
    try:
        _check_nodes(template_trial.environment().parse(template), where, loops=0)
    except (TemplateSyntaxError, RecursionError) as error:
        raise ModelError(f"{where} is not a template ({error}).") from error
    _try(template, where)


def _check_nodes(node: nodes.Node, where: str, *, loops: int) -> None:
    if isinstance(node, nodes.Mul | nodes.Pow):
        raise ModelError(f"{where} is refused: it multiplies, which no chat template needs to.")
    if isinstance(node, nodes.Const) and isinstance(node.value, int) and abs(node.value) > 10**6:
        raise ModelError(f"{where} is refused: it counts to {str(node.value)[:20]}.")
    loops += isinstance(node, nodes.For)
    if loops > MAX_LOOPS:
        raise ModelError(f"{where} is refused: it has more than {MAX_LOOPS} loops within each other.")
    for child in node.iter_child_nodes():
        _check_nodes(child, where, loops=loops)


def _try(template: str, where: str) -> None:
    """Render it once where that can do no harm."""
    limits = [str(limit) for limit in (TRIAL_SECONDS, TRIAL_BYTES, MAX_RENDERED)]
    try:
        done = subprocess.run(
            [sys.executable, "-I", template_trial.__file__, *limits],
            input=template.encode("utf-8", "replace"),
            capture_output=True,
            timeout=20 * TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{where} is refused: it does not end.") from error
    if done.returncode < 0 or b"MemoryError" in done.stderr:
        raise ModelError(f"{where} is refused: it takes too much time or memory.")
