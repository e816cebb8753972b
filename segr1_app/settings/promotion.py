"""The default policy of a data folder: the embedded one until a trained one is promoted."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from segr1_app.domain import SettingsError
from segr1_app.files.json_files import read_json, write_json

logger = logging.getLogger(__name__)

PROMOTED_FILE = "promoted.json"


def promoted_policy(home: Path) -> str | None:
    """The folder of the policy promoted last; None if there is none or the file cannot be read.

    A damaged file must not keep the app from starting: it is logged once.
    """
    try:
        history = _history(home)
    except SettingsError as error:
        _warn(str(error))
        return None
    return history[-1] if history else None


@cache
def _warn(problem: str) -> None:
    logger.warning("%s Until then, the app behaves as if no policy was promoted.", problem)


def promote(home: Path, policy: str) -> None:
    """Make this policy the default from now on."""
    write_json(home / PROMOTED_FILE, [*_history(home), policy])


def go_back(home: Path) -> None:
    """Roll back the last promotion.

    Raises:
        SettingsError: when there was none.
    """
    history = _history(home)
    if not history:
        raise SettingsError("There is nothing to roll back: no policy was promoted.")
    write_json(home / PROMOTED_FILE, history[:-1])


def _history(home: Path) -> list[str]:
    path = home / PROMOTED_FILE
    if not path.exists():
        return []
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"'{path}' cannot be read: repair or remove it. ({error})") from error
    if not isinstance(content, list) or not all(isinstance(entry, str) for entry in content):
        raise SettingsError(f"'{path}' is not a list of policy folders: repair or remove it.")
    return content
