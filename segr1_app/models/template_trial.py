"""Renders a chat template once, as a program of its own with little time and memory: ``chat_templates`` starts it.

It imports nothing of this project, so that it starts at once wherever it lies. Standard input is the template.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """The ``{% generation %}`` blocks in which transformers marks what the model said; they change no text."""

    tags = {"generation"}  # noqa: RUF012 - jinja reads it so

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> ImmutableSandboxedEnvironment:
    """Templates as transformers reads and renders them."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form[:100])
    return made


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)


def main(seconds: int, size: int, most: int) -> None:
    """Render the template with ``seconds`` of a processor and ``size`` bytes, to at most ``most`` characters."""
    import resource  # noqa: PLC0415 - not on every system, and only this process needs it

    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    parts = [{"type": "image"}, {"type": "text", "text": "Identify and segment the cat."}]
    asked: list[dict[str, Any]] = [{"role": "user", "content": parts}]
    total = 0
    template = environment().from_string(sys.stdin.read())
    for piece in template.generate(messages=asked, add_generation_prompt=True, bos_token="", eos_token=""):
        total += len(piece)
        if total > most:
            raise MemoryError


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
