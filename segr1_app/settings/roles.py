"""Permissions: the roles, and what each may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """A person's role in the project; each may do what the one before may, and more."""

    READER = "reader"
    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    ADMIN = "admin"


class Act(StrEnum):
    """What can be done with the studio."""

    LOOK = "look"
    """View everything and ask the models, without storing anything."""
    ANNOTATE = "annotate"
    """Take tasks, decide them, save corrections from the Run tab."""
    REVIEW = "review"
    """Choose the current revision, restore an old one."""
    ADMINISTER = "administer"
    """Import, export, train, change the app's policy."""


MAY: Final[Mapping[Role, frozenset[Act]]] = {
    Role.READER: frozenset({Act.LOOK}),
    Role.ANNOTATOR: frozenset({Act.LOOK, Act.ANNOTATE}),
    Role.REVIEWER: frozenset({Act.LOOK, Act.ANNOTATE, Act.REVIEW}),
    Role.ADMIN: frozenset(Act),
}


@dataclass(frozen=True, slots=True)
class Person:
    """The caller of a handler.

    Attributes:
        name: as they signed in; empty when they did not.
        role: their role.
    """

    name: str
    role: Role

    def may(self, act: Act) -> bool:
        """Whether their role allows it."""
        return act in MAY[self.role]
