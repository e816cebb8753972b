"""Who is who: how people sign in where the page is served, and what follows from it."""

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

SignIn = Literal["none", "password", "hub"]
"""How people say who they are: not at all, by a name and a password, or with their account on the model hub."""

_NEEDS: Final = {
    Act.LOOK: "",
    Act.ANNOTATE: "Annotating",
    Act.REVIEW: "Choosing what counts",
    Act.ADMINISTER: "Importing, exporting and training",
}


@dataclass(frozen=True, slots=True)
class Access:
    """How people are told apart here.

    Attributes:
        sign_in: how they say who they are.
        visitor: the role of whoever did not sign in.
        role_of: the role of somebody who did, by name.
        stranger: the role of whoever did not and comes through a proxy; None for that of any visitor.
    """

    sign_in: SignIn
    visitor: Role
    role_of: Callable[[str], Role]
    stranger: Role | None = None

    def person(self, signed_in: str | None, *, forwarded: bool = False) -> Person:
        """Whoever asks.

        Args:
            signed_in: the name that they signed in with; None for a visitor.
            forwarded: whether their request came through a proxy: then it may be from anywhere.
        """
        if signed_in is None:
            return Person("", self.stranger if forwarded and self.stranger is not None else self.visitor)
        return Person(signed_in, self.role_of(signed_in))

    def possible(self, act: Act) -> bool:
        """Whether anybody at all can be allowed it here."""
        return self.sign_in != "none" or act in MAY[self.visitor]

    def require(self, person: Person, act: Act) -> None:
        """Let a person do something.

        Raises:
            NotAllowedError: when they may not; the text says what they can do about it.
        """
        if person.may(act):
            return
        least = next(role for role in Role if act in MAY[role])
        if person.name or self.sign_in == "none":
            remedy = "ask whoever runs this page for that role."
        else:
            remedy = "sign in first."
        raise NotAllowedError(f"{_NEEDS[act]} is for the role '{least}', and you are here as '{person.role}': {remedy}")


EVERYBODY: Final = "*"
"""Stands in a list of names for whoever signs in."""


def access_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> Access:
    """Who is who for a page with these settings.

    On one's own machine there is nobody to tell apart, and everybody may do everything, except requests that a proxy
    passes on. Elsewhere people sign in if there is a way to: by the file of ``--auth``, or, on a Space with
    ``hf_oauth``, with their account on the hub, where the Space's owner is an admin and the variables SEGR1_ADMINS,
    SEGR1_REVIEWERS and SEGR1_ANNOTATORS name others.
    """
    visitor = Role.ADMIN if settings.offers_training else Role(settings.anonymous)
    if settings.auth is not None:
        return Access("password", Role.READER, People(settings.auth).role_of)
    space = Space.from_environ(environ)
    if space is None or not space.signs_in:
        stranger = visitor if settings.admin else Role(settings.anonymous)
        return Access("none", visitor, lambda _: visitor, stranger)
    roles: dict[str, Role] = {}
    # From the least to the most: who is named twice has the greater role.
    for role in (Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN):
        named = environ.get(f"SEGR1_{role.name}S", "").replace(",", " ").split()
        roles |= dict.fromkeys(named, role)
    roles[space.owner] = Role.ADMIN
    signed_in = max((visitor, roles.get(EVERYBODY, visitor)), key=list(Role).index)
    return Access("hub", visitor, lambda name: roles.get(name, signed_in))
