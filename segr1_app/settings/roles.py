"""Permissions: the roles, and what each may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """A person's role; each includes the permissions of the previous one."""

    READER = "reader"
    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    ADMIN = "admin"


class Act(StrEnum):
    """Actions that need a permission."""

    LOOK = "look"
    """View everything and run the models, without storing anything."""
    ANNOTATE = "annotate"
    """Take and decide tasks, save corrections from the Run tab."""
    REVIEW = "review"
    """Choose the current revision or restore an old one."""
    ADMINISTER = "administer"
    """Import, export, edit the classes, train, and change the app's policy."""


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
        name: the name they signed in with; empty if they did not.
        role: their role.
    """

    name: str
    role: Role

    def may(self, act: Act) -> bool:
        """Whether their role allows this action."""
        return act in MAY[self.role]
