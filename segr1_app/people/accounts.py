"""The accounts of a private server: names, roles and password hashes in one JSON file.

A password is stored as a salted scrypt hash (RFC 7914): the file alone lets nobody sign in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from segr1_app.domain import SettingsError
from segr1_app.files.foreign_json import parse_json
from segr1_app.files.json_files import write_json
from segr1_app.files.locks import locked
from segr1_app.language.typed_text import MAX_NAME, person_name
from segr1_app.settings.roles import Role

# The low-memory parameters of OWASP's password storage cheat sheet: 32 MiB and a few tenths of a second per guess.
COST: Final = 2**15
BLOCK: Final = 8
TURNS: Final = 3
MEMORY: Final = 2 * 128 * BLOCK * COST
"""Memory limit of a hash in bytes; it uses half of that."""
UNSIGNED: Final = "(not signed in)"
"""Appended to a name typed without signing in on a page where others sign in; kept in the store and in everything
made from it.
"""
SHORTEST: Final = 10
"""Shortest password in characters."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account: role, and salt and hash of the password, both in hex."""

    role: Role
    salt: str
    hash: str


_SALT, _DIGEST = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{128}")
_NOBODY: Final = Account(Role.READER, "00" * 16, "00" * 64)


class People:
    """The accounts file, reread whenever it changes, so that a new account works without a restart.

    Args:
        file: the file; a missing file holds no accounts.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_at: tuple[int, int, int] | None = None
        self._accounts: dict[str, Account] = {}

    def accounts(self) -> dict[str, Account]:
        """All accounts by name.

        Raises:
            SettingsError: when the file cannot be read or has another format.
        """
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SettingsError(f"The file of accounts '{self._file}' cannot be read: {error}.") from error
        changed = (found.st_mtime_ns, found.st_ino, found.st_size)
        if changed != self._read_at:
            try:
                content = parse_json(self._file.read_bytes())
                self._accounts = {name: _read(name, entry) for name, entry in content.items()}
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise SettingsError(
                    f"'{self._file}' is not a file of accounts ({str(error)[:200]}): make one with "
                    "'python -m segr1_app people add NAME --role ROLE'."
                ) from error
            self._read_at = changed
        return self._accounts

    def check(self, name: str, password: str) -> bool:
        """Whether this is the password of this account; takes as long for an unknown name."""
        account = self.accounts().get(name)
        known = account or _NOBODY
        right = hmac.compare_digest(_hash(password, bytes.fromhex(known.salt)), known.hash)
        return right and account is not None

    def role_of(self, name: str) -> Role:
        """A person's role; accounts that were removed since they signed in are readers."""
        account = self.accounts().get(name)
        return account.role if account else Role.READER

    def put(self, name: str, role: Role, password: str) -> None:
        """Add an account, or change its role and password.

        Raises:
            SettingsError: when the name or the password is invalid, or the file cannot be written.
        """
        if person_name(name) != name:
            raise SettingsError(
                f"A name has 1 to {MAX_NAME} characters, all visible, and no spaces at its ends or two in a row."
            )
        if name.endswith(UNSIGNED):
            raise SettingsError(f"A name that ends with '{UNSIGNED}' marks people who do not sign in: choose another.")
        if len(password) < SHORTEST:
            raise SettingsError(f"The password has {len(password)} characters; choose one of {SHORTEST} or more.")
        salt = secrets.token_bytes(16)
        account = Account(role, salt.hex(), _hash(password, salt))
        with self._changing():
            self._write({**self.accounts(), name: account})

    def remove(self, name: str) -> None:
        """Remove an account; its annotations stay.

        Raises:
            SettingsError: when there is no account of that name, or the file cannot be written.
        """
        with self._changing():
            left = dict(self.accounts())
            if left.pop(name, None) is None:
                raise SettingsError(f"There is no account '{name}' in '{self._file}'.")
            self._write(left)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Read and write the file in one step, under a lock."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._file):
                yield
        except OSError as error:
            raise SettingsError(f"The file of accounts '{self._file}' cannot be written: {error}.") from error

    def _write(self, accounts: dict[str, Account]) -> None:
        write_json(self._file, {name: asdict(account) for name, account in sorted(accounts.items())}, private=True)


def _read(name: str, entry: dict[str, str]) -> Account:
    """An account of the file.

    Raises:
        ValueError: when something in it is not as `People.put` writes it.
        TypeError, KeyError: when it has another form.
    """
    if person_name(name) != name or name.endswith(UNSIGNED):
        raise ValueError(f"{name[:40]!a} is not a name of an account")
    if not (_SALT.fullmatch(entry["salt"]) and _DIGEST.fullmatch(entry["hash"])):
        raise ValueError(f"the salt or the hash of {name!a} is not one in hex")
    return Account(Role(entry["role"]), entry["salt"], entry["hash"])


def _hash(password: str, salt: bytes) -> str:
    given = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(given, salt=salt, n=COST, r=BLOCK, p=TURNS, maxmem=MEMORY, dklen=64).hex()
