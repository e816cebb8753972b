"""Check a policy's chat template, which is a program from an untrusted source, before it is ever run.

transformers renders templates in jinja's sandbox, which protects files and Python's internals, but does not limit time
and memory: ``{{ "x" * 10**10 }}`` or a few nested loops exhaust them.
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
"""Deepest nesting of loops; messages, their parts, and tool calls with their arguments make three."""
MAX_RENDERED: Final = 1_000_000
"""Longest rendering of a short conversation in characters."""
TRIAL_SECONDS: Final = 2
TRIAL_BYTES: Final = 2**29


def check_template(template: str, where: str) -> None:
    """Reject a chat template that takes more time or memory than formatting a conversation needs.

    Args:
        template: its text.
        where: its name in messages.

    Raises:
        ModelError: when it is too long, is not a template, multiplies, nests too many loops, or does not finish in time
            when rendered in a separate process. A template that rejects the test conversation is accepted: its error
            appears when it is used.
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
        raise ModelError(f"{where} is refused: it multiplies, which no chat template needs.")
    if isinstance(node, nodes.Const) and isinstance(node.value, int) and abs(node.value) > 10**6:
        raise ModelError(f"{where} is refused: it counts to {str(node.value)[:20]}.")
    loops += isinstance(node, nodes.For)
    if loops > MAX_LOOPS:
        raise ModelError(f"{where} is refused: it has more than {MAX_LOOPS} nested loops.")
    for child in node.iter_child_nodes():
        _check_nodes(child, where, loops=loops)


def _try(template: str, where: str) -> None:
    """Render it once in a process where that can do no harm."""
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
        raise ModelError(f"{where} is refused: it does not finish.") from error
    if done.returncode < 0 or b"MemoryError" in done.stderr:
        raise ModelError(f"{where} is refused: it takes too much time or memory.")
