"""The command-line reference, from the parsers themselves."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from functools import cache
from unittest import mock

from segr1_app import serve
from segr1_app.cli.main import build_parser


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Every command's parser, by what is typed before its arguments; ``segr1`` stands for ``python -m segr1_app``."""
    from train import embedded, evaluate, grpo, sam2, sft

    with mock.patch.dict(os.environ):
        # The defaults are those of a machine on which nothing is set.
        for name in [name for name in os.environ if name.startswith(("SEGR1_", "SPACE_", "GRADIO_"))]:
            del os.environ[name]
        found = dict(_with_subcommands("segr1", build_parser("segr1", [serve])))
        for module in (grpo, sft, sam2, evaluate, embedded):
            parser = module._parser()
            found[f"python -m {module.__name__}"] = parser
    return found


def _with_subcommands(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command, below in action.choices.items():
                yield from _with_subcommands(f"{name} {command}", below)


def reference() -> str:
    """A section for each command: what it does, and a table of its arguments."""
    return "\n\n".join(_section(name, parser) for name, parser in parsers().items())


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    rows = [_row(parser, action) for action in parser._actions if action.help != argparse.SUPPRESS]
    table = "\n".join(["| argument | meaning |", "|---|---|", *filter(None, rows)])
    return f"## `{name}`\n\n{_plain(parser.description or '')}\n\n{table}".replace("\n\n\n", "\n")


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        names = [f"`{each.dest}`: {each.help}" for each in action._choices_actions]
        return f"| `COMMAND` | {'<br>'.join(names)} |"
    if isinstance(action, argparse._HelpAction | argparse._VersionAction):
        return f"| `{', '.join(action.option_strings)}` | {action.help} |"
    metavar = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else None)
    value = "" if action.nargs == 0 else str(metavar or action.dest.upper())
    if action.nargs in ("+", "*"):
        value += " ..."
    spelled = f"{', '.join(action.option_strings)} {value}".strip()
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return f"| `{_cell(spelled)}` | {_cell(_plain(text))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: ``code`` of docstrings as `code`, and no tags."""
    return re.sub(r"<(?=[a-z/])", "&lt;", text.strip().replace("``", "`"))


VARIABLE = re.compile(r"\bSEGR1_[A-Z_]+\b")


def variables() -> str:
    """The environment variables that arguments have as defaults, by the help of the arguments."""
    found: dict[str, tuple[str, str]] = {}
    for parser in parsers().values():
        for action in parser._actions:
            for name in VARIABLE.findall(action.help or "") if action.option_strings else ():
                text = re.sub(r"\s*\(SEGR1_[^()]*default:.*\)$", "", parser._get_formatter()._expand_help(action))
                found.setdefault(name, (action.option_strings[-1], text))
    rows = [f"| `{name}` | `{option}` | {_cell(_plain(text))} |" for name, (option, text) in sorted(found.items())]
    return "\n".join(["| variable | argument | meaning |", "|---|---|---|", *rows])
