"""The options of an import, and how it reports its progress; the same on the page and on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from segr1_app.domain import SettingsError
from segr1_app.images.frames import Reading

ROLES: Final = ("image", "mask", "instruction", "name")
"""The roles that a table's column can have."""


def parse_columns(text: str) -> dict[str, str]:
    """Columns by their roles, from a text such as ``mask=label,instruction=text``.

    Raises:
        SettingsError: when it has another form.
    """
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        role, equals, name = pair.partition("=")
        if not equals or role.strip() not in ROLES:
            raise SettingsError(f"'{pair}' should have the form ROLE=NAME, with one of {', '.join(ROLES)}.")
        found[role.strip()] = name.strip()
    return found


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is.

    Attributes:
        done: number of units done.
        total: the most that there can be; 0 if unknown.
        unit: "pictures", or "bytes of FILE" while annotations are read before the pictures.
    """

    done: int
    total: int
    unit: str


Watch = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The options of an import.

    Attributes:
        keep_partial: whether readable annotations make a ground truth although others of the same picture and class
            cannot
        pictures_only: whether annotations are ignored, so that every picture becomes a task.
        label: the class or instance that mask files of several are read for; None to be asked, see `Labels`.
        reading: whether pictures that are to be turned were annotated as they are stored or as they are seen.
        watch: is called as the import goes on, at least a few times a second.
        columns: for tables, which of their columns is the image, mask, instruction or name, see `ROLES`.
    """

    keep_partial: bool = False
    pictures_only: bool = False
    label: str | None = None
    reading: Reading | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    watch: Watch = field(default=ignore, compare=False)


AS_IT_COMES: Final = ImportOptions()
"""Nothing was decided."""
