"""Renders a chat template once, in a separate process with little time and memory, started by ``chat_templates``.

It imports nothing from this project, so that it starts quickly from any location. The template is read from standard
input.
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
    """The ``{% generation %}`` blocks with which transformers marks the model's own messages; they do not change the
    text.
    """

    tags = {"generation"}  # noqa: RUF012 - jinja reads it so

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> ImmutableSandboxedEnvironment:
    """The environment in which transformers reads and renders templates."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form[:100])
    return made


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)


def main(seconds: int, size: int, most: int) -> None:
    """Render the template within ``seconds`` of CPU time, ``size`` bytes of memory and ``most`` characters of
    output.
    """
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
