"""Identification and roles: how people sign in where the page is served, and what they may do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from segr1_app.domain import NotAllowedError
from segr1_app.people.accounts import People
from segr1_app.settings.config import Settings
from segr1_app.settings.roles import MAY, Act, Person, Role
from segr1_app.settings.space import Space

SignInMethod = Literal["none", "password", "hub"]
"""How people sign in: not at all, with a name and a password, or with their account on the model hub."""

_NEEDS: Final = {
    Act.LOOK: "",
    Act.ANNOTATE: "Annotating",
    Act.REVIEW: "Choosing the current revision",
    Act.ADMINISTER: "Importing, exporting, editing classes and training",
}


@dataclass(frozen=True, slots=True)
class Access:
    """How people are identified here.

    Attributes:
        sign_in: how they sign in.
        visitor: the role of people who did not sign in.
        role_of: the role of a signed-in person, by name.
        stranger: the role of visitors whose request came through a proxy; None for that of any visitor.
    """

    sign_in: SignInMethod
    visitor: Role
    role_of: Callable[[str], Role]
    stranger: Role | None = None

    def person(self, signed_in: str | None, *, forwarded: bool = False) -> Person:
        """The caller.

        Args:
            signed_in: the name that they signed in with; None for a visitor.
            forwarded: whether their request came through a proxy: then it may be from anywhere.
        """
        if signed_in is None:
            return Person("", self.stranger if forwarded and self.stranger is not None else self.visitor)
        return Person(signed_in, self.role_of(signed_in))

    def possible(self, act: Act) -> bool:
        """Whether anybody at all can have this permission here."""
        return self.sign_in != "none" or act in MAY[self.visitor]

    def require(self, person: Person, act: Act) -> None:
        """Check that a person may do something.

        Raises:
            NotAllowedError: when they may not; the message says what they can do about it.
        """
        if person.may(act):
            return
        least = next(role for role in Role if act in MAY[role])
        if person.name or self.sign_in == "none":
            remedy = "ask the operator of this page for that role."
        else:
            remedy = "sign in first."
        raise NotAllowedError(f"{_NEEDS[act]} needs the role '{least}'; yours is '{person.role}': {remedy}")


EVERYBODY: Final = "*"
"""In a list of names, this matches everybody who signs in."""


def access_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> Access:
    """How people are identified on a page with these settings.

    On a local machine there is only one user, who may do everything; requests forwarded by a proxy may not.
    Elsewhere people sign in if there is a way to: with the file of ``--auth``, or, on a Space with ``hf_oauth``, with
    their account on the hub, where the Space's owner is an admin and the variables SEGR1_ADMINS, SEGR1_REVIEWERS and
    SEGR1_ANNOTATORS name others.
    """
    visitor = Role.ADMIN if settings.offers_training else Role(settings.anonymous)
    if settings.auth is not None:
        return Access("password", Role.READER, People(settings.auth).role_of)
    space = Space.from_environ(environ)
    if space is None or not space.signs_in:
        stranger = visitor if settings.admin else Role(settings.anonymous)
        return Access("none", visitor, lambda _: visitor, stranger)
    roles: dict[str, Role] = {}
    # In ascending order: a name listed twice gets the higher role.
    for role in (Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN):
        named = environ.get(f"SEGR1_{role.name}S", "").replace(",", " ").split()
        roles |= dict.fromkeys(named, role)
    roles[space.owner] = Role.ADMIN
    signed_in = max((visitor, roles.get(EVERYBODY, visitor)), key=list(Role).index)
    return Access("hub", visitor, lambda name: roles.get(name, signed_in))
