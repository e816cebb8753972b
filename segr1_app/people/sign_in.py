"""Sign-in with a password: limits on concurrent checks and on guessing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache

from segr1_app.domain import NotAllowedError, SettingsError
from segr1_app.people.accounts import People
from segr1_app.settings.hosts import network_of

logger = logging.getLogger(__name__)

asked_from: ContextVar[str] = ContextVar("asked_from", default="")
"""The client address of the current sign-in; set by the server."""

AT_A_TIME: Final = 2
"""Number of passwords checked at the same time: each check takes 32 MiB and a CPU core."""
WAITING: Final = 32
"""Number of sign-ins that may wait; beyond it, the one that has waited longest is refused."""
GUESSES: Final = 10
"""Consecutive wrong passwords for one name from one address before a pause is imposed."""
GUESSES_ANYWHERE: Final = 100
"""Consecutive wrong passwords for one name, from all addresses together."""
PAUSE: Final = 60.0
"""Length of the first pause in seconds; each further one is twice as long, up to `LONGEST_PAUSE`."""
LONGEST_PAUSE: Final = 900.0
SESSION_SECONDS: Final = 30 * 86_400.0
"""How long somebody stays signed in."""
REMEMBERED: Final = 10_000


@dataclass(slots=True)
class _Guesses:
    """Consecutive wrong passwords, and when the current pause ends."""

    wrong: int = 0
    pauses: int = 0
    until: float = 0.0


class SignIn:
    """Checks names and passwords.

    Of waiting sign-ins, the newest is checked first, so that a flood of guesses cannot hold up a real sign-in that
    comes later.

    Args:
        people: the accounts.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, people: People, clock: Callable[[], float] = time.monotonic) -> None:
        self._people, self._clock = people, clock
        self._guesses: LRUCache[tuple[str, str | None], _Guesses] = LRUCache(REMEMBERED)
        self._checked = 0
        self._waiting: list[asyncio.Future[bool]] = []

    async def check(self, name: str, password: str) -> bool:
        """Whether a password is that of a name; it takes as long for an unknown name.

        Raises:
            NotAllowedError: after too many wrong passwords, or when too many people wait; the password was not checked.
        """
        address = asked_from.get()
        counted = [
            (self._counted(name, network_of(address)), GUESSES),
            (self._counted(name, None), GUESSES_ANYWHERE),
        ]
        for guesses, _ in counted:
            if (left := guesses.until - self._clock()) > 0:
                raise NotAllowedError(f"Too many wrong passwords for this name: try again in {int(left) + 1} seconds.")
        # Counted before the check, so that many concurrent guesses do not count as one.
        for guesses, most in counted:
            guesses.wrong += 1
            if guesses.wrong >= most:
                guesses.until = self._clock() + min(PAUSE * 2**guesses.pauses, LONGEST_PAUSE)
                guesses.wrong, guesses.pauses = 0, min(guesses.pauses + 1, 10)
        async with self._turn():
            right = await asyncio.to_thread(self._checked_now, name, password)
        if right:
            for key in ((name, network_of(address)), (name, None)):
                self._guesses.pop(key, None)
            logger.info("signed in", extra={"event": "sign-in", "person": name, "address": address})
        else:
            paused = any(guesses.until > self._clock() for guesses, _ in counted)
            said = "sign-in failed; the name has to pause" if paused else "sign-in failed"
            logger.warning(said, extra={"event": "sign-in-failed", "person": name[:200], "address": address})
        return right

    def _checked_now(self, name: str, password: str) -> bool:
        try:
            return self._people.check(name, password)
        except SettingsError as error:
            logger.error("%s", error)
            return False

    def _counted(self, name: str, address: str | None) -> _Guesses:
        return self._guesses.setdefault((name[:200], address), _Guesses())

    @asynccontextmanager
    async def _turn(self) -> Any:
        if self._checked >= AT_A_TIME:
            turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            if len(self._waiting) > WAITING:
                self._waiting.pop(0).set_result(False)
            try:
                granted = await turn
            except asyncio.CancelledError:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                elif turn.done() and not turn.cancelled() and turn.result():
                    self._pass_on()
                raise
            if not granted:
                raise NotAllowedError("Too many people are signing in at this moment: try again.")
        else:
            self._checked += 1
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        """Wake the newest waiting sign-in, or release the slot."""
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_result(True)
                return
        self._checked -= 1


class Sessions(MutableMapping[str, str]):
    """Maps the secret tokens of signed-in people to their names; changing a password or removing an account ends its
    sessions at once.

    Args:
        people: the accounts.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, people: People, clock: Callable[[], float] = time.monotonic) -> None:
        self._people, self._clock = people, clock
        self._held: LRUCache[str, tuple[str, str, float]] = LRUCache(REMEMBERED)

    def __setitem__(self, token: str, name: str) -> None:
        account = self._people.accounts().get(name)
        if account is not None:
            self._held[token] = (name, account.hash, self._clock())

    def __getitem__(self, token: str) -> str:
        name, sign, since = self._held[token]
        try:
            account = self._people.accounts().get(name)
        except SettingsError:
            raise KeyError(token) from None
        if account is None or account.hash != sign or self._clock() - since > SESSION_SECONDS:
            self._held.pop(token, None)
            raise KeyError(token)
        return name

    def __delitem__(self, token: str) -> None:
        del self._held[token]

    def __iter__(self) -> Iterator[str]:
        return iter([token for token in list(self._held) if token in self])

    def __len__(self) -> int:
        return sum(1 for _ in self)
