"""The reference of the HTTP API and of the Python API, from the running page and from the functions."""

from __future__ import annotations

import inspect
import os
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict
from unittest import mock

import segr1_app
from segr1_app.settings.config import Settings
from segr1_app.store import AnnotationStore
from tests.docs.contracts import typed_dicts

JSON_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", NoneType: "null", Any: "any"}
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):\n", re.MULTILINE)


@cache
def endpoint_functions() -> dict[str, tuple[dict[str, Any], Any]]:
    """Every named endpoint of the page: gradio's description of it, and the function behind it."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"GRADIO_TEMP_DIR": f"{folder}/cache"}):
        from segr1_app.models.host import ModelHost
        from segr1_app.ui import build_app

        cache_folder = Path(folder, "cache")
        cache_folder.mkdir()
        with AnnotationStore.open(Path(folder)) as store:
            page = build_app(ModelHost(Settings(models="embedded")), cache_folder, store)
        functions = {f"/{each.api_name}": each.fn for each in page.fns.values() if each.api_name}
        named = page.get_api_info()["named_endpoints"]
    return {name: (info, functions[name]) for name, info in named.items()}


def endpoints() -> str:
    """A section for each endpoint, in the order of the page."""
    return "\n\n".join(_endpoint(name, info, call) for name, (info, call) in endpoint_functions().items())


def _endpoint(name: str, info: dict[str, Any], call: Any) -> str:
    summary, sections = read_docstring(call.__doc__ or "")
    described = _arguments(sections.get("Args", ""))
    rows = [_parameter(each, described) for each in info["parameters"]]
    parts = [f"### `{name}`", summary]
    if rows:
        parts.append("\n".join(["| argument | type | default | |", "|---|---|---|---|", *rows]))
    if "Returns" in sections:
        parts.append(f"Returns {_one_line(sections['Returns'])}")
    answer = get_type_hints(inspect.unwrap(call)).get("return")
    if typed_dicts(answer):
        parts.append(f"Type: {_json_type(answer)}.")
    return "\n\n".join(parts)


def _parameter(each: dict[str, Any], described: dict[str, str]) -> str:
    name, kind = each["parameter_name"], _type(each["python_type"]["type"])
    default = f"`{each['parameter_default']!r}`" if each["parameter_has_default"] else "required"
    return f"| `{name}` | `{_cell(kind)}` | {default} | {_cell(described.get(name, ''))} |"


def python() -> str:
    """A section for each public name, in alphabetical order."""
    parts = []
    for name in segr1_app.__all__:
        found = getattr(segr1_app, name)
        summary, sections = read_docstring(found.__doc__ or "")
        module = found.__module__
        kind = "class" if inspect.isclass(found) else "function"
        text = [f"### `{name}`", f"{kind.capitalize()} of `{module}`. {summary}"]
        if kind == "function":
            text.append(f"```text\n{name}{_signature(found)}\n```")
        titles = [title for title in ("Args", "Attributes", "Returns", "Raises") if title in sections]
        text += [_listed(title, sections[title]) for title in titles]
        if kind == "class":
            text.append(_methods(found))
        parts.append("\n\n".join(filter(None, text)))
    return "\n\n".join(parts)


def _methods(found: type) -> str:
    rows = []
    for name, member in vars(found).items():
        function = member.__func__ if isinstance(member, classmethod) else member
        if name.startswith("_") or not (inspect.isfunction(function) or isinstance(member, property)):
            continue
        summary = read_docstring(member.__doc__ or "")[0].split("\n\n")[0]
        spelled = name if isinstance(member, property) else f"{name}{_signature(function)}"
        rows.append(f"- `{spelled}`: {_one_line(summary)}")
    return "\n".join(rows)


def _signature(function: Any) -> str:
    """A signature as it would be called: without ``self``, and with the names of types alone."""
    signature = inspect.signature(function)
    kept = [each for name, each in signature.parameters.items() if name not in ("self", "cls")]
    return _type(str(signature.replace(parameters=kept))).replace("'", "")


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The summary of a docstring, and its sections by their titles."""
    first, *rest = SECTION.split(inspect.cleandoc(text))
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    return first.replace("``", "`").strip(), sections


def _arguments(text: str) -> dict[str, str]:
    """A section's description of each argument."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc("\n" + text).splitlines():
        if (named := re.match(r"([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*): (.*)", line)) and not line.startswith(" "):
            names = named[1].split(", ")
            found |= dict.fromkeys(names, named[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _listed(title: str, text: str) -> str:
    """A section of a docstring as a list of what it names, or as a sentence where it names nothing."""
    named = _arguments(text) if title != "Returns" else {}
    if not named:
        return f"{title}: {_one_line(text)}"
    return "\n".join([f"{title}:", "", *(f"- `{name}`: {_one_line(text)}" for name, text in named.items())])


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


def _type(text: str) -> str:
    return re.sub(r"\b(?:segr1_app|collections|typing|pathlib|numpy)(?:\.\w+)*\.(?=\w)", "", text)


def types() -> str:
    """A section for each TypedDict that endpoints answer with, in alphabetical order."""
    calls = [call for _, call in endpoint_functions().values()]
    found = typed_dicts(*(get_type_hints(inspect.unwrap(call)).get("return") for call in calls))
    return "\n\n".join(map(_typed_dict, sorted(found, key=lambda each: each.__name__)))


def _typed_dict(found: type) -> str:
    rows = []
    for name, hint in get_type_hints(found, include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        kind = get_type_hints(found)[name]
        rows.append(f"| `{name}` | {_json_type(kind)}{', optional' if optional else ''} |")
    text = _one_line(inspect.cleandoc(found.__doc__ or ""))
    return "\n\n".join([f"#### `{found.__name__}`", text, "\n".join(["| field | type |", "|---|---|", *rows])])


def _json_type(kind: Any) -> str:
    """A type by its name in JSON; a TypedDict is a link to its section."""
    origin, parts = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        return f"[`{kind.__name__}`](#{kind.__name__.lower()})"
    if origin in (Literal, Union, UnionType):
        return " or ".join(f'`"{part}"`' if origin is Literal else _json_type(part) for part in parts)
    if origin is tuple and ... not in parts:
        return f"list of {len(parts)}: {', '.join(map(_json_type, parts))}"
    if origin in (list, tuple, Iterator):
        return f"{'stream' if origin is Iterator else 'list'} of {_json_type(parts[0])}"
    if origin is dict:
        return "object" if parts[1] is Any else f"object of {_json_type(parts[1])}"
    return JSON_TYPES[kind]
