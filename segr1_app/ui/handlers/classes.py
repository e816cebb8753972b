"""The list of classes, through the page. Every method is also an API endpoint."""

from __future__ import annotations

from typing import Any

from segr1_app.language.typed_text import one_line
from segr1_app.store import AnnotationStore
from segr1_app.store.classes import ObjectClass, read_class
from segr1_app.studio.contracts import AttributeValue, ClassList, ClassValue


class ClassHandlers:
    """Shows and changes the list; every method raises `SegR1Error` with a message for the caller.

    Args:
        store: holds the list.
    """

    def __init__(self, store: AnnotationStore) -> None:
        self._store = store

    def classes(self) -> ClassList:
        """The classes that objects can have.

        Returns:
            {"classes": [{"name", "number", "colour", "key", "parent", "description", "attributes"}]}.
        """
        return {"classes": [_value(each) for each in self._store.classes()]}

    def put_class(self, content: dict[str, Any], name: str = "") -> ClassList:
        """Add a class to the list, or change one.

        Args:
            content: what the list is to say of it: {"name", "number", "colour", "key", "parent", "description",
                "attributes": [{"name", "kind": "choice", "flag", "number" or "text", "choices"}]}; only the name is
                required. The number, its id in exports, is that of a new class only.
            name: the class that is changed; empty to add one.

        Returns:
            As for `classes`.
        """
        described = read_class(content)
        if name:
            self._store.edit_class(one_line(name), described)
        else:
            self._store.add_class(described)
        return self.classes()

    def remove_class(self, name: str, in_use: bool = False) -> ClassList:
        """Take a class off the list; objects that have it keep it, and its number stays its own.

        Args:
            name: the class.
            in_use: whether it is removed although decided objects have it.

        Returns:
            As for `classes`.
        """
        self._store.remove_class(one_line(name), in_use=in_use)
        return self.classes()


def _value(described: ObjectClass) -> ClassValue:
    return {
        "name": described.name,
        "number": described.number or 0,
        "colour": described.shown_colour,
        "key": described.key,
        "parent": described.parent,
        "description": described.description,
        "attributes": [
            AttributeValue(name=each.name, kind=each.kind.value, choices=list(each.choices))
            for each in described.attributes
        ],
    }
