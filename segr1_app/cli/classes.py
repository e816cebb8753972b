"""``classes``: the list of classes of a data folder."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from segr1_app.domain import SettingsError
from segr1_app.language.typed_text import one_line
from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.store.classes import (
    AttributeKind,
    ClassAttribute,
    ClassListError,
    ObjectClass,
    class_value,
)
from segr1_app.store.exchange.class_files import read_classes
from segr1_app.store.store import AnnotationStore


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "classes",
        help="manage the list of classes: names, numbers, colours, keys, parents and attributes",
        description="Show or change the classes that objects can have. Imports add the classes that come with them. "
        "A class keeps its number, its id in every export, even after it is removed. 'import' brings a list to another "
        "data folder.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    shown = actions.add_parser("list", help="show the list")
    shown.add_argument("--json", action="store_true", help="as JSON, which 'classes import' reads")
    add = actions.add_parser("add", help="add a class")
    add.add_argument("name", metavar="NAME", help="what it is called")
    add.add_argument("--number", type=int, metavar="N", help="its id in exports (default: the next one)")
    edit = actions.add_parser("edit", help="change what the list says of a class")
    edit.add_argument("name", metavar="NAME", help="the class")
    edit.add_argument("--rename", metavar="NEW", help="another name, as long as no object has the old one")
    for each in (add, edit):
        _add_fields(each)
    remove = actions.add_parser("remove", help="take a class off the list")
    remove.add_argument("name", metavar="NAME", help="the class")
    remove.add_argument("--even-if-used", action="store_true", help="although objects have it, which keep it")
    imported = actions.add_parser("import", help="add the classes of a file, and what it says of those there are")
    imported.add_argument(
        "file", type=Path, metavar="FILE", help="JSON or YAML, also COCO's and YOLO's, or names line by line (.txt)"
    )
    for each in (shown, add, edit, remove, imported):
        add_home_argument(each)
    parser.set_defaults(run=run)


def _add_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--colour", metavar="#RRGGBB", help="its colour; '' for that of its number")
    parser.add_argument("--key", type=int, metavar="DIGIT", help="1 to 9, which names objects on the page; 0 for none")
    parser.add_argument("--parent", metavar="NAME", help="the class or group that it belongs to; '' for none")
    parser.add_argument("--description", metavar="TEXT", help="what belongs to it")
    parser.add_argument(
        "--attribute",
        action="append",
        metavar="NAME:KIND",
        help="something to ask about each object, as in occluded:flag, count:number, remark:text or "
        "'size:choice:small,large'; may be repeated, and replaces all attributes; '' for none",
    )


def run(arguments: argparse.Namespace) -> int:
    """Show or change the list.

    Raises:
        StoreError, SettingsError: when the change is refused, or the file cannot be read; nothing is changed then.
    """
    # Before the store is opened: a wrong file creates no data folder.
    found = read_classes(arguments.file) if arguments.action == "import" else []
    with AnnotationStore.open(Settings.from_arguments(arguments).home) as store:
        match arguments.action:
            case "list":
                _show(store.classes(), as_json=arguments.json)
            case "add":
                taken = {each.key for each in store.classes()}
                free = next((key for key in range(1, 10) if key not in taken), None)
                described = _changed(ObjectClass(one_line(arguments.name), arguments.number, key=free), arguments)
                store.add_class(described)
                print(f"Added '{described.name}'.")  # noqa: T201
            case "edit":
                name = one_line(arguments.name)
                before = next((each for each in store.classes() if each.name == name), None)
                if before is None:
                    raise ClassListError(f"There is no class '{name}' on the list.")
                renamed = before if arguments.rename is None else replace(before, name=one_line(arguments.rename))
                store.edit_class(name, _changed(renamed, arguments))
                print(f"Changed '{name}'.")  # noqa: T201
            case "remove":
                store.remove_class(one_line(arguments.name), in_use=arguments.even_if_used)
                print(f"Removed '{one_line(arguments.name)}'.")  # noqa: T201
            case "import":
                before_them = len(store.classes())
                problems = store.merge_classes(found)
                print(f"{len(store.classes()) - before_them} of {len(found)} classes are new.")  # noqa: T201
                for problem in problems:
                    print(problem, file=sys.stderr)  # noqa: T201
                return 1 if problems else 0
    return 0


def _changed(described: ObjectClass, arguments: argparse.Namespace) -> ObjectClass:
    """A class with what the arguments say of it."""
    fields: dict[str, Any] = {}
    if arguments.colour is not None:
        fields["colour"] = arguments.colour.lower() or None
    if arguments.key is not None:
        fields["key"] = arguments.key or None
    if arguments.parent is not None:
        fields["parent"] = one_line(arguments.parent) or None
    if arguments.description is not None:
        fields["description"] = arguments.description.strip()
    if arguments.attribute is not None:
        fields["attributes"] = tuple(_attribute(text) for text in arguments.attribute if text)
    return replace(described, **fields)


def _attribute(text: str) -> ClassAttribute:
    name, _, rest = text.partition(":")
    kind, _, choices = rest.partition(":")
    try:
        read = AttributeKind(kind.strip())
    except ValueError as error:
        raise SettingsError(
            f"'{text}' should have the form NAME:KIND, with one of {', '.join(AttributeKind)}, and for a choice "
            "NAME:choice:ONE,ANOTHER."
        ) from error
    return ClassAttribute(one_line(name), read, tuple(one_line(each) for each in choices.split(",")) if choices else ())


def _show(classes: list[ObjectClass], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([class_value(each) for each in classes], ensure_ascii=False, indent=2))  # noqa: T201
        return
    for each in classes:
        notes = [f"below {each.parent}"] if each.parent else []
        notes += [f"{asked.name} ({', '.join(asked.choices) or asked.kind})" for asked in each.attributes]
        line = f"{each.number:>5}  {each.key or '-'}  {each.shown_colour}  {each.name}  {'; '.join(notes)}"
        print(line.rstrip())  # noqa: T201
