"""Lists of classes in files of their own: JSON, YAML, or names line by line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from segr1_app.domain import SettingsError
from segr1_app.files.foreign_json import ForeignJsonError, parse_json
from segr1_app.store.class_list import MAX_CLASSES
from segr1_app.store.classes import ClassListError, ObjectClass, read_class
from segr1_app.store.exchange.readers.coco_shapes import category_fields

MAX_BYTES: Final = 4 * 2**20
"""Largest file of classes."""
_NAMES: Final = (".txt", ".names", ".labels")


def read_classes(path: Path) -> list[ObjectClass]:
    """The classes in a file.

    JSON and YAML hold a list of names or of classes as ``segr1 classes list --json`` writes them, or an object with
    such a list under "classes", COCO's "categories", or YOLO's "names". Text files hold a name per line.

    Raises:
        SettingsError: when the file cannot be read, or one of its classes cannot be used; the message names it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"The file '{path}' cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"The file '{path}' is not a text in UTF-8: save it as UTF-8.") from error
    if len(content) > MAX_BYTES:
        raise SettingsError(
            f"The file '{path}' has more than {MAX_BYTES // 2**20} MiB, too much for a list of classes."
        )
    values = list(_values(path, text))
    if not values or len(values) > MAX_CLASSES:
        raise SettingsError(f"The file '{path}' must list 1 to {MAX_CLASSES} classes, not {len(values)}.")
    found: dict[str, ObjectClass] = {}
    for place, value in enumerate(values, start=1):
        try:
            described = read_class(value)
        except ClassListError as error:
            raise SettingsError(f"'{path}', class {place}: {error}") from error
        if described.name in found:
            raise SettingsError(f"'{path}', class {place}: '{described.name}' is there twice: remove one of them.")
        found[described.name] = described
    return list(found.values())


def _values(path: Path, text: str) -> Iterable[Any]:
    kind = path.suffix.lower()
    if kind in _NAMES:
        return [line for line in map(str.strip, text.splitlines()) if line]
    try:
        if kind == ".json":
            content = parse_json(text)
        elif kind in (".yaml", ".yml"):
            if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
                # A few of them can stand for gigabytes.
                raise ValueError("it has aliases (*name), which lists of classes do not need")
            content = yaml.safe_load(text)
        else:
            raise SettingsError(f"The file '{path}' must end in .json, .yaml, .yml or .txt.")
    except (ForeignJsonError, ValueError, yaml.YAMLError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise SettingsError(f"The file '{path}' is not valid {kind[1:].upper()} that can be read: {said}.") from error
    match content:
        case list() | {"classes": list()}:
            return content if isinstance(content, list) else content["classes"]
        case {"categories": list() as categories}:
            return map(_category, categories)
        case {"names": list() as names}:
            return names
        case {"names": dict() as names}:
            return [{"name": name, "number": index + 1} for index, name in names.items() if isinstance(index, int)]
    raise SettingsError(f'The file \'{path}\' has no list of classes, and no "classes", "categories" or "names".')


def _category(value: Any) -> Any:
    """A category of COCO as a class; anything else as it is, to be refused."""
    return (
        {"name": value["name"], **category_fields(value)} if isinstance(value, Mapping) and "name" in value else value
    )
