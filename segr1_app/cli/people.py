"""``people``: who may sign in to a private server."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from segr1_app.domain import SettingsError
from segr1_app.people.accounts import People
from segr1_app.settings.config import add_auth_argument
from segr1_app.settings.roles import Role


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "people",
        help="manage the people who may sign in, and their roles",
        description="Add, remove or list the people who may sign in to a page that was started with --auth FILE. A "
        "reader views; an annotator also decides tasks; a reviewer also chooses current revisions; an admin may do "
        "everything. A running page picks up the change immediately.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    add = actions.add_parser(
        "add",
        help="add a person, or change their role and password",
        description="Asks for the password, or reads one line from standard input if that is not a terminal.",
    )
    add.add_argument("name", metavar="NAME", help="the name to sign in with; it is stored with their annotations")
    add.add_argument(
        "--role",
        type=Role,
        choices=list(Role),
        default=Role.ANNOTATOR,
        help="what they may do: %(choices)s (default: %(default)s)",
        metavar="ROLE",
    )
    remove = actions.add_parser("remove", help="remove an account; its annotations stay")
    remove.add_argument("name", metavar="NAME", help="the name of the account")
    for each in (add, remove, actions.add_parser("list", help="show everybody and their roles")):
        add_auth_argument(each)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Change or show the file.

    Raises:
        SettingsError: when the file or person does not exist, or the password is too short.
    """
    if arguments.auth is None:
        raise SettingsError("Name the accounts file with --auth FILE, as for app.py, or set SEGR1_AUTH.")
    people = People(arguments.auth)
    if arguments.action == "list":
        for name, account in people.accounts().items():
            print(f"{account.role:<10} {name}")  # noqa: T201
        return 0
    if arguments.action == "remove":
        people.remove(arguments.name)
        print(f"{arguments.name} can no longer sign in.")  # noqa: T201
        return 0
    people.put(arguments.name, arguments.role, _password(arguments.name))
    print(f"{arguments.name} can sign in as {arguments.role}.")  # noqa: T201
    return 0


def _password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"Password for {name}: ")
    if getpass.getpass("Repeat the password: ") != password:
        raise SettingsError("The two passwords differ; nothing was changed.")
    return password
