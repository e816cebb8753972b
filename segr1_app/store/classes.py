"""Classes of objects: what they are called, in which colour, with which key and attributes; and their JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from reprlib import repr as short
from typing import Any, Final

from segr1_app.domain import StoreError
from segr1_app.language.typed_text import MAX_NAME, one_line, storable
from segr1_app.store.limits import is_count

MAX_TAKEN_NUMBER: Final = 2_000
"""The largest number that is taken over from a file; some tools write random ones."""
MAX_ATTRIBUTES: Final = 32
"""Most attributes of a class."""
MAX_CHOICES: Final = 100
"""Most choices of an attribute."""
MAX_DESCRIPTION: Final = 1_000
"""Most characters of a description."""
KEYS: Final = range(1, 10)
"""The digits that can name an object."""
RESERVED: Final = frozenset({"instruction"})
"""Names that attributes cannot have: exports write the task's instruction under them."""

_COLOUR: Final = re.compile(r"#[0-9a-f]{6}")
_COLOUR_OF: Final = "#{:02x}{:02x}{:02x}"


class ClassListError(StoreError, ValueError):
    """A class that the list cannot hold."""


class AttributeKind(StrEnum):
    """What the value of an attribute is: one of its choices, true or false, a number, or any text of one line."""

    CHOICE = "choice"
    FLAG = "flag"
    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ClassAttribute:
    """Something that is asked about each object of a class.

    Attributes:
        name: what it is called; unique within its class.
        kind: what its value is.
        choices: the possible values of a choice; empty for the other kinds.

    Raises:
        ClassListError: when it exceeds the limits of this module, or its kind and choices contradict each other.
    """

    name: str
    kind: AttributeKind
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_line(self.name, "The name of an attribute")
        if self.name in RESERVED:
            raise ClassListError(f"An attribute cannot be called '{self.name}': exports write the instruction there.")
        if (self.kind is AttributeKind.CHOICE) != bool(self.choices):
            raise ClassListError(f"The attribute '{self.name}' needs choices if it is a choice, and else has none.")
        for choice in self.choices:
            _check_line(choice, f"A choice of '{self.name}'")
        if len(self.choices) > MAX_CHOICES or len(set(self.choices)) < len(self.choices):
            raise ClassListError(f"The choices of '{self.name}' must be at most {MAX_CHOICES}, each of them once.")


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """A class of the list.

    Attributes:
        name: what it is called; unique within the list.
        number: its id in exports; None for a class that has none yet, or in a file that does not say.
        colour: as "#rrggbb", in lower case; None for that of its number, see `voc_colour`.
        key: the digit, 1 to 9, that names an object on the page; unique within the list. None for none.
        parent: the class or group that it belongs to, which COCO calls its supercategory; None for none.
        description: what belongs to it, for annotators.
        attributes: what is asked about each of its objects.

    Raises:
        ClassListError: when it exceeds the limits of this module.
    """

    name: str
    number: int | None = None
    colour: str | None = None
    key: int | None = None
    parent: str | None = None
    description: str = ""
    attributes: tuple[ClassAttribute, ...] = ()

    def __post_init__(self) -> None:
        _check_line(self.name, "The name of a class")
        if self.number is not None and not _is_whole(self.number, 1, 2**31):
            raise ClassListError(f"The number of '{self.name}' must be a whole number from 1, not {self.number!r:.20}.")
        if self.colour is not None and not (isinstance(self.colour, str) and _COLOUR.fullmatch(self.colour)):
            raise ClassListError(f"The colour of '{self.name}' must be like #12ab9f, not {short(self.colour)}.")
        if self.key is not None and not _is_whole(self.key, KEYS[0], KEYS[-1]):
            raise ClassListError(f"The key of '{self.name}' must be a digit from 1 to 9, not {short(self.key)}.")
        if self.parent is not None:
            _check_line(self.parent, f"The parent of '{self.name}'")
        if not isinstance(self.description, str) or len(self.description) > MAX_DESCRIPTION:
            raise ClassListError(f"The description of '{self.name}' must be at most {MAX_DESCRIPTION} characters.")
        names = [each.name for each in self.attributes]
        if len(names) > MAX_ATTRIBUTES or len(set(names)) < len(names):
            raise ClassListError(
                f"'{self.name}' can have at most {MAX_ATTRIBUTES} attributes, and each of them only once."
            )

    @property
    def shown_colour(self) -> str:
        """Its colour, or that of its number, as "#rrggbb"."""
        return self.colour or number_colour(self.number or 0)


