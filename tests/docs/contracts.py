"""The types of the page's JavaScript, from the types of the handlers' answers."""

from __future__ import annotations

import inspect
import types
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from segr1_app.studio import contracts

HEAD = """\
// Generated from segr1_app/studio/contracts.py by: python -m tests.docs --write
"""
PLAIN = {int: "number", float: "number", str: "string", bool: "boolean", type(None): "null", Any: "any"}


def declarations() -> str:
    """A TypeScript declaration for every TypedDict of the module."""
    found = [each for each in vars(contracts).values() if is_typeddict(each) and each.__module__ == contracts.__name__]
    return HEAD + "".join(_declaration(each) for each in found)


def _declaration(found: type) -> str:
    told = " ".join(inspect.cleandoc(found.__doc__ or "").split())
    hints = get_type_hints(found, include_extras=True)
    fields = "".join(_field(name, kind) for name, kind in hints.items())
    return f"\n/** {told} */\nexport type {found.__name__} = {{\n{fields}}};\n"


def _field(name: str, kind: Any) -> str:
    optional = get_origin(kind) is NotRequired
    return f"  {name}{'?' if optional else ''}: {_typescript(get_args(kind)[0] if optional else kind)};\n"


def _typescript(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return str(parts[1])
    if origin is Literal:
        return " | ".join(f'"{part}"' for part in parts)
    if origin in (Union, types.UnionType):
        return " | ".join(map(_typescript, parts))
    if origin is list:
        return f"({_typescript(parts[0])})[]" if " " in _typescript(parts[0]) else f"{_typescript(parts[0])}[]"
    if origin is dict:
        return f"Record<{', '.join(map(_typescript, parts))}>"
    return kind.__name__ if is_typeddict(kind) else PLAIN[kind]
