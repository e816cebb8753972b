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
    """A TypeScript declaration for every TypedDict of the module and those within them."""
    found = typed_dicts(*(each for each in vars(contracts).values() if is_typeddict(each)))
    return HEAD + "".join(_declaration(each) for each in found)


def typed_dicts(*kinds: Any) -> list[Any]:
    """The TypedDicts of some types, each once, followed by those within them."""
    found: dict[Any, None] = {}
    for kind in kinds:
        within = get_type_hints(kind).values() if is_typeddict(kind) else get_args(kind)
        own = [kind] if is_typeddict(kind) else []
        found |= dict.fromkeys([*own, *typed_dicts(*within)])
    return list(found)


def _declaration(found: type) -> str:
    summary = " ".join(inspect.cleandoc(found.__doc__ or "").split())
    hints = get_type_hints(found, include_extras=True)
    fields = "".join(_field(name, kind) for name, kind in hints.items())
    return f"\n/** {summary} */\nexport type {found.__name__} = {{\n{fields}}};\n"


def _field(name: str, kind: Any) -> str:
    optional = get_origin(kind) is NotRequired
    return f"  {name}{'?' if optional else ''}: {_typescript(get_args(kind)[0] if optional else kind)};\n"


def _typescript(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return str(parts[1])
    if origin in (Literal, Union, types.UnionType):
        return " | ".join(f'"{part}"' if origin is Literal else _typescript(part) for part in parts)
    if origin is list or parts[-1:] == (...,):
        part = _typescript(parts[0])
        return f"({part})[]" if " " in part and not part.startswith("[") else f"{part}[]"
    if origin is tuple:
        return f"[{', '.join(map(_typescript, parts))}]"
    if origin is dict:
        return f"Record<{', '.join(map(_typescript, parts))}>"
    return kind.__name__ if is_typeddict(kind) else PLAIN[kind]