def number_colour(number: int) -> str:
    """The colour of a class that has none of its own, as "#rrggbb"."""
    return _COLOUR_OF.format(*voc_colour(number % 255))


def read_colour(value: object) -> str | None:
    """A colour of a file as "#rrggbb": text like that, or red, green and blue from 0 to 255; None for anything else."""
    if isinstance(value, list) and len(value) == 3 and all(is_count(channel, 255) for channel in value):
        return _COLOUR_OF.format(*value)
    text = value.lower() if isinstance(value, str) else ""
    return text if _COLOUR.fullmatch(text) else None


def voc_colour(index: int) -> tuple[int, int, int]:
    """Pascal VOC's colour of a class number: its bits, spread over red, green and blue from the highest on."""
    red, green, blue = (
        sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)
    )
    return red, green, blue


def _check_line(text: object, what: str) -> None:
    if not isinstance(text, str) or not text or len(text) > MAX_NAME or one_line(text) != text:
        raise ClassListError(f"{what} must be 1 to {MAX_NAME} visible characters on one line, not {short(text)}.")


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


_FIELDS: Final = frozenset({"name", "number", "colour", "key", "parent", "description", "attributes"})
_ATTRIBUTE_FIELDS: Final = frozenset({"name", "kind", "choices"})


def class_value(described: ObjectClass) -> dict[str, Any]:
    """A class as JSON values, as `read_class` reads them."""
    return {
        "name": described.name,
        "number": described.number,
        "colour": described.colour,
        "key": described.key,
        "parent": described.parent,
        "description": described.description,
        "attributes": attribute_values(described.attributes),
    }


def attribute_values(attributes: Iterable[ClassAttribute]) -> list[dict[str, Any]]:
    """Attributes as JSON values: name, kind and choices of each."""
    return [{"name": each.name, "kind": each.kind.value, "choices": list(each.choices)} for each in attributes]


def read_class(value: object) -> ObjectClass:
    """A class from JSON values of anybody: a name alone, or an object; what it leaves out is empty.

    Raises:
        ClassListError: when it is anything else; the message names class and field.
    """
    if isinstance(value, str):
        return ObjectClass(one_line(value))
    if not isinstance(value, Mapping) or "name" not in value:
        raise ClassListError(f"A class must be a name, or an object with a name, not {short(value)}.")
    name = _line(value["name"])
    unknown = [str(key) for key in value if key not in _FIELDS]
    if unknown:
        raise ClassListError(
            f"The class {short(name)} has an unknown field {short(unknown[0])}: the fields are "
            f"{', '.join(sorted(_FIELDS))}."
        )
    attributes = value.get("attributes") or []
    if not isinstance(attributes, list):
        raise ClassListError(f"The attributes of {short(name)} must be a list, not {short(attributes)}.")
    colour = value.get("colour")
    return ObjectClass(
        name,
        number=value.get("number"),
        colour=colour.lower() if isinstance(colour, str) else colour,
        key=value.get("key"),
        parent=_line(value.get("parent")) or None,
        description=_text(value.get("description")),
        attributes=tuple(_read_attribute(each, name) for each in attributes[: MAX_ATTRIBUTES + 1]),
    )


def _read_attribute(value: object, of: str) -> ClassAttribute:
    if not isinstance(value, Mapping) or not {"name", "kind"} <= value.keys() <= _ATTRIBUTE_FIELDS:
        raise ClassListError(
            f"An attribute of {short(of)} must be an object with name, kind and, for a choice, choices, not "
            f"{short(value)}."
        )
    choices = value.get("choices") or []
    if not isinstance(choices, list):
        raise ClassListError(f"The choices of {short(value['name'])} must be a list, not {short(choices)}.")
    try:
        kind = AttributeKind(value["kind"])
    except ValueError as error:
        kinds = " or ".join(AttributeKind)
        raise ClassListError(f"The kind of {short(value['name'])} is {kinds}, not {short(value['kind'])}.") from error
    return ClassAttribute(_line(value["name"]), kind, tuple(map(_line, choices[: MAX_CHOICES + 1])))


def _line(value: Any) -> Any:
    """Text on one line; anything else as it is, for whoever checks it."""
    return one_line(value) if isinstance(value, str) and len(value) <= MAX_DESCRIPTION else value


def _text(value: Any) -> Any:
    return storable(value).strip() if isinstance(value, str) else "" if value is None else value
