"""The default models of a data folder: the embedded ones until a trained one is promoted, policy and segmenter each."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from segr1_app.domain import ModelRole, SettingsError
from segr1_app.files.json_files import read_json, write_json

logger = logging.getLogger(__name__)

PROMOTED_FILES: Final[Mapping[ModelRole, str]] = {
    "policy": "promoted.json",
    "segmenter": "promoted-segmenter.json",
}


def promoted(home: Path, role: ModelRole) -> str | None:
    """The folder of the model promoted last; None if there is none or the file cannot be read.

    A damaged file must not keep the app from starting: it is logged once.
    """
    try:
        history = _history(home, role)
    except SettingsError as error:
        _warn(f"{error} Until then, the app behaves as if no {role} was promoted.")
        return None
    return history[-1] if history else None


@cache
def _warn(problem: str) -> None:
    logger.warning("%s", problem)


def promote(home: Path, role: ModelRole, folder: str) -> None:
    """Make this model the default from now on."""
    write_json(home / PROMOTED_FILES[role], [*_history(home, role), folder])


def go_back(home: Path, role: ModelRole) -> None:
    """Roll back the last promotion.

    Raises:
        SettingsError: when there was none.
    """
    history = _history(home, role)
    if not history:
        raise SettingsError(f"There is nothing to roll back: no {role} was promoted.")
    write_json(home / PROMOTED_FILES[role], history[:-1])


def _history(home: Path, role: ModelRole) -> list[str]:
    path = home / PROMOTED_FILES[role]
    if not path.exists():
        return []
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"'{path}' cannot be read: repair or remove it. ({error})") from error
    if not isinstance(content, list) or not all(isinstance(entry, str) for entry in content):
        raise SettingsError(f"'{path}' is not a list of model folders: repair or remove it.")
    return content
